"""A hand-made context manager has no try around its yield, so an error in the block skips the close.

source: ahopkins/mayim#58
"""

import gc
import sqlite3
from contextlib import contextmanager


@contextmanager
def database(name):
    # opened: collected-open warning x3 since 3.11; collected-open info x3 before 3.11
    connection = sqlite3.connect(f"{name}.db")
    yield connection
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
