"""Workers take a second connection from the pool while they hold the first; with enough of them nobody
would ever go on.

source: aio-libs/aiopg#113
needs: postgres
"""

import os
import threading

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 8, os.environ["DSN"])


def number_of(name):
    connection = pool.getconn()  # opened: second-while-holding warning x3 by work
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT length(%s)", [name])
            return cursor.fetchone()[0]
    finally:
        pool.putconn(connection)


def work(name):
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT %s", [number_of(name)])
    finally:
        pool.putconn(connection)


threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "ben", "eve")]
for thread in threads:
    thread.start()  # spawned: work
for thread in threads:
    thread.join()
pool.closeall()
