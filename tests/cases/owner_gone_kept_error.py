"""A sqlite3 job stores its last error on an object for the status page, and with it the frame that holds
the file open.

source: medialab/minet#867
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import sqlite3
import threading
import time

errors = []


def crawl(site):
    try:
        # opened: owner-gone error x3 by crawl; left-open error x3 by crawl
        connection = sqlite3.connect(f"{site}.db")
        connection.execute("INSERT INTO page VALUES (1)")
    except sqlite3.OperationalError as error:
        errors.append(error)


threads = [threading.Thread(target=crawl, args=(site,)) for site in ("one", "two", "three")]
for thread in threads:
    thread.start()  # spawned: crawl
for thread in threads:
    thread.join()
time.sleep(1.2)
print(len(errors), "sites failed")
