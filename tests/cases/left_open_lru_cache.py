"""An lru_cache keyed by tenant keeps one connection for each, and has no way to close any.

source: topoteretes/cognee#4328
"""

import sqlite3
from functools import lru_cache


@lru_cache(maxsize=128)
def connection(tenant):
    return sqlite3.connect(f"{tenant}.db")  # opened: left-open error x4


for tenant in ("red", "green", "blue", "grey", "red", "blue"):
    connection(tenant).execute("SELECT 1").fetchone()
