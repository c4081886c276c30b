"""mysql-connector-python, pure Python and C: its `connect`, which `__init__` and `reconnect` call, and its commands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._mysql import identified_by
from whoholds.ledger.adoptable import Adoptable, Keepers
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    from mysql.connector import cursor

    kit.library("mysql-connector-python", connector.__version__, packages=("mysql",))
    cursors: list[Any] = [cursor.MySQLCursor, cursor.MySQLCursorPrepared]
    if connector.HAVE_CEXT:
        from mysql.connector import cursor_cext

        cursors += [cursor_cext.CMySQLCursor, cursor_cext.CMySQLCursorPrepared]
    identify, in_transaction = identified_by(_target, _as_made("connection_id")), _as_made("in_transaction")
    cursors_transaction = _of_cursors(in_transaction)
    ledger.keepers["mysql.connector"] = Keepers(kit.keep)
    with kit.open_names() as stand:
        for base in _kinds():
            keep = kit.keep_anew(ledger)
            _name(stand, base, ledger)
            stand(base, "connect", kit.opening(base.connect, ledger, "mysql.connector", identify, keep, _target))
            closes: dict[Any, Any] = {}  # two names of one method share one stand-in, or pickle would not find it
            for name in _CLOSES:
                if name in vars(base):
                    original = getattr(base, name)
                    stand(base, name, closes.setdefault(original, kit.closing(original, ledger, kit.whoholds_of)))
            for name in _USES:
                method = getattr(base, name, None)
                if method is not None:
                    stand(base, name, kit.used(method, ledger, kit.whoholds_of, in_transaction, broke=_broke))
        for each in cursors:
            for name in _STATEMENTS:
                if name in vars(each):
                    method = vars(each)[name]
                    ours = kit.used(method, ledger, _handle_of_cursor, cursors_transaction, sql=True, broke=_broke)
                    stand(each, name, ours)
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before; whether they are open is read, for the library would ping."""

    def is_closed(connection: Any) -> bool:
        below = getattr(connection, "_cmysql", None)
        if below is not None:
            return not below.connected()
        return getattr(getattr(connection, "_socket", None), "sock", None) is None

    identify = identified_by(_target, _as_made("connection_id"))
    return Adoptable(
        "mysql.connector", tuple(_kinds()), lambda one: identify(one, (), {}), is_closed, _as_made("in_transaction")
    )


def _kinds() -> list[Any]:
    """The library's classes of connections: pure Python's, and C's where it is installed."""
    from mysql import connector
    from mysql.connector.connection import MySQLConnection

    if not connector.HAVE_CEXT:
        return [MySQLConnection]
    from mysql.connector.connection_cext import CMySQLConnection

    return [MySQLConnection, CMySQLConnection]


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


def _of_cursors(in_transaction: Callable[[Any], Any]) -> Callable[[Any], bool]:
    return lambda cursor: bool(in_transaction(_connection_of(cursor)))


def _as_made(name: str) -> Callable[[Any], Any]:
    """Reads the property `name` of a connection, or of a weak proxy of one, as its class of the library's has it."""
    readers = [(kind, kit.reader(kind, name)) for kind in _kinds()]
    return lambda connection: next(read(connection) for kind, read in readers if isinstance(connection, kind))


def _broke(_: Any, exc: Raised) -> bool:
    return getattr(exc, "errno", None) in _LOST


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection._unix_socket else connection._port
    return database("mysql", connection._user or "", connection._host or "", port, connection._database or "")
