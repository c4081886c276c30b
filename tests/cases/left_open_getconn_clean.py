"""The same threads borrow in a with block, which gives back.

source: psycopg/psycopg#1016
needs: postgres
"""

import os
import threading

from psycopg_pool import ConnectionPool

pool = ConnectionPool(os.environ["DSN"], min_size=1, max_size=4, open=True)


def request(number):
    with pool.connection() as connection:
        connection.execute("SELECT %s", [number])


threads = [threading.Thread(target=request, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.close()
