"""An executor for each batch, whose workers keep a connection each; with the threads go the connections.

Since Python 3.11 a sqlite3 connection waits for the garbage collector then, which does not come for a while.

source: coleifer/peewee#829
settings: OWNER_GONE=0.3 HELD_TOO_LONG=0.5 EVERY=0.1
"""

import gc
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

gc.disable()
local = threading.local()


def work(number):
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect("shop.db")
    everyone.wait(20)
    return local.connection.execute("SELECT ?", [number]).fetchone()


for _ in range(2):
    everyone = threading.Barrier(2)
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(work, range(8)))
    time.sleep(0.8)
