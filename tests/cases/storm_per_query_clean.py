"""The same helper borrows from a pool.

source: steveyeow/Feynman#145
needs: postgres
settings: STORM=10 STORM_FOR=1 EVERY=0.1
"""

import os
import time

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 4, os.environ["DSN"])


def query(sql, *values):
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()
    finally:
        pool.putconn(connection)


end = time.monotonic() + 2.0
while time.monotonic() < end:
    query("SELECT %s", 1)
    time.sleep(0.01)
pool.closeall()
