"""psycopg2.pool: what `getconn` lends is judged, the pool's own stock is not.

`ThreadedConnectionPool` calls these methods under its own lock: nothing here may block or switch.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers._loans import lend
from whoholds.hooks.seams import replace, stands_for
from whoholds.ledger.database import database
from whoholds.ledger.handle import OVER, Handle, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch psycopg2's pools while the block lasts."""
    from psycopg2 import pool

    never_blame("psycopg2")
    base = pool.AbstractConnectionPool
    with ExitStack() as names:
        names.callback(replace(base, "__init__", _init(ledger, base.__init__)))
        names.callback(replace(base, "_connect", _stocked(base._connect)))
        names.callback(replace(base, "_getconn", _lent(ledger, base._getconn, pool.PoolError)))
        names.callback(replace(base, "_putconn", _returned(ledger, base._putconn)))
        names.callback(replace(base, "_closeall", _closed(ledger, base._closeall)))
        _again(pool, base, names)
        yield


def _again(module: Any, base: Any, names: ExitStack) -> None:
    """`SimpleConnectionPool` took the private methods under public names when its class was made."""
    simple = module.SimpleConnectionPool
    for public, private in (("getconn", "_getconn"), ("putconn", "_putconn"), ("closeall", "_closeall")):
        if public in vars(simple):
            names.callback(replace(simple, public, getattr(base, private)))


def _init(ledger: Ledger, original: Any) -> Any:
    def __init__(self: Any, minconn: Any, maxconn: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        try:
            made = ledger.pool_made(self, type(self).__name__, sys._getframe(1), int(maxconn), "postgresql")
            made.idle_min = int(minconn)
            made.takes_back = False
            self._whoholds_pool = made
            self._whoholds_lent = {}
        except Exception:  # noqa: BLE001, S110 - bad arguments are the library's to refuse
            pass
        original(self, minconn, maxconn, *args, **kwargs)

    return stands_for(__init__, original)


def _pool_of(pool: Any) -> Pool | None:
    return getattr(pool, "_whoholds_pool", None)


def _handle_of(connection: Any) -> Handle | None:
    return getattr(connection, "_whoholds", None)


def _stocked(original: Any) -> Any:
    def _connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = original(self, *args, **kwargs)
        handle = _handle_of(connection)
        if handle is not None:
            handle.pool = _pool_of(self)
            handle.at_home = True
        return connection

    return stands_for(_connect, original)


def _lent(ledger: Ledger, original: Any, pool_error: type[BaseException]) -> Any:
    def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        pool = _pool_of(self)
        try:
            connection = original(self, *args, **kwargs)
        except pool_error as exc:
            if pool is not None and "exhausted" in str(exc):
                ledger.refused(exc, _database_of(self), sys._getframe(1), pool=pool)
            raise
        handle = _handle_of(connection)
        if pool is None or handle is None:
            return connection
        lent: dict[int, Handle] = self._whoholds_lent
        if id(connection) not in lent:  # with a key, the same connection is given again
            lent[id(connection)] = lend(ledger, "psycopg2.pool", None, handle, pool, sys._getframe(1))
        return connection

    return stands_for(getconn, original)


def _database_of(pool: Any) -> Any:
    for connection in (*pool._used.values(), *pool._pool):
        handle = _handle_of(connection)
        if handle is not None:
            return handle.database
    return database("postgresql")


def _returned(ledger: Ledger, original: Any) -> Any:
    def putconn(self: Any, conn: Any = None, *args: Any, **kwargs: Any) -> Any:
        result = original(self, conn, *args, **kwargs)
        loan = getattr(self, "_whoholds_lent", {}).pop(id(conn), None)
        if loan is not None:
            if loan.parent is not None:
                loan.parent.at_home = True
            ledger.closed(loan)
        return result

    return stands_for(putconn, original)


def _closed(ledger: Ledger, original: Any) -> Any:
    def closeall(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        lent = getattr(self, "_whoholds_lent", {})
        while lent:
            ledger.closed(lent.popitem()[1], OVER)
        pool = _pool_of(self)
        if pool is not None:
            ledger.pool_gone(pool)
        return result

    return stands_for(closeall, original)
