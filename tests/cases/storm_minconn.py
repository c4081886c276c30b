"""psycopg2's pool keeps `minconn`, one, and closes what else comes back: three workers open anew for each loan.

source: psycopg/psycopg2#563
needs: postgres
settings: STORM=10 STORM_FOR=1 EVERY=0.1
"""

import os
import threading
import time

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 4, os.environ["DSN"])
end = time.monotonic() + 2.5


def worker():
    while time.monotonic() < end:
        connection = pool.getconn()  # opened: connect-storm warning x10+ by worker
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        time.sleep(0.02)
        pool.putconn(connection)
        time.sleep(0.02)  # until the next request


threads = [threading.Thread(target=worker) for _ in range(3)]
for thread in threads:
    thread.start()  # spawned: worker
for thread in threads:
    thread.join()
pool.closeall()
