"""The same, but a list keeps each worker's connection when the worker is gone.

source: coleifer/peewee#829
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import gc
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

gc.disable()
local = threading.local()
connections = []


def work(number):
    if not hasattr(local, "connection"):
        # opened: owner-gone error x4 by work; left-open error x4 by work
        local.connection = sqlite3.connect("shop.db", check_same_thread=False)
        connections.append(local.connection)
    everyone.wait(20)
    return local.connection.execute("SELECT ?", [number]).fetchone()


for _ in range(2):
    everyone = threading.Barrier(2)
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(work, range(8)))  # spawned: work
    time.sleep(0.8)
