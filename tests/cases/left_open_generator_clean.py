"""The same generators are closed late, after everything else is done.

source: onyx-dot-app/onyx#9342
"""

import sqlite3
from contextlib import closing


def rows(name):
    with closing(sqlite3.connect(f"{name}.db")) as connection:
        connection.executescript("CREATE TABLE row (n); INSERT INTO row VALUES (1), (2)")
        yield from connection.execute("SELECT n FROM row").fetchall()


readers = [rows(name) for name in ("north", "south", "west")]
for reader in readers:
    print(next(reader))
for reader in readers:
    reader.close()
