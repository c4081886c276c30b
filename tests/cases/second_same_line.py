"""A session helper is entered again by a function that is called inside its own session.

source: ydb-platform/ydb-python-sdk#806
needs: postgres
"""

import os
from contextlib import contextmanager

from psycopg_pool import ConnectionPool


@contextmanager
def session(pool):
    with pool.connection() as connection:  # opened: second-while-holding warning x1
        yield connection


def experiment(pool):
    with session(pool) as connection:
        return connection.execute("SELECT 1").fetchone()


def create_run(pool):
    with session(pool) as connection:
        return connection.execute("SELECT %s", experiment(pool)).fetchone()


with ConnectionPool(os.environ["DSN"], min_size=2, max_size=2, open=True) as pool:
    create_run(pool)
