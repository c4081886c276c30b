"""Every thread of a crawler opens the same sqlite3 file again.

source: sqlobject/sqlobject#186
settings: TOO_MANY=10
"""

import sqlite3
import threading
from contextlib import closing

everyone = threading.Barrier(12)


def crawl(page):
    with closing(sqlite3.connect("crawl.db")) as connection:  # opened: too-many-at-once warning x12 by crawl
        connection.execute("SELECT ?", [page]).fetchone()
        everyone.wait(20)


threads = [threading.Thread(target=crawl, args=(page,)) for page in range(12)]
for thread in threads:
    thread.start()  # spawned: crawl
for thread in threads:
    thread.join()
