"""The transaction that will write begins with BEGIN IMMEDIATE, and begins anew where that fails.

source: simonw/datasette#2358
"""

import sqlite3

setup = sqlite3.connect("data.db")
setup.executescript("PRAGMA journal_mode = wal; CREATE TABLE counts (n); INSERT INTO counts VALUES (0);")
setup.close()

one = sqlite3.connect("data.db", isolation_level=None, timeout=0)
other = sqlite3.connect("data.db", isolation_level=None)
other.execute("BEGIN IMMEDIATE")
other.execute("UPDATE counts SET n = 7")
while True:
    try:
        one.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        print(error)
        other.execute("COMMIT")
    else:
        break
for _ in range(10):
    (n,) = one.execute("SELECT n FROM counts").fetchone()
    one.execute("UPDATE counts SET n = ?", [n + 1])
one.execute("COMMIT")
one.close()
other.close()
