"""Each thread drops connections that are in a cycle, and collects before it ends.

source: encode/databases#134
"""

import gc
import sqlite3
import threading


class Session:
    def __init__(self):
        self.connection = sqlite3.connect("cache.db")  # opened: collected-open warning x6 by work
        self.itself = self


def work():
    for _ in range(2):
        Session().connection.execute("SELECT 1").fetchone()
    gc.collect()


threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()  # spawned: work
    thread.join()
