"""The workers give the first connection back before they ask for the second.

source: aio-libs/aiopg#113
needs: postgres
"""

import os
import threading

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 8, os.environ["DSN"])


def ask(sql, value):
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, [value])
            return cursor.fetchone()[0]
    finally:
        pool.putconn(connection)


def work(name):
    ask("SELECT %s", ask("SELECT length(%s)", name))


threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "ben", "eve")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.closeall()
