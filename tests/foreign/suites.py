"""The foreign suites: where each comes from, and what it needs.

All versions are pinned, so that a difference between two runs is ours and not theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.foreign import preparing
from tests.foreign.sources import Git, Sdist, Source, Stdlib

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

PYTEST = "pytest==9.1.0"
PSYCOPG = Git("https://github.com/psycopg/psycopg", "3.3.4")
# Its tests for leaks are exceptions of ours, and take most of its time: they run with one implementation only.
NO_LEAKS = ("-k", "not leak")


@dataclass(frozen=True)
class Suite:
    """One library's own tests.

    `prepare` starts the servers that it needs, which live as long as the stack that it is given, and
    gives the call. A `long` suite is left to the documented command; the others run in CI too.
    `patience` is how many seconds one test may take before it counts as hanging.
    """

    name: str
    version: str
    source: Source
    requires: tuple[str, ...]
    prepare: Callable[[ExitStack, Path, str], preparing.Call]
    long: bool = False
    oldest: str = "3.10"
    patience: float = 120.0


ALL = {
    suite.name: suite
    for suite in (
        Suite(
            "psycopg2",
            "2.9.13",
            Sdist("psycopg2", "2.9.13", keep=("tests",)),
            ("psycopg2-binary==2.9.13",),
            preparing.psycopg2,
        ),
        Suite("sqlite3", "", Stdlib(), (), preparing.sqlite3),
        Suite(
            "psycopg",
            "3.3.4",
            PSYCOPG,
            ("psycopg[binary]==3.3.4", "anyio==4.9.0", "dnspython==2.7.0", PYTEST),
            preparing.psycopg("binary"),
            long=True,
        ),
        Suite(
            "psycopg-c",
            "3.3.4",
            PSYCOPG,
            ("psycopg[c]==3.3.4", "anyio==4.9.0", "dnspython==2.7.0", PYTEST),  # compiled: it wants libpq-dev
            preparing.psycopg("c", *NO_LEAKS),
            long=True,
        ),
        Suite(
            "psycopg-python",
            "3.3.4",
            PSYCOPG,
            ("psycopg==3.3.4", "anyio==4.9.0", "dnspython==2.7.0", PYTEST),
            preparing.psycopg("python", *NO_LEAKS),
            long=True,
        ),
        Suite(
            "psycopg_pool",
            "3.3.1",
            PSYCOPG,
            ("psycopg[binary]==3.3.4", "psycopg-pool==3.3.1", "anyio==4.9.0", PYTEST),
            preparing.psycopg_pool,
            long=True,
        ),
        Suite(
            "sqlalchemy",
            "2.1.9",
            Sdist("SQLAlchemy", "2.1.9"),
            ("SQLAlchemy==2.1.9", "psycopg2-binary==2.9.13", "greenlet", PYTEST),
            preparing.sqlalchemy,
            long=True,
            oldest="3.11",
        ),
        Suite(
            "django-sqlite",
            "5.2.19",
            Sdist("Django", "5.2.19"),
            ("Django==5.2.19",),
            preparing.django("sqlite"),
        ),
        Suite(
            "django-postgresql",
            "5.2.19",
            Sdist("Django", "5.2.19"),
            ("Django==5.2.19", "psycopg2-binary==2.9.13"),
            preparing.django("postgresql"),
        ),
        Suite(
            "pymysql",
            "1.2.0",
            Git("https://github.com/PyMySQL/PyMySQL", "v1.2.0"),
            ("PyMySQL==1.2.0", PYTEST),
            preparing.pymysql,
            long=True,
        ),
        Suite(
            "aiosqlite",
            "0.22.1",
            Sdist("aiosqlite", "0.22.1"),
            ("aiosqlite==0.22.1",),
            preparing.aiosqlite,
        ),
        Suite(
            "asyncpg",
            "0.32.0",
            Sdist("asyncpg", "0.32.0", keep=("tests",)),
            ("asyncpg==0.32.0", "distro==1.9.0"),
            preparing.asyncpg,
            long=True,
        ),
        Suite(
            "pg8000",
            "1.31.6",
            Sdist("pg8000", "1.31.6", keep=("test",)),
            ("pg8000==1.31.6", "pytest-benchmark==5.1.0", "pytest-mock==3.14.0", "pytz==2025.2", "pytest==8.4.2"),
            preparing.pg8000,
            long=True,
        ),
        Suite(
            "mysqlclient",
            "2.3.2",
            Sdist("mysqlclient", "2.3.2", keep=("tests",)),
            ("mysqlclient==2.3.2", "SQLAlchemy==2.1.9", PYTEST),
            preparing.mysqlclient,
            long=True,
        ),
        Suite(
            "mysql-connector",
            "9.7.0",
            Sdist("mysql-connector-python", "9.7.0", keep=("tests", "cpydist", "examples", "lib", "unittests.py")),
            ("mysql-connector-python==9.7.0", "setuptools==80.9.0"),
            preparing.mysql_connector,
            long=True,
        ),
        Suite(
            "aiomysql",
            "0.3.2",
            Sdist("aiomysql", "0.3.2", keep=("tests",)),
            ("aiomysql==0.3.2", "PyMySQL==1.1.2", "SQLAlchemy==1.3.24", "uvloop==0.22.1", "pytest==8.4.2"),
            preparing.aiomysql,
            long=True,
        ),
        Suite(
            "asyncmy",
            "0.2.11",
            Git("https://github.com/long2ice/asyncmy", "v0.2.11"),
            ("asyncmy==0.2.11", "pytest-asyncio==0.21.2", "pytest==8.4.2"),
            preparing.asyncmy,
            long=True,
        ),
    )
}
