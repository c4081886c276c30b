"""A loan of psycopg_pool is dropped where an exception passes, and its place is lost to the pool.

source: psycopg/psycopg#1026
needs: postgres
stderr: yes
"""

import os

from psycopg_pool import ConnectionPool

pool = ConnectionPool(os.environ["DSN"], min_size=1, max_size=4, open=True)


def charge(number):
    connection = pool.getconn()  # opened: collected-open error x2
    if number % 2:
        raise ValueError(number)
    pool.putconn(connection)


for number in range(4):
    try:
        charge(number)
    except ValueError:
        pass
pool.close()
