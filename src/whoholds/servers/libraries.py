"""The libraries that `whoholds server` asks with, of which the first that is installed makes one connection."""

from __future__ import annotations

import os
import signal
from functools import partial
from importlib import import_module
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.servers.target import CannotAsk

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Coroutine

    from whoholds.servers.target import Target

NAME = "whoholds server"
CONNECT_S = 5
_ANSWER_S = 10  # where a library's connect has no time-out for the handshake; twice what a query may take on the server
_POSTGRES = ("psycopg2", "psycopg", "pg8000", "asyncpg")
_MYSQL = ("pymysql", "mysql.connector", "MySQLdb")
_CONSOLE = ("psycopg2", "psycopg", "pg8000")  # asyncpg cannot send the simple queries to which PgBouncer answers


class Line(NamedTuple):
    """A connection to ask over."""

    ask: Callable[[str], list[Any]]  # the rows of a query
    asked_by_name: Callable[[str], list[dict[str, Any]]]  # the same by the names of the columns; not with asyncpg
    pid: int | None  # the server's process or connection as the library was told: a pooler invents it
    close: Callable[[], None]


def connected(target: Target, *, console: bool = False) -> Line:
    """Connect with the library that the target names, or the first that is installed. Raises what the library raises.

    Raises `CannotAsk` if none is installed. For PgBouncer's `console`, only libraries that can talk to that are tried.
    """
    known = _MYSQL if target.system == "mysql" else _CONSOLE if console else _POSTGRES
    chosen = [name for name in known if name.partition(".")[0] == target.library.replace("connector", "")]
    for library in (*chosen, *known):
        try:
            module = import_module(library)
        except ImportError:
            continue
        return _asyncpgs(module, target) if library == "asyncpg" else by_dbapi(_CONNECTS[library](module, target))
    raise CannotAsk(
        f"none of the libraries that can ask is installed here ({', '.join(known)}): "
        f"`pip install {'pymysql' if target.system == 'mysql' else 'psycopg2-binary'}` installs one"
    )


def by_dbapi(connection: Any) -> Line:
    """The line over a DB-API connection, which commits by itself."""

    def answered(sql: str) -> tuple[list[str], list[Any]]:
        cursor = connection.cursor()
        try:
            cursor.execute(sql)
            if not cursor.description:
                return [], []
            return [column[0] for column in cursor.description], list(cursor.fetchall())
        finally:
            cursor.close()

    def by_name(sql: str) -> list[dict[str, Any]]:
        names, rows = answered(sql)
        return [dict(zip(names, row, strict=True)) for row in rows]

    return Line(lambda sql: answered(sql)[1], by_name, _pid(connection), connection.close)


def may(ask: Callable[[str], list[Any]], sql: str) -> list[Any] | None:
    """The rows of a query, None where the server refuses it or does not know the table."""
    try:
        return ask(sql)
    except Exception:  # noqa: BLE001 - each library raises its own; what is wrong with the connection shows in the next
        return None


def _pid(connection: Any) -> int | None:
    """The server's process as the library knows it without asking; None where the library does not say."""
    pid = getattr(getattr(connection, "info", None), "backend_pid", None)
    return pid if isinstance(pid, int) else None


def finished(loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns. Ctrl-C cancels it: asyncpg swallows a KeyboardInterrupt that comes while it sends."""
    task, pressed = loop.create_task(coroutine), []

    def interrupt(number: int, _frame: Any) -> None:
        pressed.append(number)
        loop.call_soon_threadsafe(task.cancel)

    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler and current_thread() is main_thread()
    if mine:
        signal.signal(signal.SIGINT, interrupt)
    try:
        return loop.run_until_complete(task)
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if pressed:
            raise KeyboardInterrupt


def _asyncpgs(module: Any, target: Target) -> Line:
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
        connection = finished(loop, module.connect(**named))
    except BaseException:
        loop.close()
        raise

    busy = False  # in the middle of a question

    def ask(sql: str) -> list[Any]:
        nonlocal busy
        busy = True
        rows = list(finished(loop, connection.fetch(sql)))
        busy = False
        return rows

    def close() -> None:
        try:
            if busy:  # `close` would ask the server to cancel the question, and might wait for ever
                connection.terminate()
            else:
                loop.run_until_complete(asyncio.wait_for(connection.close(), CONNECT_S))
        finally:
            loop.close()

    return Line(ask, lambda sql: list(map(dict, ask(sql))), connection.get_server_pid(), close)


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
        timeout=_ANSWER_S,
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
    "pymysql": partial(_mysqls, program_name=NAME, autocommit=True, read_timeout=_ANSWER_S),
    "mysql.connector": partial(_mysqls, conn_attrs={"program_name": NAME}, autocommit=True),
    "MySQLdb": partial(_mysqls, autocommit=True, read_timeout=_ANSWER_S),
}
