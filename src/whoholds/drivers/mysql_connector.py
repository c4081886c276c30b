"""mysql-connector-python, pure and C: `connect`, which `__init__` and `reconnect` call, and its commands."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers.kit import called, in_range, keep_anew, noticed, opening, replace, whoholds_of
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger

_CLOSES = ("close", "disconnect", "shutdown")
_USES = (
    "commit rollback ping info_query cmd_query cmd_init_db cmd_change_user cmd_reset_connection cmd_stmt_prepare "
    "cmd_stmt_execute cmd_stmt_fetch get_row get_rows next_result reset_session"
).split()
_STATEMENTS = ("execute", "executemany", "callproc")
_LOST = (2006, 2013, 2055)  # CR_SERVER_GONE_ERROR, CR_SERVER_LOST, CR_SERVER_LOST_EXTENDED


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch mysql.connector while the block lasts."""
    from mysql import connector
    from mysql.connector import connection, cursor

    in_range("mysql-connector-python", connector.__version__, "8.0", "30")
    never_blame("mysql")
    connections: list[Any] = [connection.MySQLConnection]
    cursors: list[Any] = [cursor.MySQLCursor, cursor.MySQLCursorPrepared]
    if connector.HAVE_CEXT:
        from mysql.connector import connection_cext, cursor_cext

        connections.append(connection_cext.CMySQLConnection)
        cursors += [cursor_cext.CMySQLCursor, cursor_cext.CMySQLCursorPrepared]
    with ExitStack() as names:

        def stand(target: Any, name: str, ours: Any) -> None:
            names.callback(replace(target, name, ours))

        for base in connections:
            stand(base, "connect", opening(base.connect, ledger, "mysql.connector", _told, keep_anew(ledger), _asked))
            closes: dict[Any, Any] = {}  # two names of one method have one stand-in, or pickle would miss it
            for name in _CLOSES:
                if name in vars(base):
                    original = getattr(base, name)
                    stand(base, name, closes.setdefault(original, called(original, ledger, whoholds_of)))
            for name in _USES:
                if hasattr(base, name):
                    stand(base, name, noticed(getattr(base, name), ledger, whoholds_of, _in_transaction, broke=_broke))
        for each in cursors:
            for name in _STATEMENTS:
                if name in vars(each):
                    method = vars(each)[name]
                    ours = noticed(method, ledger, _handle_of_cursor, _cursors_transaction, sql=True, broke=_broke)
                    stand(each, name, ours)
        yield


def _handle_of_cursor(cursor: Any) -> Handle:
    try:
        handle: Handle = cursor._connection._whoholds
    except ReferenceError:  # a cursor holds its connection weakly
        raise AttributeError("_whoholds") from None
    return handle


def _in_transaction(connection: Any) -> bool:
    return bool(connection.in_transaction)


def _cursors_transaction(cursor: Any) -> bool:
    return _in_transaction(cursor._connection)


def _broke(_: Any, exc: BaseException) -> bool:
    return getattr(exc, "errno", None) in _LOST


def _told(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    return _asked(connection, args, kwargs), connection.connection_id


def _asked(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection._unix_socket else connection._port
    return database("mysql", connection._user or "", connection._host or "", port, connection._database or "")
