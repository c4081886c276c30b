"""Threads take connections from a stock of the program's own, and put them back for the threads of the next batch.

source: open-webui/oikb#35
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import sqlite3
import threading
import time

stock = {}


def borrowed(place):
    if place not in stock:
        stock[place] = sqlite3.connect("cars.db", check_same_thread=False)
    return stock[place]


def work(number, all_here):
    for place in (number, (number + 1) % 4, number):
        borrowed(place).execute("SELECT 1").fetchone()
        all_here.wait(20)
        time.sleep(0.4)


for _ in range(2):
    all_here = threading.Barrier(4)
    threads = [threading.Thread(target=work, args=(number, all_here)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.6)
for connection in stock.values():
    connection.close()
