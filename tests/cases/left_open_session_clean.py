"""Each request uses its session in a with block; the engine's pool stays open, with everything at home.

source: jhu-bids/TermHub#660
needs: postgres
"""

import os
import threading

from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))
Session = sessionmaker(engine)


def handle(request):
    with Session() as session:
        session.execute(text("SELECT :request"), {"request": request})


threads = [threading.Thread(target=handle, args=(request,)) for request in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
