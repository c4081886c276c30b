"""The loan is given back before the slow web hook is called.

source: safe-global/safe-decoder-service#297
needs: postgres
settings: HELD_TOO_LONG=0.5 EVERY=0.1
"""

import os
import time

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 3, os.environ["DSN"])


def call_web_hook(order):
    time.sleep(1.5 if order == 3 else 0.01)


for order in range(4):
    connection = pool.getconn()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [order])
    pool.putconn(connection)
    call_web_hook(order)
pool.closeall()
