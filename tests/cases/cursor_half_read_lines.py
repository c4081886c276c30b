"""Two functions take the first row of a table from one connection, one of them twice, and keep their cursors.

source: azmatt/chasing_your_tail#13
settings: HELD_TOO_LONG=0.5 EVERY=0.1
"""

import sqlite3
import time

connection = sqlite3.connect("seen.db")
connection.execute("CREATE TABLE device (mac)")
connection.executemany("INSERT INTO device VALUES (?)", [(number,) for number in range(500)])
connection.commit()


def first():
    return connection.execute("SELECT mac FROM device")  # opened: cursor-left-open warning x1


def second():
    return connection.execute("SELECT mac FROM device")  # opened: cursor-left-open warning x2


cursors = [first(), second(), second()]
print([cursor.fetchone() for cursor in cursors])
time.sleep(1.5)
for cursor in cursors:
    cursor.close()
connection.close()
