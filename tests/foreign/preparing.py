"""How a foreign suite's authors run it: what each function here starts lives as long as the stack that it is given."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from psycopg2 import connect as connect_postgresql
from pymysql import connect as connect_mysql

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager, ExitStack

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


def by_unittest(cwd: Path, *names: str, **env: str) -> Call:
    """Give the call that runs unittest tests by name."""
    return Call(("-m", "foreign_unittest", *names), cwd, env)


def by_pytest(cwd: Path, *arguments: str, **env: str) -> Call:
    """Give the call that runs pytest.

    Its cache is cleared: psycopg's suite notes there that it runs, and runs nothing after a run that died.
    """
    return Call(("-m", "pytest", "-q", "--cache-clear", "-p", "foreign_pytest", *arguments), cwd, env)


def by_bare_pytest(cwd: Path, *arguments: str, **env: str) -> Call:
    """Give the call that runs pytest for a suite without settings of its own, where pytest would take ours from above."""
    return by_pytest(cwd, "-c", os.devnull, "--rootdir", str(cwd), *arguments, **env)


def _postgres(database: str = "postgres", password: str | None = None) -> AbstractContextManager[str]:
    """Start a PostgreSQL with what the suites try: many connections, two phases, replication, hstore.

    Debian's brings hstore and test_decoding; where there is only the wheel's, some tests fail both ways.
    """
    more: dict[str, servers.Setting] = {"max_prepared_transactions": 20, "wal_level": "logical"}
    theirs = servers.debian_binaries()
    return servers.postgres(max_connections=200, password=password, database=database, binaries=theirs, settings=more)


def psycopg2(stack: ExitStack, source: Path, _python: str) -> Call:
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


def sqlite3(_stack: ExitStack, source: Path, python: str) -> Call:
    if python == "3.10":
        return by_unittest(source, *(f"sqlite3.test.{name}" for name in OLD_SQLITE))
    return by_unittest(source, "test.test_sqlite3")


def psycopg(
    implementation: Literal["binary", "c", "python"], *arguments: str
) -> Callable[[ExitStack, Path, str], Call]:
    def prepare(stack: ExitStack, source: Path, _python: str) -> Call:
        dsn = stack.enter_context(_postgres())
        chosen = ("--ignore=tests/pool", "-m", "not mypy and not proxy and not crdb", *arguments)
        return by_pytest(source, "tests", *chosen, "--test-dsn", dsn, PSYCOPG_IMPL=implementation)

    return prepare


def psycopg_pool(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = stack.enter_context(_postgres())
    marks = "not mypy and not proxy and not crdb"
    return by_pytest(source, "tests/pool", "-m", marks, "--test-dsn", dsn, PSYCOPG_IMPL="binary")


def sqlalchemy(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = stack.enter_context(_postgres("test", password="tiger"))
    with closing(connect_postgresql(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2")
        cursor.execute("SELECT name FROM pg_available_extensions WHERE name IN ('citext', 'hstore')")
        for (name,) in cursor.fetchall():
            cursor.execute(f"CREATE EXTENSION {name}")
    databases = ("sqlite:///:memory:", dsn.replace("postgresql:", "postgresql+psycopg2:"))
    places = ("test/engine", "test/dialect/postgresql", "test/dialect/sqlite", "test/dialect/test_suite.py")
    chosen = [part for each in databases for part in ("--dburi", each)]
    return by_pytest(source, *places, *chosen)


def django(
    database: Literal["sqlite", "postgresql"],
) -> Callable[[ExitStack, Path, str], Call]:
    def prepare(stack: ExitStack, source: Path, _python: str) -> Call:
        place: str = database
        if database == "postgresql":
            place = stack.enter_context(_postgres())
        arguments = ("runtests.py", "--settings=foreign_django", "--parallel=1", "--noinput")
        return Call((*arguments, "backends", "transactions"), source / "tests", {"FOREIGN_DJANGO": place})

    return prepare


def aiosqlite(_stack: ExitStack, source: Path, _python: str) -> Call:
    return by_unittest(source, "aiosqlite.tests.smoke")


def asyncpg(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = urlsplit(stack.enter_context(_postgres()))
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(dsn.port), "PGUSER": "postgres", "PGDATABASE": "postgres"}
    return by_unittest(source, "tests:suite", **address)


def pg8000(stack: ExitStack, source: Path, _python: str) -> Call:
    dsn = urlsplit(stack.enter_context(_postgres()))
    # The examples of the README connect to port 5432, whoever listens there.
    out = ("--ignore=test/test_readme.py", "--benchmark-disable")
    return by_bare_pytest(source, "test", *out, PGHOST="127.0.0.1", PGPORT=str(dsn.port))


def _mariadb(stack: ExitStack, tls: dict[str, Path] | None = None, password: str = "") -> tuple[dict[str, Any], str]:
    """Start a MariaDB: how its administrator connects, with that password, and the path of its socket.

    `tls` has the files that it needs for TLS by the names of its settings (`ssl_ca`, `ssl_cert`, `ssl_key`).
    """
    settings: dict[str, servers.Setting] = {"local_infile": 1}
    if tls is not None:
        folder = _readable_folder(stack)
        settings |= {name: shutil.copyfile(path, folder / path.name).as_posix() for name, path in tls.items()}
    server = stack.enter_context(servers.mariadb(settings=settings))
    root = {"host": server["host"], "port": server["port"], "user": "root", "password": ""}
    with closing(connect_mysql(**root)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@socket")
        ((socket,),) = cursor.fetchall()
        cursor.execute("SET PASSWORD = PASSWORD(%s)", (password,))
    return {**root, "password": password}, socket


def _readable_folder(stack: ExitStack) -> Path:
    """Give a temporary folder that a server can read too, whoever runs it."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="foreign-")))
    folder.chmod(0o755)
    return folder


def pymysql(stack: ExitStack, source: Path, _python: str) -> Call:
    root, _socket = _mariadb(stack)
    names = ("test1", "test2")
    with closing(connect_mysql(**root)) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    databases = [{**root, "database": name, "use_unicode": True, "local_infile": True} for name in names]
    (source / "pymysql" / "tests" / "databases.json").write_text(json.dumps(databases), encoding="utf-8")
    return by_bare_pytest(source, "pymysql/tests")


def mysqlclient(stack: ExitStack, source: Path, _python: str) -> Call:
    root, _socket = _mariadb(stack)
    options = _readable_folder(stack) / "default.cnf"
    address = f"host = {root['host']}\nport = {root['port']}\nuser = {root['user']}\n"
    options.write_text(
        f"[MySQLdb-tests]\n{address}database = test\ndefault-character-set = utf8mb4\n", encoding="utf-8"
    )
    return by_bare_pytest(source, "tests", TESTDB=str(options))


def mysql_connector(stack: ExitStack, source: Path, _python: str) -> Call:
    keys = source / "tests" / "data" / "ssl"
    names = {"ssl_ca": "CA_cert", "ssl_cert": "server_cert", "ssl_key": "server_key"}
    root, socket = _mariadb(stack, {setting: keys / f"tests_{name}.pem" for setting, name in names.items()})
    address = ("--host", root["host"], "--port", str(root["port"]), "--user", root["user"], "--unix-socket", socket)
    return Call(("-m", "foreign_mysql_connector", "--use-external-server", "--skip-install", *address), source)


def aiomysql(stack: ExitStack, source: Path, _python: str) -> Call:
    keys = source / "tests" / "ssl_resources" / "ssl"
    names = {"ssl_ca": "ca.pem", "ssl_cert": "server-cert.pem", "ssl_key": "server-key.pem"}
    root, _socket = _mariadb(stack, {setting: keys / name for setting, name in names.items()}, password="secret")
    address = f"tcp={root['host']}:{root['port']}"
    return by_bare_pytest(source, "tests", "--mysql-address", address, MYSQL_ROOT_PASSWORD=root["password"])


def asyncmy(stack: ExitStack, source: Path, _python: str) -> Call:
    # Beside its tests lies the package that nothing has compiled, and the server's port stands in conftest.py.
    root, _socket = _mariadb(stack, password="123456")
    folder = _readable_folder(stack)
    shutil.copytree(source / "tests", folder / "tests")
    shutil.copyfile(source / "pyproject.toml", folder / "pyproject.toml")
    settings = (source / "conftest.py").read_text(encoding="utf-8").replace("port=3306", f"port={root['port']}")
    (folder / "conftest.py").write_text(settings, encoding="utf-8")
    return by_pytest(folder, "tests")
