"""The SELECT is read to its end, which lets go of the lock although the cursor is still there.

source: azmatt/chasing_your_tail#13
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import sqlite3
import threading
import time
from contextlib import closing

connection = sqlite3.connect("seen.db")
connection.execute("CREATE TABLE device (mac)")
connection.executemany("INSERT INTO device VALUES (?)", [(number,) for number in range(5000)])
connection.commit()


def forget():
    with closing(sqlite3.connect("seen.db", timeout=0.1)) as other:
        other.execute("DELETE FROM device")
        other.commit()


devices = connection.execute("SELECT mac FROM device")
print(len(devices.fetchall()))
time.sleep(1.0)
thread = threading.Thread(target=forget)
thread.start()
thread.join()
time.sleep(0.2)
connection.close()
