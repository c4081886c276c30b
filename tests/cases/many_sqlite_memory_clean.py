"""Twelve threads have one in-memory database each: twelve databases, not twelve connections to one.

source: sustainet-guardian/aletheia-probe#754
settings: TOO_MANY=10
"""

import sqlite3
import threading
from contextlib import closing

everyone = threading.Barrier(12)


def crawl(page):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("SELECT ?", [page]).fetchone()
        everyone.wait(20)


threads = [threading.Thread(target=crawl, args=(page,)) for page in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
