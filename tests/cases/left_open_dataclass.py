"""A dataclass makes its own connection by default_factory, so each new instance quietly brings another.

source: dropbox/merou#679
"""

import itertools
import sqlite3
from dataclasses import dataclass, field

numbers = itertools.count()


def connect():
    return sqlite3.connect(f"tenant{next(numbers)}.db")  # opened: left-open error x4


@dataclass
class Repository:
    tenant: str
    connection: sqlite3.Connection = field(default_factory=connect)

    def save(self):
        with self.connection:
            self.connection.execute("CREATE TABLE note (text)")


repositories = [Repository(tenant) for tenant in ("a", "b", "c", "d")]
for repository in repositories:
    repository.save()
