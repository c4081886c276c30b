"""Objects close their connection in a finalizer, which weakref also runs when the process ends.

source: r-spade/ormah#130
"""

import sqlite3
import weakref


class Store:
    def __init__(self, name):
        self.connection = sqlite3.connect(f"{name}.db")
        weakref.finalize(self, self.connection.close)


stores = [Store(name) for name in ("red", "green", "blue")]
for store in stores:
    store.connection.execute("SELECT 1").fetchone()
