"""An owner that has all of a pool asks for one more and runs out of patience.

source: aio-libs/aiopg#127
needs: postgres
"""

import os

from psycopg_pool import ConnectionPool, PoolTimeout


def audit(pool):
    try:
        with pool.connection() as connection:  # opened: second-while-holding warning x1
            connection.execute("SELECT 1")
    except PoolTimeout:
        print("timed out")


with ConnectionPool(os.environ["DSN"], min_size=1, max_size=1, timeout=0.3, open=True) as pool:
    pool.wait()
    with pool.connection() as connection:  # opened: refused error x1
        connection.execute("SELECT 1")
        audit(pool)
