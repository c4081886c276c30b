"""Connections are made by calling the class itself, sqlite3.Connection, with a subclass of one's own.

source: lemon24/reader#206
"""

import sqlite3


class Storage(sqlite3.Connection):
    def feeds(self):
        return self.execute("SELECT 1").fetchall()


storages = [Storage(f"{name}.db") for name in ("news", "blogs", "comics")]  # opened: left-open error x3
print([storage.feeds() for storage in storages])
