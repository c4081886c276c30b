"""Threads take connections from a stock of the program's own, and put them back for the threads of the next batch.

settings: OWNER_GONE=0.3 EVERY=0.1
"""

import queue
import sqlite3
import threading
import time

free = queue.LifoQueue()


def borrowed():
    try:
        return free.get_nowait()
    except queue.Empty:
        return sqlite3.connect("cars.db", check_same_thread=False)


def work(all_here):
    for _ in range(3):
        connection = borrowed()
        connection.execute("SELECT 1").fetchone()
        all_here.wait(20)
        free.put(connection)
        all_here.wait(20)


for _ in range(2):
    all_here = threading.Barrier(4)
    threads = [threading.Thread(target=work, args=(all_here,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.8)
while not free.empty():
    free.get().close()
