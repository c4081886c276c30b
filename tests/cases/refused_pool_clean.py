"""A semaphore as wide as the pool makes requests wait instead.

source: Oslandia/lopocs#36
needs: postgres
"""

import os
import threading

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 3, os.environ["DSN"])
turn = threading.Semaphore(3)


def request(number):
    with turn:
        connection = pool.getconn()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT %s", [number])
        finally:
            pool.putconn(connection)


threads = [threading.Thread(target=request, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.closeall()
