"""A poller opens a file in every round, and its old connections stay in a history that only grows.

source: ecmwf/earthkit-data#1152
settings: EVERY=0.05
"""

import sqlite3
import time

history = []


def poll(number):
    # opened: growing warning x12; left-open error x12
    connection = sqlite3.connect(f"round{number}.db")
    history.append(connection)
    connection.execute("SELECT 1").fetchone()


for number in range(12):
    poll(number)
    time.sleep(0.24)
