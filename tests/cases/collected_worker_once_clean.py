"""One worker of an executor is busy with its first job all the time; its threading.local's connection goes with
it, just as the one that the other worker used for every other job.

source: simonw/datasette#569
"""

import gc
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

JOBS = 6
mine = threading.local()
both = threading.Barrier(2)
over = threading.Event()


def work(number):
    if number < 2:
        both.wait(20)  # each worker gets one of the first two
    if not hasattr(mine, "connection"):
        mine.connection = sqlite3.connect("feeds.db")
    row = mine.connection.execute("SELECT ?", [number]).fetchone()
    if number == 0:
        over.wait(20)
    elif number == JOBS - 1:
        over.set()
    return row


with ThreadPoolExecutor(2) as executor:
    print(sum(row[0] for row in executor.map(work, range(JOBS))))
gc.collect()
