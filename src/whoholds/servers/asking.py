"""One connection to a server, by whichever library is installed; nothing of it is watched or kept."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from whoholds.servers import mysql, postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.servers.state import State

    Ask = Callable[[str], list[Any]]

NAME = "whoholds server"
CONNECT_S = 5
_POSTGRES = ("psycopg2", "psycopg", "pg8000", "asyncpg")
_MYSQL = ("pymysql", "mysql.connector", "MySQLdb")
_SYSTEMS = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


class CannotAsk(Exception):  # noqa: N818 - it is what happened; said in one line
    """There is no library to ask with, or the connection string is not understood."""


class Target(NamedTuple):
    """What a connection string names; "" and None where it is silent, and the library's defaults hold."""

    system: str
    library: str  # "psycopg2" in postgresql+psycopg2://
    user: str
    password: str
    host: str
    port: int | None
    name: str
    dsn: str  # the string for libpq

    @property
    def shown(self) -> str:
        """The target without its password."""
        port = f":{self.port}" if self.port else ""
        return f"{f'{self.user}@' if self.user else ''}{self.host or 'localhost'}{port}/{self.name}"


def target_of(dsn: str) -> Target:
    """The target of a URL or of libpq's `key=value …`. Raises `CannotAsk`."""
    try:
        return _of_url(dsn) if "://" in dsn else _of_pairs(dsn)
    except ValueError:
        raise CannotAsk("the connection string is not understood") from None


def _of_url(dsn: str) -> Target:
    parts = urlsplit(dsn.replace("#", "%23"))  # a DSN has no fragment, but a password may have a #
    if "@" in parts.path:  # whatever stands before it may be a password
        raise CannotAsk("the connection string is not understood: in a user name or password, write %2F for /")
    system, _, library = parts.scheme.partition("+")
    if system not in _SYSTEMS:
        raise CannotAsk("only PostgreSQL and MySQL can be asked: postgresql://… or mysql://…")
    pairs = {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(parts.hostname or ""),
        "port": str(parts.port or ""),
        "dbname": unquote(parts.path[1:]),
    }
    pairs |= {key: unquote(value) for key, _, value in (pair.partition("=") for pair in parts.query.split("&"))}
    return _target(_SYSTEMS[system], library, pairs, f"{system}{dsn[len(parts.scheme) :]}")


def _of_pairs(dsn: str) -> Target:
    pairs = {}
    for pair in shlex.split(dsn.replace(" = ", "=")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CannotAsk("the connection string is not understood: it is a URL, or has the form host=… dbname=…")
        pairs[key] = value
    return _target("postgresql", "", pairs, dsn)


def _target(system: str, library: str, pairs: dict[str, str], dsn: str) -> Target:
    """The target of libpq's words for its parts. Raises ValueError for a port that is no number."""
    user, password, host, port, name = (pairs.get(key, "") for key in ("user", "password", "host", "port", "dbname"))
    return Target(system, library, user, password, host, int(port) if port else None, name, dsn)


@contextmanager
def asked(target: Target) -> Iterator[Callable[[], State]]:
    """Connect, and provide a function that looks at the server. Raises `CannotAsk`, and what the library raises."""
    known = _POSTGRES if target.system == "postgresql" else _MYSQL
    chosen = [name for name in known if name.partition(".")[0] == target.library.replace("connector", "")]
    for library in (*chosen, *known):
        try:
            module = import_module(library)
        except ImportError:
            continue
        ask, close = (_asyncpgs if library == "asyncpg" else partial(_by_dbapi, library))(module, target)
        break
    else:
        raise CannotAsk(f"none of the libraries that can ask is installed: {', '.join(known)}")
    try:
        if target.system == "mysql":
            for sql in mysql.TIME_OUTS:
                _may(ask, sql)
        yield partial(_look, ask, target)
    finally:
        with suppress(Exception):  # after Ctrl-C the library may be in the middle of a query
            close()


def _look(ask: Ask, target: Target) -> State:
    """One look, in a transaction that is read only. If it fails, the caller closes the connection, which ends it."""
    system = postgres if target.system == "postgresql" else mysql
    for sql in system.BEGIN:
        ask(sql)
    if target.system == "postgresql":
        state = postgres.look(ask, target.shown)
    else:
        state = mysql.look(ask, partial(_may, ask), target.shown)
    for sql in system.END:
        ask(sql)
    return state


def _may(ask: Ask, sql: str) -> list[Any] | None:
    """The rows of a query, None where the server refuses it or does not know the table."""
    try:
        return ask(sql)
    except Exception:  # noqa: BLE001 - each library raises its own; what is wrong with the connection shows in the next
        return None


def _by_dbapi(library: str, module: Any, target: Target) -> tuple[Ask, Callable[[], None]]:
    connection = _CONNECTS[library](module, target)

    def ask(sql: str) -> list[Any]:
        cursor = connection.cursor()
        try:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    return ask, connection.close


def _asyncpgs(module: Any, target: Target) -> tuple[Ask, Callable[[], None]]:
    import asyncio

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it would print what becomes of a question that Ctrl-C interrupts
    given = {"user": target.user, "password": target.password, "host": target.host, "database": target.name}
    named: dict[str, Any] = {"server_settings": {"application_name": NAME}, "timeout": CONNECT_S}
    if "://" in target.dsn:
        named["dsn"] = target.dsn
    else:
        named |= {"port": target.port, **{key: value for key, value in given.items() if value}}
    try:
        connection = loop.run_until_complete(module.connect(**named))
    except BaseException:
        loop.close()
        raise

    def close() -> None:
        try:
            loop.run_until_complete(connection.close())
        finally:
            loop.close()

    return lambda sql: list(loop.run_until_complete(connection.fetch(sql))), close


def _psycopg2(module: Any, target: Target) -> Any:
    connection = module.connect(target.dsn, application_name=NAME, connect_timeout=CONNECT_S)
    connection.autocommit = True
    return connection


def _psycopg(module: Any, target: Target) -> Any:
    return module.connect(target.dsn, autocommit=True, application_name=NAME, connect_timeout=CONNECT_S)


def _pg8000(module: Any, target: Target) -> Any:
    user = target.user or os.environ.get("PGUSER") or os.environ.get("USER", "")
    connection = module.connect(
        user=user,
        password=target.password or os.environ.get("PGPASSWORD"),
        host=target.host or "localhost",
        port=target.port or 5432,
        database=target.name or user,
        application_name=NAME,
        timeout=CONNECT_S,
    )
    connection.autocommit = True
    return connection


def _mysqls(module: Any, target: Target, **more: Any) -> Any:
    given = {"user": target.user, "database": target.name}
    return module.connect(
        host=target.host or "localhost",
        port=target.port or 3306,
        password=target.password or os.environ.get("MYSQL_PWD", ""),
        connect_timeout=CONNECT_S,
        **{key: value for key, value in given.items() if value},
        **more,
    )


_CONNECTS: dict[str, Callable[[Any, Target], Any]] = {
    "psycopg2": _psycopg2,
    "psycopg": _psycopg,
    "pg8000": _pg8000,
    "pymysql": partial(_mysqls, program_name=NAME, autocommit=True),
    "mysql.connector": partial(_mysqls, conn_attrs={"program_name": NAME}, autocommit=True),
    "MySQLdb": partial(_mysqls, autocommit=True),
}
