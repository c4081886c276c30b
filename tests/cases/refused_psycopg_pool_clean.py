"""The same pool of two serves ten requests, because each gives back what it took.

source: psycopg/psycopg#219
needs: postgres
"""

import os
import threading

from psycopg_pool import ConnectionPool

pool = ConnectionPool(os.environ["DSN"], min_size=2, max_size=2, timeout=20, open=True)


def request(number):
    with pool.connection() as connection:
        connection.execute("SELECT %s", [number])


threads = [threading.Thread(target=request, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.close()
