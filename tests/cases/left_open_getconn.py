"""Threads take connections from a psycopg_pool with getconn, and nobody calls putconn.

source: psycopg/psycopg#1016
needs: postgres
"""

import os
import threading

from psycopg_pool import ConnectionPool

pool = ConnectionPool(os.environ["DSN"], min_size=1, max_size=4, open=True)
busy = []


def request(number):
    connection = pool.getconn()  # opened: left-open error x3 by request
    busy.append(connection)
    connection.execute("SELECT %s", [number])
    connection.commit()


threads = [threading.Thread(target=request, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()  # spawned: request
for thread in threads:
    thread.join()
pool.close()
