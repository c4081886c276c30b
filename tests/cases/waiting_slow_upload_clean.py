"""The same requests end the transaction before the slow call: the connection is back in the pool meanwhile.

source: fastapi/full-stack-fastapi-template#104
needs: postgres
settings: WAITING=0.5 EVERY=0.1
"""

import os
import threading
import time

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg:"), pool_size=2, max_overflow=0)


def send(picture):
    time.sleep(1.2)


def upload():
    with Session(engine) as session:
        picture = session.scalar(text("SELECT 1"))
        session.commit()
        send(picture)


threads = [threading.Thread(target=upload) for _ in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
engine.dispose()
