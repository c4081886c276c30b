"""Two connections share one database in memory: an open transaction of the first locks the second out.

source: xerial/sqlite-jdbc#830
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import sqlite3
import time

SHARED = "file:report?mode=memory&cache=shared"

writer = sqlite3.connect(SHARED, uri=True)  # opened: idle-in-transaction warning x1
writer.execute("CREATE TABLE seen (id)")
writer.execute("INSERT INTO seen VALUES (1)")
time.sleep(1.0)
writer.close()
