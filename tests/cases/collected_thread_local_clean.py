"""Each worker of an executor keeps a sqlite3 connection in a threading.local, which goes when the worker
does.

source: lemon24/reader#206
"""

import gc
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

mine = threading.local()
everyone = threading.Barrier(3)


def work(number):
    everyone.wait(20)  # so that each worker gets every third job
    if not hasattr(mine, "connection"):
        mine.connection = sqlite3.connect("feeds.db")
    return mine.connection.execute("SELECT ?", [number]).fetchone()


with ThreadPoolExecutor(3) as executor:
    print(sum(row[0] for row in executor.map(work, range(12))))
gc.collect()
