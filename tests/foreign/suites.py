"""The foreign suites: where each comes from, what it needs, and how its authors run it.

All versions are pinned, so that a difference between two runs is ours and not theirs.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import psycopg2
import pymysql

from tests import servers
from tests.foreign.sources import Git, Sdist, Source, Stdlib

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager, ExitStack
    from pathlib import Path

PYTEST = "pytest==9.1.0"
OLD_SQLITE = (
    "backup",
    "dbapi",
    "dump",
    "factory",
    "hooks",
    "regression",
    "transactions",
    "types",
    "userfunctions",
)


@dataclass(frozen=True)
class Call:
    """How to run a suite once: a module's arguments after `python`, its folder and its variables."""

    arguments: tuple[str, ...]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)


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
    prepare: Callable[[ExitStack, Path, str], Call]
    long: bool = False
    oldest: str = "3.10"
    patience: float = 120.0


def by_unittest(cwd: Path, *names: str, **env: str) -> Call:
    """Give the call that runs unittest tests by name."""
    return Call(("-m", "foreign_unittest", *names), cwd, env)


def by_pytest(cwd: Path, *arguments: str, **env: str) -> Call:
    """Give the call that runs pytest.

    Its cache is cleared: psycopg's suite notes there that it runs, and runs nothing after a run that died.
    """
    return Call(("-m", "pytest", "-q", "--cache-clear", "-p", "foreign_pytest", *arguments), cwd, env)


def _postgres(database: str = "postgres", password: str | None = None) -> AbstractContextManager[str]:
    """Start a PostgreSQL with what the suites try: many connections, two phases, replication, hstore.

    Debian's brings hstore and test_decoding; where there is only the wheel's, some tests fail both ways.
    """
    more: dict[str, servers.Setting] = {"max_prepared_transactions": 20, "wal_level": "logical"}
    theirs = servers.debian_binaries()
    return servers.postgres(max_connections=200, password=password, database=database, binaries=theirs, settings=more)


def _psycopg2(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = urlsplit(stack.enter_context(_postgres()))
    return by_unittest(
        source,
        "tests:test_suite",
        PSYCOPG2_TESTDB="postgres",
        PSYCOPG2_TESTDB_HOST="127.0.0.1",
        PSYCOPG2_TESTDB_PORT=str(dsn.port),
        PSYCOPG2_TESTDB_USER="postgres",
        PSYCOPG2_TEST_REPL_DSN="",
    )


def _sqlite3(_stack: ExitStack, source: Path, python: str) -> Call:
    if python == "3.10":
        return by_unittest(source, *(f"sqlite3.test.{name}" for name in OLD_SQLITE))
    return by_unittest(source, "test.test_sqlite3")


def _psycopg(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = stack.enter_context(_postgres())
    marks = "not mypy and not proxy and not crdb"
    out = "--ignore=tests/pool"
    return by_pytest(source, "tests", out, "-m", marks, "--test-dsn", dsn, PSYCOPG_IMPL="binary")


def _psycopg_pool(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = stack.enter_context(_postgres())
    marks = "not mypy and not proxy and not crdb"
    return by_pytest(source, "tests/pool", "-m", marks, "--test-dsn", dsn, PSYCOPG_IMPL="binary")


def _sqlalchemy(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = stack.enter_context(_postgres("test", password="tiger"))
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2")
        cursor.execute("SELECT name FROM pg_available_extensions WHERE name IN ('citext', 'hstore')")
        for (name,) in cursor.fetchall():
            cursor.execute(f"CREATE EXTENSION {name}")
    databases = ("sqlite:///:memory:", dsn.replace("postgresql:", "postgresql+psycopg2:"))
    places = ("test/engine", "test/dialect/postgresql", "test/dialect/sqlite", "test/dialect/test_suite.py")
    chosen = [part for each in databases for part in ("--dburi", each)]
    return by_pytest(source, *places, *chosen)


def _django(
    database: Literal["sqlite", "postgresql"],
) -> Callable[[ExitStack, Path, str], Call]:
    def prepare(stack: ExitStack, source: Path, _python: str) -> Call:
        place: str = database
        if database == "postgresql":
            place = stack.enter_context(_postgres())
        arguments = ("runtests.py", "--settings=foreign_django", "--parallel=1", "--noinput")
        return Call((*arguments, "backends", "transactions"), source / "tests", {"FOREIGN_DJANGO": place})

    return prepare


def _pymysql(stack: ExitStack, source: Path, _python: str) -> Call:
    server = stack.enter_context(servers.mariadb(settings={"local_infile": 1}))
    common = {
        "host": server["host"],
        "port": server["port"],
        "user": "root",
        "passwd": "",
        "local_infile": True,
    }
    names = ("test1", "test2")
    with closing(pymysql.connect(**server)) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    databases = [{**common, "database": name, "use_unicode": True} for name in names]
    (source / "pymysql" / "tests" / "databases.json").write_text(json.dumps(databases), encoding="utf-8")
    return by_pytest(source, "pymysql/tests")


def _aiosqlite(_stack: ExitStack, source: Path, _python: str) -> Call:
    return by_unittest(source, "aiosqlite.tests.smoke")


def _asyncpg(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = urlsplit(stack.enter_context(_postgres()))
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(dsn.port), "PGUSER": "postgres", "PGDATABASE": "postgres"}
    return by_unittest(source, "tests:suite", **address)


ALL = {
    suite.name: suite
    for suite in (
        Suite(
            "psycopg2",
            "2.9.13",
            Sdist("psycopg2", "2.9.13", keep=("tests",)),
            ("psycopg2-binary==2.9.13",),
            _psycopg2,
        ),
        Suite("sqlite3", "", Stdlib(), (), _sqlite3),
        Suite(
            "psycopg",
            "3.3.4",
            Git("https://github.com/psycopg/psycopg", "3.3.4"),
            ("psycopg[binary]==3.3.4", "anyio==4.9.0", "dnspython==2.7.0", PYTEST),
            _psycopg,
            long=True,
        ),
        Suite(
            "psycopg_pool",
            "3.3.1",
            Git("https://github.com/psycopg/psycopg", "3.3.4"),
            ("psycopg[binary]==3.3.4", "psycopg-pool==3.3.1", "anyio==4.9.0", PYTEST),
            _psycopg_pool,
            long=True,
        ),
        Suite(
            "sqlalchemy",
            "2.1.9",
            Sdist("SQLAlchemy", "2.1.9"),
            ("SQLAlchemy==2.1.9", "psycopg2-binary==2.9.13", "greenlet", PYTEST),
            _sqlalchemy,
            long=True,
            oldest="3.11",
        ),
        Suite(
            "django-sqlite",
            "5.2.19",
            Sdist("Django", "5.2.19"),
            ("Django==5.2.19",),
            _django("sqlite"),
        ),
        Suite(
            "django-postgresql",
            "5.2.19",
            Sdist("Django", "5.2.19"),
            ("Django==5.2.19", "psycopg2-binary==2.9.13"),
            _django("postgresql"),
        ),
        Suite(
            "pymysql",
            "1.2.0",
            Git("https://github.com/PyMySQL/PyMySQL", "v1.2.0"),
            ("PyMySQL==1.2.0", PYTEST),
            _pymysql,
            long=True,
        ),
        Suite(
            "aiosqlite",
            "0.22.1",
            Sdist("aiosqlite", "0.22.1"),
            ("aiosqlite==0.22.1",),
            _aiosqlite,
        ),
        Suite(
            "asyncpg",
            "0.32.0",
            Sdist("asyncpg", "0.32.0", keep=("tests",)),
            ("asyncpg==0.32.0", "distro==1.9.0"),
            _asyncpg,
            long=True,
        ),
    )
}
