"""An owner that has all of a pool asks for one more, which this pool refuses at once.

source: aio-libs/aiopg#127
needs: postgres
"""

import os

from psycopg2.pool import PoolError, ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 1, os.environ["DSN"])


def audit():
    try:
        pool.putconn(pool.getconn())  # opened: second-while-holding warning x1
    except PoolError:
        print("exhausted")


connection = pool.getconn()  # opened: refused error x1
audit()
pool.putconn(connection)
pool.closeall()
