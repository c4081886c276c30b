"""A scheduled job keeps a connection at each run.

source: agronholm/apscheduler#500
"""

import sqlite3
import threading

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

kept = []
thrice = threading.Event()


def report():
    kept.append(sqlite3.connect("shop.db", check_same_thread=False))  # opened: left-open error x3 by report
    if len(kept) == 3:
        scheduler.remove_job("report")
        thrice.set()


scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)})
scheduler.start()
scheduler.add_job(report, "interval", seconds=0.05, id="report", max_instances=1)  # spawned: report
assert thrice.wait(30)
scheduler.shutdown()
