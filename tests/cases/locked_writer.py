"""An import writes its first row, then asks another service for each price; whoever saves meanwhile is told that the
database is locked.

source: dstackai/dstack#825
"""

import sqlite3
import threading

written = threading.Event()
answered = threading.Event()


def price_of(car):
    written.set()
    answered.wait(20)
    return car * 100


def load_prices():
    connection = sqlite3.connect("shop.db")  # opened: locked error x1 by load_prices
    for car in (1, 2):
        connection.execute("INSERT INTO prices VALUES (?, 0)", [car])
        connection.execute("UPDATE prices SET price = ? WHERE car = ?", [price_of(car), car])
    connection.commit()
    connection.close()


def save(number):
    connection = sqlite3.connect("shop.db", timeout=0.05)
    try:
        connection.execute("UPDATE sold SET number = ?", [number])
        connection.commit()
    except sqlite3.OperationalError as error:
        print(error)
    finally:
        connection.close()


setup = sqlite3.connect("shop.db")
setup.executescript("CREATE TABLE prices (car, price); CREATE TABLE sold (number); INSERT INTO sold VALUES (0);")
setup.close()
thread = threading.Thread(target=load_prices)
thread.start()  # spawned: load_prices
written.wait(20)
for number in range(3):
    save(number)
answered.set()
thread.join()
