"""Two threads have one connection each and ask for another: it is said before the pool's time-out comes.

source: fastapi/full-stack-fastapi-template#104
needs: postgres
settings: WAITING=0.4 EVERY=0.1
"""

import os
import threading

from sqlalchemy import create_engine, exc, text

engine = create_engine(
    os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"), pool_size=2, max_overflow=0, pool_timeout=1.5
)
everybody = threading.Barrier(2)


def audit():
    with engine.begin() as connection:  # opened: second-while-holding warning x2 by request
        connection.execute(text("SELECT 1"))


def request():
    # opened: waiting-too-long error x2 of 2 by request; refused error x2 of 2 by request
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        everybody.wait()
        try:
            audit()
        except exc.TimeoutError as error:
            print(error)


threads = [threading.Thread(target=request) for _ in range(2)]
for thread in threads:
    thread.start()  # spawned: request
for thread in threads:
    thread.join()
engine.dispose()
