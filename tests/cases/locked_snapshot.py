"""In WAL mode a transaction reads, another writes, and the first may not write any more: sqlite does not wait there.

source: simonw/datasette#2358
"""

import sqlite3

setup = sqlite3.connect("data.db")
setup.executescript("PRAGMA journal_mode = wal; CREATE TABLE counts (n); INSERT INTO counts VALUES (0);")
setup.close()

one = sqlite3.connect("data.db", isolation_level=None)
other = sqlite3.connect("data.db", isolation_level=None)
one.execute("BEGIN")
(n,) = one.execute("SELECT n FROM counts").fetchone()
other.execute("UPDATE counts SET n = 7")
try:
    # opened: locked error x1
    one.execute("UPDATE counts SET n = ?", [n + 1])
except sqlite3.OperationalError as error:
    print(error)
one.close()
other.close()
