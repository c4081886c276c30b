"""Requests take from a psycopg2 pool of three and forget to give back; the fourth is told that the pool
is exhausted.

source: Oslandia/lopocs#36
needs: postgres
"""

import os
import threading

from psycopg2.pool import PoolError, ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 3, os.environ["DSN"])
taken = []


def request(number):
    try:
        connection = pool.getconn()  # opened: refused error x3 of 3 by request
    except PoolError as error:
        print(error)
        return
    taken.append(connection)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])


for number in range(4):
    thread = threading.Thread(target=request, args=(number,))
    thread.start()  # spawned: request
    thread.join()
for connection in taken:
    pool.putconn(connection)
pool.closeall()
