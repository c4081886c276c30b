"""mysqlclient (MySQLdb): the methods of its connection and cursor classes, which are written in Python.

The library does not know whether a transaction is open, only whether autocommit is on: the driver infers it from the
statements run since the last commit.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._mysql import identified_by
from whoholds.ledger.adoptable import Adoptable, Keepers
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_ENDS = ("commit", "rollback")
_USES = ("query", "ping", "select_db", "autocommit", "begin", "set_sql_mode", "show_warnings")
_STATEMENTS = ("execute", "executemany", "callproc")
_STREAMED = ("fetchone", "fetchmany", "fetchall")  # of cursors that leave the result on the server
_LOST = (2006, 2013, 2055)  # CR_SERVER_GONE_ERROR, CR_SERVER_LOST, CR_SERVER_LOST_EXTENDED
_BEGINS = frozenset((b"BEGIN", b"START", b"INSER", b"UPDAT", b"DELET", b"REPLA", b"CALL ", b"LOAD ", b"WITH "))
_EXPLICIT = frozenset((b"BEGIN", b"START"))
_COMMITS = frozenset((b"COMMI", b"ROLLB", b"CREAT", b"ALTER", b"DROP ", b"TRUNC", b"RENAM"))  # also implicitly

_of_cursor = kit.through("connection", kit.whoholds_of)


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch MySQLdb while the block lasts."""
    import MySQLdb
    from MySQLdb import connections, cursors

    if MySQLdb.__name__ != "MySQLdb":  # pymysql.install_as_MySQLdb: it has a driver of its own
        yield
        return
    kit.library("mysqlclient", ".".join(map(str, MySQLdb.version_info[:3])), packages=("MySQLdb",))
    ledger.keepers["MySQLdb"] = Keepers(kit.keep)
    base, cursor, streaming = connections.Connection, cursors.BaseCursor, cursors.CursorUseResultMixIn
    identify = identified_by(_target, kit.reader(base, "thread_id"))
    is_closed, after = _closed(base), _after(kit.reader(base, "get_autocommit"))
    with kit.open_names() as stand:
        stand(base, "__init__", kit.opening(base.__init__, ledger, "MySQLdb", identify, kit.keep, _target))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of, if_raised=is_closed))
        for name in _ENDS:
            stand(base, name, kit.used(getattr(base, name), ledger, kit.whoholds_of, _ended, broke=_broke))
        for name in _USES:
            if hasattr(base, name):
                stand(base, name, kit.used(getattr(base, name), ledger, kit.whoholds_of, _as_before, broke=_broke))
        for name in _STATEMENTS:
            method = kit.used(getattr(cursor, name), ledger, _of_cursor, after, sql=True, broke=_broke)
            stand(cursor, name, method)
        for name in _STREAMED:
            method = kit.used(getattr(streaming, name), ledger, _of_cursor, after, broke=_broke)
            stand(streaming, name, method)
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before. The library does not say where they lead without being asked."""
    from MySQLdb.connections import Connection

    return Adoptable(
        "MySQLdb", (Connection,), lambda _: (database("mysql", name="?"), None), _closed(Connection), lambda _: None
    )


def _ended(_: Any) -> bool:
    return False


def _as_before(connection: Any) -> bool:
    return bool(connection._whoholds.in_transaction)


def _after(commits_itself: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def after(cursor: Any) -> bool:
        """Whether a transaction is open after the statement that the cursor ran last."""
        connection = cursor.connection
        ran = cursor._executed
        if not isinstance(ran, bytes | bytearray):
            return _as_before(connection)
        verb = bytes(ran[:64]).lstrip()[:5].upper()
        if verb in _COMMITS:
            return False
        if verb in _EXPLICIT:
            return True
        begins = verb in _BEGINS or (verb == b"SELEC" and b"from" in ran.lower())
        return _as_before(connection) or (begins and not commits_itself(connection))

    return after


def _broke(_: Any, exc: Raised) -> bool:
    return bool(exc.args) and exc.args[0] in _LOST


def _closed(kind: Any) -> Callable[[Any], bool]:
    is_open = kit.reader(kind, "open")
    return lambda connection: not is_open(connection)


def _target(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    said = {**dict(zip(("host", "user", "password", "database", "port", "unix_socket"), args, strict=False)), **kwargs}
    port = None if said.get("unix_socket") else int(said.get("port") or 3306)
    name = said.get("database") or said.get("db") or ""
    return database("mysql", str(said.get("user") or ""), str(said.get("host") or "localhost"), port, str(name))
