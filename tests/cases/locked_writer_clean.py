"""The prices are asked for first, and written in one short transaction; whoever meets it waits, or tries again.

source: dstackai/dstack#825
"""

import sqlite3
import threading
import time

writing = threading.Event()
failed = threading.Event()


def load_prices():
    prices = [(car, car * 100) for car in (1, 2)]
    connection = sqlite3.connect("shop.db")
    connection.executemany("INSERT INTO prices VALUES (?, ?)", prices)
    writing.set()
    failed.wait(20)  # the shortest transaction may be met
    connection.commit()
    connection.close()


def save(number):
    for attempt in range(200):
        connection = sqlite3.connect("shop.db", timeout=0)
        try:
            connection.execute("UPDATE sold SET number = ?", [number])
            connection.commit()
        except sqlite3.OperationalError:
            failed.set()
            time.sleep(0.01 * attempt)
        else:
            return
        finally:
            connection.close()


setup = sqlite3.connect("shop.db")
setup.executescript("CREATE TABLE prices (car, price); CREATE TABLE sold (number); INSERT INTO sold VALUES (0);")
setup.close()
thread = threading.Thread(target=load_prices)
thread.start()
writing.wait(20)
save(7)
thread.join()
