"""A half-read SELECT keeps a read lock on the file, so that another thread's write finds the database locked.

source: azmatt/chasing_your_tail#13
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import sqlite3
import threading
import time
from contextlib import closing

connection = sqlite3.connect("seen.db")  # opened: locked error x1
connection.execute("CREATE TABLE device (mac)")
connection.executemany("INSERT INTO device VALUES (?)", [(number,) for number in range(5000)])
connection.commit()


def forget():
    with closing(sqlite3.connect("seen.db", timeout=0.1)) as other:
        try:
            other.execute("DELETE FROM device")
            other.commit()
        except sqlite3.OperationalError as error:
            print(error)


devices = connection.execute("SELECT mac FROM device")  # opened: cursor-left-open warning x1
print(devices.fetchone())
time.sleep(1.0)
thread = threading.Thread(target=forget)
thread.start()
thread.join()
time.sleep(0.2)
devices.close()
connection.close()
