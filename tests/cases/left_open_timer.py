"""A timer is started again and again, and every time it fires it opens the file and keeps it.

source: azmatt/chasing_your_tail#13
"""

import sqlite3
import threading

connections = []


def sweep():
    connection = sqlite3.connect("seen.db")  # opened: left-open error x3 by timer
    connections.append(connection)


timers = [threading.Timer(0.01, sweep) for _ in range(3)]
for timer in timers:
    timer.start()  # spawned: timer
for timer in timers:
    timer.join()
