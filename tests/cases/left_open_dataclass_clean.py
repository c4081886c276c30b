"""The same dataclass is a context manager, and is used as one.

source: dropbox/merou#679
"""

import itertools
import sqlite3
from dataclasses import dataclass, field

numbers = itertools.count()


def connect():
    return sqlite3.connect(f"tenant{next(numbers)}.db")


@dataclass
class Repository:
    tenant: str
    connection: sqlite3.Connection = field(default_factory=connect)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.connection.close()

    def save(self):
        with self.connection:
            self.connection.execute("CREATE TABLE note (text)")


for tenant in ("a", "b", "c", "d"):
    with Repository(tenant) as repository:
        repository.save()
