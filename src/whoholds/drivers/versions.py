"""The versions of each library: which its driver knows, and which the tests were run with.

`python -m tests.versions` runs them with the oldest and the newest of each; its table stands in docs/libraries.md.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Versions(NamedTuple):
    """Versions of one library, as dotted numbers."""

    oldest: str  # that the tests were run with; below it the driver stands aside
    newest: str  # that the tests were run with
    below: str = ""  # the driver stands aside from this version on
    packages: tuple[str, ...] = ()  # its distributions on PyPI, where they are not called as the library is


# The libraries that have a driver, as the documentation calls them; sqlite3 has the version of its Python.
LIBRARIES: dict[str, Versions] = {
    "aiomysql": Versions("0.2.0", "0.3.2", below="1"),  # earlier ones hide what the server answers to a connect
    "aioodbc": Versions("0.4.1", "0.5.0", below="1"),
    "aiopg": Versions("1.3.0", "1.4.0", below="2"),
    "aiosqlite": Versions("0.17.0", "0.22.1", below="1"),
    "asyncmy": Versions("0.2.9", "0.2.18", below="1"),
    "asyncpg": Versions("0.29.0", "0.32.0", below="1"),
    "DBUtils": Versions("2.0", "3.2.0", below="4"),
    "Django": Versions("4.2", "6.1.3", below="7"),
    "mariadb": Versions("1.1.7", "1.1.14", below="2"),
    "mysql-connector-python": Versions("8.0.32", "26.10.0", below="30"),
    "mysqlclient": Versions("2.0.0", "2.3.2", below="3"),
    "peewee": Versions("3.8.0", "4.5.3", below="5"),
    "pg8000": Versions("1.29.0", "1.31.6", below="2"),
    "psycopg": Versions("3.1", "3.3.9", below="4"),
    "psycopg2": Versions("2.8", "2.9.13", below="3", packages=("psycopg2", "psycopg2-binary")),
    "psycopg_pool": Versions("3.1", "3.3.3", below="4", packages=("psycopg-pool",)),
    "PyMySQL": Versions("1.0.1", "1.2.4", below="3"),
    "pyodbc": Versions("4.0.1", "5.5.0", below="6"),
    "SQLAlchemy": Versions("1.4.36", "2.1.9", below="3"),
}

# What whoholds itself is built on; nothing is switched off for their versions.
FOUNDATIONS: dict[str, Versions] = {
    "opentelemetry-api": Versions("1.30.0", "1.45.2"),
    "wrapt": Versions("1.14.0", "2.5.2"),
}


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version's release, for comparison: (2, 8) for "2.8.0 (dt dec pq3)"."""
    release = re.match(r"[\d.]*", version)
    numbers = [int(digits) for digits in re.findall(r"\d+", release[0] if release else "")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
