"""The same job closes what it opens; another keeps one connection for each worker thread.

source: agronholm/apscheduler#500
"""

import sqlite3
import threading
from contextlib import closing

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

local = threading.local()
runs = []
thrice = threading.Event()


def report():
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.execute("SELECT 1")


def count():
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect("shop.db")
    runs.append(local.connection.execute("SELECT 1").fetchone())
    if len(runs) == 5:
        scheduler.remove_job("count")
        thrice.set()


scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(2)})
scheduler.start()
scheduler.add_job(report, "interval", seconds=0.05)
scheduler.add_job(count, "interval", seconds=0.05, id="count")
assert thrice.wait(30)
scheduler.shutdown()
