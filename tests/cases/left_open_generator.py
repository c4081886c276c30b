"""Rows come from generators that close their file at the end, but only the first row of each is ever
asked for.

source: onyx-dot-app/onyx#9342
"""

import sqlite3
from contextlib import closing


def rows(name):
    with closing(sqlite3.connect(f"{name}.db")) as connection:  # opened: left-open error x3
        connection.executescript("CREATE TABLE row (n); INSERT INTO row VALUES (1), (2)")
        yield from connection.execute("SELECT n FROM row").fetchall()


readers = [rows(name) for name in ("north", "south", "west")]
for reader in readers:
    print(next(reader))
