"""PyMySQL: `Connection.connect`, which `__init__` and a reconnecting `ping` call, and the calls of its cursors.

Whether a transaction is open the server says with every answer. PyMySQL keeps what an OK packet says; what the end
of a result set says it throws away, so we keep that one bit for the call that is being made.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers.kit import (
    called,
    in_range,
    keep_anew,
    noticed,
    opening,
    replace,
    stands_for,
    whoholds_of,
)
from whoholds.hooks.seams import stays_ours
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger

_ANSWERED_OK = ("commit", "rollback", "begin", "ping", "select_db", "autocommit")
_USES = ("query", "next_result", "show_warnings")
_STATEMENTS = ("execute", "executemany", "callproc")
_STREAMED = ("read_next", "close")  # of SSCursor: each row comes from the server, and close reads the rest
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
_END = "_whoholds_end"  # on a connection: the status at the end of the result set that was read last


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch PyMySQL while the block lasts."""
    import pymysql
    from pymysql import connections, cursors

    # what install_as_MySQLdb has named itself does not count: there the module tells mysqlclient's version
    in_range("PyMySQL", getattr(pymysql, "VERSION_STRING", pymysql.__version__), "1.0", "3")
    never_blame("pymysql")
    base, cursor, result = connections.Connection, cursors.Cursor, connections.MySQLResult

    def used(method: Any, *, sql: bool = False) -> Any:
        return noticed(method, ledger, _handle_of_cursor, _cursors_transaction, sql=sql, broke=_cursor_broke)

    with ExitStack() as names:

        def stand(target: Any, name: str, ours: Any) -> None:
            names.callback(replace(target, name, ours))

        stand(base, "connect", opening(base.connect, ledger, "pymysql", _told, keep_anew(ledger), _asked))
        stand(base, "close", called(base.close, ledger, whoholds_of, _is_closed))
        for name in _ANSWERED_OK:
            stand(base, name, noticed(getattr(base, name), ledger, whoholds_of, _after_ok, broke=_broke))
        for name in _USES:
            stand(base, name, noticed(getattr(base, name), ledger, whoholds_of, _in_transaction, broke=_broke))
        for name in _STATEMENTS:
            stand(cursor, name, used(getattr(cursor, name), sql=True))
        for name in _STREAMED:
            stand(cursors.SSCursor, name, used(getattr(cursors.SSCursor, name)))
        stand(result, "_check_packet_is_eof", _end_of_result(result._check_packet_is_eof))
        yield


def _connection_of(cursor: Any) -> Any:
    return cursor.connection


def _handle_of_cursor(cursor: Any) -> Handle:
    handle: Handle = cursor.connection._whoholds
    return handle


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
    def _check_packet_is_eof(self: Any, packet: Any) -> Any:
        end = original(self, packet)
        if end and self.connection is not None:
            try:
                setattr(self.connection, _END, packet.get_all_data()[3])  # 0xfe, warnings (2 bytes), status (2)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error)
        return end

    return stands_for(_check_packet_is_eof, original)


def _is_closed(connection: Any) -> bool:
    return connection._sock is None


def _broke(connection: Any, _: BaseException) -> bool:
    return _is_closed(connection)


def _cursor_broke(cursor: Any, _: BaseException) -> bool:
    return _is_closed(_connection_of(cursor))


def _told(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    return _asked(connection, (), {}), connection.thread_id()


def _asked(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection.unix_socket else connection.port
    return database("mysql", _text(connection.user), _text(connection.host), port, _text(connection.db))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
