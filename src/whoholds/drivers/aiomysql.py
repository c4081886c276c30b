"""aiomysql: `Connection._connect`, which `connect` and a reconnecting `ping` call, its cursors and its pool."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._aio_pools import AioLender, dropping, for_its_pool, stand_in_pool
from whoholds.drivers._mysql import after_ok, end_of_result, in_transaction
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_ANSWERED_OK = ("commit", "rollback", "begin", "ping", "select_db", "autocommit")
_USES = ("query", "next_result", "show_warnings")
_STATEMENTS = ("execute", "executemany", "callproc")
_STREAMED = ("_read_next", "close")  # of SSCursor: each row comes from the server, and close reads the rest


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch aiomysql while the block lasts."""
    import aiomysql
    from aiomysql import connection, cursors, pool

    kit.library("aiomysql", aiomysql.__version__)
    base, cursor, result = connection.Connection, cursors.Cursor, connection.MySQLResult

    def used(method: Any, *, sql: bool = False) -> Any:
        return kit.used_async(method, ledger, _of_cursor, _cursors_transaction, sql=sql, broke=_cursor_broke)

    with kit.open_names() as stand:
        named = _tags.in_attributes(base._connect, ledger, "_connect_attrs")
        connect = kit.opening_async(named, ledger, "aiomysql", _identify, kit.keep_anew(ledger), _target)
        stand(base, "_connect", for_its_pool(connect))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of))
        stand(base, "__del__", kit.around(base.__del__, before=dropping(ledger)))  # it closes a forgotten connection
        for names, state in ((_ANSWERED_OK, after_ok), (_USES, in_transaction)):
            for name in names:
                method = getattr(base, name)
                stand(base, name, kit.used_async(method, ledger, kit.whoholds_of, state, broke=_broke))
        for name in _STATEMENTS:
            stand(cursor, name, used(getattr(cursor, name), sql=True))
        for name in _STREAMED:
            stand(cursors.SSCursor, name, used(getattr(cursors.SSCursor, name)))
        stand(result, "_check_packet_is_eof", end_of_result(result._check_packet_is_eof))
        stand_in_pool(stand, pool.Pool, AioLender(ledger, "aiomysql", "mysql"))
        yield


_of_cursor = kit.through("_connection", kit.whoholds_of)


def _cursors_transaction(cursor: Any) -> bool:
    connection = cursor._connection
    return connection is not None and in_transaction(connection)


def _broke(connection: Any, _: Raised) -> bool:
    return bool(connection.closed)


def _cursor_broke(cursor: Any, exc: Raised) -> bool:
    return cursor._connection is not None and _broke(cursor._connection, exc)


def _identify(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    return _target(connection, (), {}), connection.server_thread_id[0]


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection._unix_socket else connection._port
    return database("mysql", connection._user or "", connection._host or "", port, connection._db or "")
