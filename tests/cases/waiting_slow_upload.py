"""Each request keeps its session's connection during a slow call to another service: the pool is empty, the database idle.

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
        picture = session.scalar(text("SELECT 1"))  # opened: waiting-too-long error x3 of 2 by request
        send(picture)


threads = [threading.Thread(target=upload) for _ in range(5)]
for thread in threads:
    thread.start()  # spawned: request
for thread in threads:
    thread.join()
engine.dispose()
