"""An ORM engine with an overflow wider than its role's limit is refused by the server, not by its pool.

source: OpenEnergyPlatform/oeplatform#2495
needs: postgres, limit=4
"""

import os
import threading

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

URL = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(URL, pool_size=2, max_overflow=200)
connected = threading.Semaphore(0)
done = threading.Event()


def request(number):
    with engine.connect() as connection:  # opened: refused error x4 of 4 by request
        connection.execute(text("SELECT :number"), {"number": number})
        connection.commit()
        connected.release()
        done.wait(20)


threads = [threading.Thread(target=request, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()  # spawned: request
for _ in threads:
    connected.acquire(timeout=20)
try:
    engine.connect()
except OperationalError as error:
    print(error)
done.set()
for thread in threads:
    thread.join()
