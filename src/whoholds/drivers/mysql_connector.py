"""mysql-connector-python, pure Python and C: its `connect`, which `__init__` and `reconnect` call, and its commands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.ledger.adoptable import Adoptable, Keepers
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
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

    kit.library("mysql-connector-python", connector.__version__, packages=("mysql",))
    connections: list[Any] = [connection.MySQLConnection]
    cursors: list[Any] = [cursor.MySQLCursor, cursor.MySQLCursorPrepared]
    if connector.HAVE_CEXT:
        from mysql.connector import connection_cext, cursor_cext

        connections.append(connection_cext.CMySQLConnection)
        cursors += [cursor_cext.CMySQLCursor, cursor_cext.CMySQLCursorPrepared]
    ledger.keepers["mysql.connector"] = Keepers(kit.keep)
    with kit.open_names() as stand:
        for base in connections:
            keep = kit.keep_anew(ledger)
            _name(stand, base, ledger)
            stand(base, "connect", kit.opening(base.connect, ledger, "mysql.connector", _identify, keep, _target))
            closes: dict[Any, Any] = {}  # two names of one method share one stand-in, or pickle would not find it
            for name in _CLOSES:
                if name in vars(base):
                    original = getattr(base, name)
                    stand(base, name, closes.setdefault(original, kit.closing(original, ledger, kit.whoholds_of)))
            for name in _USES:
                method = getattr(base, name, None)
                if method is not None:
                    stand(base, name, kit.used(method, ledger, kit.whoholds_of, _in_transaction, broke=_broke))
        for each in cursors:
            for name in _STATEMENTS:
                if name in vars(each):
                    method = vars(each)[name]
                    ours = kit.used(method, ledger, _handle_of_cursor, _cursors_transaction, sql=True, broke=_broke)
                    stand(each, name, ours)
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before; whether they are open is read, for the library would ping."""
    from mysql import connector
    from mysql.connector.connection import MySQLConnection

    kinds: tuple[type, ...] = (MySQLConnection,)
    if connector.HAVE_CEXT:
        from mysql.connector.connection_cext import CMySQLConnection

        kinds += (CMySQLConnection,)

    def is_closed(connection: Any) -> bool:
        below = getattr(connection, "_cmysql", None)
        if below is not None:
            return not below.connected()
        return getattr(getattr(connection, "_socket", None), "sock", None) is None

    return Adoptable("mysql.connector", kinds, lambda one: _identify(one, (), {}), is_closed, _in_transaction)


def _name(stand: kit.OpenNames, base: Any, ledger: Ledger) -> None:
    """Let the connections of the class `base` carry the line that opens them, if that was asked for."""
    if ledger.tag is not None:
        stand(base, "_open_connection", _tags.in_attributes(base._open_connection, ledger, "_conn_attrs"))


def _handle_of_cursor(cursor: Any) -> Handle:
    handle: Handle = _connection_of(cursor)._whoholds
    return handle


def _connection_of(cursor: Any) -> Any:
    """The connection of a cursor, or a weak proxy of it. Up to 8.4 the C cursors have it under another name."""
    try:
        return cursor._connection
    except AttributeError:
        return cursor._cnx


def _in_transaction(connection: Any) -> bool:
    return bool(connection.in_transaction)


def _cursors_transaction(cursor: Any) -> bool:
    return _in_transaction(_connection_of(cursor))


def _broke(_: Any, exc: Raised) -> bool:
    return getattr(exc, "errno", None) in _LOST


def _identify(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    return _target(connection, args, kwargs), connection.connection_id


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection._unix_socket else connection._port
    return database("mysql", connection._user or "", connection._host or "", port, connection._database or "")
