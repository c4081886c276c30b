"""Each request makes an ORM session and parks it in a dict by request id; none is ever closed.

source: jhu-bids/TermHub#660
needs: postgres
"""

import os
import threading

from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))
Session = sessionmaker(engine)
sessions = {}


def handle(request):
    session = Session()
    sessions[request] = session
    session.execute(text("SELECT :request"), {"request": request})  # opened: left-open error x3 by handle


threads = [threading.Thread(target=handle, args=(request,)) for request in range(3)]
for thread in threads:
    thread.start()  # spawned: handle
for thread in threads:
    thread.join()
