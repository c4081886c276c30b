"""Two requests hold the engine's two connections, and the third gives up waiting: QueuePool limit reached.

source: fastapi/full-stack-fastapi-template#459
needs: postgres
"""

import os
import threading

from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeout

URL = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(URL, pool_size=2, max_overflow=0, pool_timeout=0.3)
connected = threading.Semaphore(0)
done = threading.Event()


def request(number):
    with engine.connect() as connection:  # opened: refused error x2 of 2 by request
        connection.execute(text("SELECT :number"), {"number": number})
        connection.commit()
        connected.release()
        done.wait(20)


threads = [threading.Thread(target=request, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()  # spawned: request
for _ in threads:
    connected.acquire(timeout=20)
try:
    engine.connect()
except PoolTimeout as error:
    print(error)
done.set()
for thread in threads:
    thread.join()
