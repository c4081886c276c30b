"""aiopg: its connections and its pools. Loans are judged; a pool's idle stock belongs to its constructor's line.

Below each of aiopg's connections is one of psycopg2's, which sends a statement and returns before the answer is there.
This driver therefore watches aiopg's own calls, and psycopg2's driver makes no handle of the connection below.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._aio_pools import AioLender, dropping, filling, stand_in_pool
from whoholds.ledger.database import database
from whoholds.ledger.here import OPENED_ABOVE, OpenedFor, opened_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger

_IDLE_IN_TRANSACTION = (2, 3)  # libpq's INTRANS and INERROR


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch aiopg while the block lasts."""
    import aiopg
    from aiopg import connection, pool

    kit.library("aiopg", aiopg.__version__)
    base, cursor, pools = connection.Connection, connection.Cursor, pool.Pool
    lender = AioLender(ledger, "aiopg", "postgresql")
    with kit.open_names() as stand:
        begin = _tags.for_pool(base.__init__, ledger, lambda _: filling.get())
        stand(base, "__init__", kit.around(begin, _connecting, _begun, _not_begun))
        stand(base, "_connect", kit.opening_async(base._connect, ledger, "aiopg", _identify, kit.keep, _target))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of, if_raised=_is_closed))
        stand(base, "__del__", kit.around(base.__del__, before=dropping(ledger)))  # it closes a forgotten connection
        for name in ("execute", "callproc"):
            method = getattr(cursor, name)
            stand(cursor, name, kit.used_async(method, ledger, _of_cursor, _in_transaction, sql=True, broke=_broke))
        stand_in_pool(stand, pools, lender)
        yield


def _connecting(_connection: Any, _args: Any, _kwargs: Any, _frame: Any) -> bool:
    """The constructor runs, in which psycopg2 begins to connect."""
    opened_for.set(OPENED_ABOVE)
    return True


def _begun(_connection: Any, _kept: Any, _result: Any, _frame: Any) -> None:
    """The constructor has returned; `_connect` follows in this task, and opens the handle."""
    pool = filling.get()
    opened_for.set(OpenedFor(None, pool.origin, pool) if pool is not None else None)


def _not_begun(_connection: Any, _kept: Any, _exc: Any, _frame: Any) -> None:
    """The constructor raised."""
    opened_for.set(None)


def _identify(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    info = connection._conn.info
    where = database("postgresql", info.user or "", info.host or "", info.port or None, info.dbname or "")
    return where, info.backend_pid or None


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    from psycopg2.extensions import parse_dsn

    return kit.postgres_target(parse_dsn(connection._dsn))


_of_cursor = kit.through("_conn", kit.whoholds_of)


def _in_transaction(cursor: Any) -> bool:
    connection = cursor._conn._conn
    return not connection.closed and connection.get_transaction_status() in _IDLE_IN_TRANSACTION


def _is_closed(connection: Any) -> bool:
    return bool(connection.closed)


def _broke(cursor: Any, _: Raised) -> bool:
    return bool(cursor._conn.closed)
