"""The cars of a few users in a sqlite3 file, and two functions that ask for them: one forgets to close."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

FILE = os.environ.get("GARAGE", "garage.db")
_report: list[sqlite3.Connection] = []


def name_of(user: int) -> str:
    """Give the user's name, and the connection back."""
    with closing(sqlite3.connect(FILE)) as connection:
        (name,) = connection.execute("SELECT 'user ' || ?", [user]).fetchone()
    return str(name)


def cars_of(user: int) -> list[str]:
    """Give the user's cars; the connection goes on into a list that nobody empties."""
    connection = sqlite3.connect(FILE, check_same_thread=False)
    _report.append(connection)
    return [name for (name,) in connection.execute("SELECT 'car of ' || ?", [user])]
