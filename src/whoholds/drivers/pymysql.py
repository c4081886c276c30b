"""PyMySQL: `Connection.connect`, which `__init__` and a reconnecting `ping` call, and the calls of its cursors.

The server says with every answer whether a transaction is open. PyMySQL keeps that flag from an OK packet and discards
it from the end of a result set, so this driver stores the latter for the duration of the call.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_ANSWERED_OK = ("commit", "rollback", "begin", "ping", "select_db", "autocommit")
_USES = ("query", "next_result", "show_warnings")
_STATEMENTS = ("execute", "executemany", "callproc")
_STREAMED = ("read_next", "close")  # of SSCursor: each row comes from the server, and close reads the rest
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
_END = "_whoholds_end"  # attribute of a connection: the server's status at the end of the result set read last


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch PyMySQL while the block lasts."""
    import pymysql
    from pymysql import connections, cursors

    # not `__version__` first: after install_as_MySQLdb that is the version of mysqlclient
    version = getattr(pymysql, "VERSION_STRING", pymysql.__version__)
    kit.library("PyMySQL", version, "1.0", "3", packages=("pymysql",))
    base, cursor, result = connections.Connection, cursors.Cursor, connections.MySQLResult

    def used(method: Any, *, sql: bool = False) -> Any:
        return kit.used(method, ledger, _of_cursor, _cursors_transaction, sql=sql, broke=_cursor_broke)

    with kit.open_names() as stand:
        named = _tags.in_attributes(base.connect, ledger, "_connect_attrs")
        stand(base, "connect", kit.opening(named, ledger, "pymysql", _identify, kit.keep_anew(ledger), _target))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of, _is_closed))
        for name in _ANSWERED_OK:
            stand(base, name, kit.used(getattr(base, name), ledger, kit.whoholds_of, _after_ok, broke=_broke))
        for name in _USES:
            stand(base, name, kit.used(getattr(base, name), ledger, kit.whoholds_of, _in_transaction, broke=_broke))
        for name in _STATEMENTS:
            stand(cursor, name, used(getattr(cursor, name), sql=True))
        for name in _STREAMED:
            stand(cursors.SSCursor, name, used(getattr(cursors.SSCursor, name)))
        stand(result, "_check_packet_is_eof", _end_of_result(result._check_packet_is_eof))
        yield


_of_cursor = kit.through("connection", kit.whoholds_of)


def _after_ok(connection: Any) -> bool:
    connection.__dict__.pop(_END, None)
    return bool(connection.server_status & _IN_TRANSACTION)


def _in_transaction(connection: Any) -> bool:
    end = connection.__dict__.pop(_END, None)
    return bool((connection.server_status if end is None else end) & _IN_TRANSACTION)


def _cursors_transaction(cursor: Any) -> bool:
    connection = cursor.connection
    return connection is not None and _in_transaction(connection)


def _end_of_result(original: Any) -> Any:
    def kept(_: Any, _args: Any, _kwargs: Any, _frame: Any) -> Any:
        return _args[0]

    def noted(result: Any, packet: Any, end: Any, _frame: Any) -> None:
        if end and result.connection is not None:
            setattr(result.connection, _END, packet.get_all_data()[3])  # 0xfe, warnings (2 bytes), status (2)

    return kit.around(original, kept, noted)


def _is_closed(connection: Any) -> bool:
    return connection._sock is None


def _broke(connection: Any, _: Raised) -> bool:
    return _is_closed(connection)


_cursor_broke = kit.through("connection", _broke)


def _identify(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    return _target(connection, (), {}), connection.thread_id()


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection.unix_socket else connection.port
    return database("mysql", _text(connection.user), _text(connection.host), port, _text(connection.db))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
