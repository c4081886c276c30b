"""Loans that are dropped when an exception passes are lost to the pool, and the next who asks gets none.

source: psycopg/psycopg#509
needs: postgres
"""

import os

from psycopg_pool import ConnectionPool, PoolTimeout


def leaky(pool):
    connection = pool.getconn()  # opened: refused error x3 of 3; collected-open error x3
    raise ValueError(f"{connection.info.dbname} is not where it goes back")


with ConnectionPool(os.environ["DSN"], min_size=1, max_size=3, timeout=0.3, open=True) as pool:
    for _ in range(3):
        try:
            leaky(pool)
        except ValueError:
            pass
    try:
        pool.getconn()
    except PoolTimeout:
        print("timed out")
