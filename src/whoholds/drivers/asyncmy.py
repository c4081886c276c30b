"""asyncmy: `Connection.connect`, which `connect` and a reconnecting `ping` call, `Connection.query`, and its pool.

Its cursors are C types, whose methods cannot be replaced: what they run passes through `Connection.query`, with the
parameters in the text already, or through a prepared statement.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._aio_pools import AioLender, for_its_pool, stand_in_pool
from whoholds.drivers._mysql import identified_by
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_USES = ("commit", "rollback", "begin", "ping", "select_db", "autocommit", "next_result", "show_warnings", "prepare")
_PREPARED = ("execute", "execute_bulk", "_execute_cursor")  # the last is called by cursors


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch asyncmy while the block lasts."""
    from asyncmy import connection, pool, version

    kit.library("asyncmy", version.__VERSION__)
    base, prepared = connection.Connection, getattr(connection, "PreparedStatement", None)
    identify = identified_by(_target, kit.reader(base, "thread_id"))
    status_of, connected = kit.reader(base, "get_transaction_status"), kit.reader(base, "connected")

    def in_transaction(connection: Any) -> bool:
        return bool(status_of(connection))

    def prepareds_transaction(prepared: Any) -> bool:
        return prepared._connection is not None and in_transaction(prepared._connection)

    def broke(connection: Any, _: Raised) -> bool:
        return not connected(connection)

    with kit.open_names() as stand:
        named = _tags.in_attributes(base.connect, ledger, "_connect_attrs")
        connect = kit.opening_async(named, ledger, "asyncmy", identify, kit.keep_anew(ledger), _target)
        stand(base, "connect", for_its_pool(connect))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of))
        for name in (*_USES, "query"):
            method = getattr(base, name, None)
            if method is None:  # `prepare` is new
                continue
            sql = name == "query"
            ours = kit.used_async(method, ledger, kit.whoholds_of, in_transaction, sql=sql, broke=broke)
            stand(base, name, ours)
        for name in _PREPARED:
            method = getattr(prepared, name, None)  # not before 0.2.11
            if method is not None:
                stand(prepared, name, kit.used_async(method, ledger, _of_prepared, prepareds_transaction))
        lender = AioLender(ledger, "asyncmy", "mysql", is_closed=lambda lent: not connected(lent))
        stand_in_pool(stand, pool.Pool, lender, fill="fill_free_pool")
        yield


_of_prepared = kit.through("_connection", kit.whoholds_of)


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    port = None if connection._unix_socket else connection._port
    return database("mysql", _text(connection._user), _text(connection._host), port, _text(connection._db))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
