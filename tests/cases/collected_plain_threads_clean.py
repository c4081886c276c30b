"""Plain threads keep a connection each in a threading.local, which goes when its thread does.

source: grantjenks/python-diskcache#295
"""

import gc
import sqlite3
import threading

mine = threading.local()


def work(number):
    mine.connection = sqlite3.connect("cache.db")
    mine.connection.execute("SELECT ?", [number]).fetchone()


threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.collect()
