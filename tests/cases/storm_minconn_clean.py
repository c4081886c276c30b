"""The same workers, and a pool that keeps as many as they borrow.

source: psycopg/psycopg2#563
needs: postgres
settings: STORM=10 STORM_FOR=1 EVERY=0.1
"""

import os
import threading
import time

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(3, 4, os.environ["DSN"])
end = time.monotonic() + 2.0


def worker():
    while time.monotonic() < end:
        connection = pool.getconn()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        time.sleep(0.02)
        pool.putconn(connection)
        time.sleep(0.02)  # until the next request


threads = [threading.Thread(target=worker) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.closeall()
