"""Imports prices while customers buy, in two threads on one sqlite file: the shop is told "database is locked"."""

import os
import sqlite3
import tempfile
import threading
import time
from contextlib import closing

CARS = range(1, 6)


def rate_of(car: int) -> float:
    """Ask the currency service, which takes its time."""
    time.sleep(0.1)
    return 1 + car / 100


def load_prices(path: str, begun: threading.Event) -> None:
    connection = sqlite3.connect(path)
    for car in CARS:
        # the first of these updates begins a transaction, and takes the file's one write lock until the commit
        connection.execute("UPDATE cars SET price = price * ? WHERE id = ?", [rate_of(car), car])
        begun.set()
    connection.commit()
    connection.close()


def buy(path: str, car: int) -> None:
    with closing(sqlite3.connect(path, timeout=0.1)) as connection:  # seconds to wait for the lock; 5 by default
        connection.execute("UPDATE cars SET sold = 1 WHERE id = ?", [car])
        connection.commit()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "shop.db")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE cars (id INTEGER PRIMARY KEY, price REAL, sold INTEGER)")
            connection.executemany("INSERT INTO cars VALUES (?, 1000, 0)", [(car,) for car in CARS])
            connection.commit()
        begun = threading.Event()
        thread = threading.Thread(target=load_prices, args=(path, begun))
        thread.start()
        begun.wait()
        try:
            buy(path, 3)
        except sqlite3.OperationalError as error:
            print(f"car 3 was not sold: {error}")
        else:
            print("car 3 was sold")
        thread.join()


if __name__ == "__main__":
    main()
