"""Each page makes an in-memory database for one question and drops it without a close.

source: simonw/datasette#1590
"""

import sqlite3


def detect():
    # opened: collected-open info x20
    sqlite3.connect(":memory:").execute("SELECT json('{}')")


for _ in range(20):
    detect()
