"""Workers take connections from a queue and put them back; at the end of the program the queue is left as it is.

source: coleifer/peewee#829
settings: EVERY=0.1
"""

import queue
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

free = queue.Queue()


def make():
    return sqlite3.connect("shop.db", check_same_thread=False)


def work(_):
    connection = free.get()
    connection.execute("SELECT 1").fetchall()
    free.put(connection)
    together.wait(30)


for _ in range(3):
    free.put(make())
together = threading.Barrier(3)
with ThreadPoolExecutor(3) as executor:
    list(executor.map(work, range(12)))
