"""getconn without putconn empties a psycopg_pool, and the next request waits in vain: couldn't get a
connection.

source: psycopg/psycopg#219
needs: postgres
"""

import os
import threading

from psycopg_pool import ConnectionPool, PoolTimeout

pool = ConnectionPool(os.environ["DSN"], min_size=2, max_size=2, timeout=0.4, open=True)
pool.wait(timeout=20)
taken = []


def request(number):
    try:
        connection = pool.getconn()  # opened: refused error x2 of 2 by request
    except PoolTimeout as error:
        print(error)
        return
    taken.append(connection)
    connection.execute("SELECT %s", [number])
    connection.commit()


for number in range(3):
    thread = threading.Thread(target=request, args=(number,))
    thread.start()  # spawned: request
    thread.join()
for connection in taken:
    pool.putconn(connection)
pool.close()
