"""Each page makes an in-memory database for one question and drops it without a close.

source: simonw/datasette#1590
"""

import gc
import sqlite3

gc.disable()  # when the collector comes is chance: here only at the end


def detect():
    # opened: collected-open info x20
    sqlite3.connect(":memory:").execute("SELECT json('{}')")


for _ in range(20):
    detect()
