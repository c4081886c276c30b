"""PyMySQL: `Connection.connect`, which `__init__` and a reconnecting `ping` call, and the calls of its cursors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._mysql import after_ok, end_of_result, identified_by, in_transaction, was_in_transaction
from whoholds.ledger.adoptable import Adoptable, Keepers
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_ANSWERED_OK = ("commit", "rollback", "begin", "ping", "select_db", "autocommit")
_USES = ("query", "next_result", "show_warnings")
_STATEMENTS = ("execute", "executemany", "callproc")
_STREAMED = ("read_next", "close")  # of SSCursor: each row comes from the server, and close reads the rest


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch PyMySQL while the block lasts."""
    import pymysql
    from pymysql import connections, cursors

    # not `__version__` first: after install_as_MySQLdb that is the version of mysqlclient
    version = getattr(pymysql, "VERSION_STRING", pymysql.__version__)
    kit.library("PyMySQL", version, packages=("pymysql",))
    base, cursor, result = connections.Connection, cursors.Cursor, connections.MySQLResult
    identify = identified_by(_target, kit.reader(base, "thread_id"))
    ledger.keepers["pymysql"] = Keepers(kit.keep)

    def used(method: Any, *, sql: bool = False) -> Any:
        return kit.used(method, ledger, _of_cursor, _cursors_transaction, sql=sql, broke=_cursor_broke)

    with kit.open_names() as stand:
        named = _tags.in_attributes(base.connect, ledger, "_connect_attrs")
        stand(base, "connect", kit.opening(named, ledger, "pymysql", identify, kit.keep_anew(ledger), _target))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of, _is_closed))
        for name in _ANSWERED_OK:
            stand(base, name, kit.used(getattr(base, name), ledger, kit.whoholds_of, after_ok, broke=_broke))
        for name in _USES:
            stand(base, name, kit.used(getattr(base, name), ledger, kit.whoholds_of, in_transaction, broke=_broke))
        for name in _STATEMENTS:
            stand(cursor, name, used(getattr(cursor, name), sql=True))
        for name in _STREAMED:
            stand(cursors.SSCursor, name, used(getattr(cursors.SSCursor, name)))
        stand(result, "_check_packet_is_eof", end_of_result(result._check_packet_is_eof))
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before."""
    from pymysql.connections import Connection

    identify = identified_by(_target, kit.reader(Connection, "thread_id"))
    return Adoptable("pymysql", (Connection,), lambda one: identify(one, (), {}), _is_closed, was_in_transaction)


_of_cursor = kit.through("connection", kit.whoholds_of)


def _cursors_transaction(cursor: Any) -> bool:
    connection = cursor.connection
    return connection is not None and in_transaction(connection)


def _is_closed(connection: Any) -> bool:
    return connection._sock is None


def _broke(connection: Any, _: Raised) -> bool:
    return _is_closed(connection)


_cursor_broke = kit.through("connection", _broke)


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection.unix_socket else connection.port
    return database("mysql", _text(connection.user), _text(connection.host), port, _text(connection.db))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
