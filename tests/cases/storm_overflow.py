"""SQLAlchemy's pool keeps two; what overflows is opened for one loan and closed after it, dozens of times a second.

source: sqlalchemy/sqlalchemy#4581
needs: postgres
settings: STORM=10 STORM_FOR=1 EVERY=0.1
"""

import os
import threading
import time

from sqlalchemy import create_engine, text

url = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(url, pool_size=2, max_overflow=10)
end = time.monotonic() + 2.5


def worker():
    while time.monotonic() < end:
        with engine.connect() as connection:  # opened: connect-storm warning x10+ by worker
            connection.execute(text("SELECT 1"))
            time.sleep(0.02)
        time.sleep(0.02)  # until the next request


threads = [threading.Thread(target=worker) for _ in range(6)]
for thread in threads:
    thread.start()  # spawned: worker
for thread in threads:
    thread.join()
engine.dispose()
