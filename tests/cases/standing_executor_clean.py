"""Each worker of an executor keeps the connection that its first job opened, and a list of them serves the
statistics; the workers are joined when the main thread has ended.

source: simonw/datasette#569
settings: HELD_TOO_LONG=0.3 OWNER_GONE=0.3 EVERY=0.1
"""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

mine = threading.local()
connections = []
everyone = threading.Barrier(3)


def job(number):
    everyone.wait(20)
    if not hasattr(mine, "connection"):
        # opened: left-open info x3 by job
        mine.connection = sqlite3.connect("feeds.db", check_same_thread=False)
        connections.append(mine.connection)
    return mine.connection.execute("SELECT ?", [number]).fetchone()


executor = ThreadPoolExecutor(3)
print(sum(row[0] for row in executor.map(job, range(12))))  # spawned: job
time.sleep(1)
