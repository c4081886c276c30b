"""An lru_cache without a key holds the one connection of the process.

source: topoteretes/cognee#4328
"""

import sqlite3
from functools import lru_cache


@lru_cache(maxsize=128)
def connection():
    return sqlite3.connect("app.db")  # opened: left-open info x1


for _ in range(6):
    connection().execute("SELECT 1").fetchone()
