"""A report gathers its rows in databases that only its own connections see: nobody else wants their locks.

source: mattn/go-sqlite3#309
settings: IDLE_IN_TRANSACTION=0.4 HELD_TOO_LONG=0.5 EVERY=0.1
"""

import sqlite3
import time
from contextlib import ExitStack, closing

with ExitStack() as stack:
    for path in (":memory:", "", "file:report?mode=memory"):
        connection = stack.enter_context(closing(sqlite3.connect(path, uri=True)))
        connection.execute("CREATE TABLE seen (id)")
        connection.executemany("INSERT INTO seen VALUES (?)", [(number,) for number in range(9)])
        unread = connection.execute("SELECT id FROM seen")
        print(unread.fetchone())
        stack.callback(unread.close)
    time.sleep(1.0)
