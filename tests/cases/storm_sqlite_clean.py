"""A sqlite3 file is opened for every query: wasteful, but no server suffers from it.

source: giorginolab/zotfile_doctor#6
settings: STORM=10 STORM_FOR=1 EVERY=0.1
"""

import sqlite3
import time
from contextlib import closing


def query(sql, *values):
    with closing(sqlite3.connect("zotero.db")) as connection:  # opened: connect-storm info x10+
        return connection.execute(sql, values).fetchone()


end = time.monotonic() + 2.5
while time.monotonic() < end:
    query("SELECT ?", 1)
    time.sleep(0.01)
