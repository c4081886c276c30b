"""The helper is entered by one function after the other, each in a session of its own.

source: ydb-platform/ydb-python-sdk#806
needs: postgres
"""

import os
from contextlib import contextmanager

from psycopg_pool import ConnectionPool


@contextmanager
def session(pool):
    with pool.connection() as connection:
        yield connection


def experiment(pool):
    with session(pool) as connection:
        return connection.execute("SELECT 1").fetchone()


def create_run(pool):
    found = experiment(pool)
    with session(pool) as connection:
        return connection.execute("SELECT %s", found).fetchone()


with ConnectionPool(os.environ["DSN"], min_size=2, max_size=2, open=True) as pool:
    create_run(pool)
