"""A leak on one path of a line that gives back on the other is no nesting: no size of the pool is safe.

source: marieai/marie-ai#169
needs: postgres
"""

import os

from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 4, os.environ["DSN"])


def charge(number):
    connection = pool.getconn()  # opened: left-open error x2
    if number % 2:
        raise ValueError(number)
    pool.putconn(connection)


for number in range(5):
    try:
        charge(number)
    except ValueError:
        pass
