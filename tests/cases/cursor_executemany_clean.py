"""A cursor keeps its statement after `executemany`, which is done: no lock is held, and nothing is left to read.

settings: HELD_TOO_LONG=0.3 EVERY=0.1
"""

import sqlite3
import time

connection = sqlite3.connect("site.db")
connection.execute("create table measured (value)")
cursor = connection.executemany("insert into measured values (?)", [(1,), (2,)])
connection.commit()
time.sleep(1)
connection.close()
