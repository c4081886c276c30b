"""All ten connections of a pool that was made for ten are out on loan.

source: liberapay/liberapay.com#846
needs: postgres
settings: TOO_MANY=8
"""

import os
import threading

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(10, 10, os.environ["DSN"])
everyone = threading.Barrier(10)


def work(number):
    connection = pool.getconn()
    try:
        everyone.wait(20)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
    finally:
        pool.putconn(connection)


threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.closeall()
