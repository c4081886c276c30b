"""The same context manager closes in a finally clause.

source: ahopkins/mayim#58
"""

import gc
import sqlite3
from contextlib import contextmanager


@contextmanager
def database(name):
    connection = sqlite3.connect(f"{name}.db")
    try:
        yield connection
    finally:
        connection.close()


def save(name):
    try:
        with database(name) as connection:
            connection.execute("INSERT INTO user VALUES (1)")
    except sqlite3.OperationalError as error:
        print(error)


for name in ("one", "two", "three"):
    save(name)
    gc.collect()
