"""DBUtils from 2.0 on: what a PooledDB lends is judged; what a PersistentDB keeps for a thread is at home.

A SteadyDB connection is the driver's own, judged as such: drivers see each one that it makes again.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers._loans import handle_on, lend
from whoholds.hooks.seams import replace, stands_for
from whoholds.ledger.database import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.ledger import Ledger

_POOL = "_whoholds_pool"  # on a PooledDB: ours; None while it fills itself
_LOAN = "_whoholds_loan"  # on what it lent


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch DBUtils' pools while the block lasts."""
    from dbutils import pooled_db

    never_blame("dbutils")
    pool = pooled_db.PooledDB
    with ExitStack() as names:
        names.callback(replace(pool, "__init__", _init(ledger, pool.__init__)))
        too_many = getattr(pooled_db, "TooManyConnectionsError", None) or pooled_db.TooManyConnections
        names.callback(replace(pool, "connection", _lent(ledger, pool.connection, too_many)))
        names.callback(replace(pool, "cache", _cached(pool.cache)))
        names.callback(replace(pool, "close", _closed(ledger, pool.close)))
        for kind in (pooled_db.PooledDedicatedDBConnection, pooled_db.PooledSharedDBConnection):
            names.callback(replace(kind, "close", _returned(ledger, kind.close)))
            names.callback(replace(kind, "__del__", _dropped(ledger, kind.__del__)))
        yield


@contextmanager
def watch_persistent(ledger: Ledger) -> Iterator[None]:
    """Watch the connections of DBUtils that ignore their close while the block lasts."""
    from dbutils.steady_db import SteadyDBConnection

    never_blame("dbutils")
    restore = replace(SteadyDBConnection, "close", _put_aside(ledger, SteadyDBConnection.close))
    try:
        yield
    finally:
        restore()


def _init(ledger: Ledger, original: Any) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
        setattr(self, _POOL, None)
        try:
            original(self, *args, **kwargs)
            _made(ledger, self, sys._getframe(1))
        except BaseException:
            del self, args, kwargs
            raise

    return stands_for(__init__, original)


def _made(ledger: Ledger, pool: Any, frame: FrameType | None) -> None:
    made = ledger.pool_made(pool, type(pool).__name__, frame, pool._maxconnections or None)
    made.idle_min, made.idle_max = len(pool._idle_cache), pool._maxcached or None
    setattr(pool, _POOL, made)
    for steady in pool._idle_cache:
        _take_home(steady, made)


def _take_home(steady: Any, pool: Pool | None) -> None:
    handle = handle_on(getattr(steady, "_con", None))
    if handle is not None and pool is not None:
        handle.pool = pool
        handle.at_home = True


def _lent(ledger: Ledger, original: Any, too_many: type[BaseException]) -> Any:
    def connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _POOL not in self.__dict__:  # made before the start: nobody knows by which line
            _made(ledger, self, None)
        pool: Pool | None = getattr(self, _POOL, None)
        request = ledger.asks(pool, sys._getframe(1))
        try:
            lent = original(self, *args, **kwargs)
        except too_many as exc:
            if pool is not None:
                pool.timeouts += 1
                ledger.refused(exc, _database_of(ledger, pool), None, pool=pool, request=request)
            del self, args, kwargs, exc
            raise
        finally:
            request.answered()
        if pool is not None:
            below = handle_on(getattr(getattr(lent, "_con", None), "_con", None))
            setattr(lent, _LOAN, lend(ledger, "dbutils", lent, below, pool, None, request=request))
        return lent

    return stands_for(connection, original)


def _database_of(ledger: Ledger, pool: Pool) -> Any:
    for handle in ledger.peek():
        if handle.pool is pool:
            return handle.database
    return database("other_sql")


def _cached(original: Any) -> Any:
    """A connection comes back: at home again, also where its SteadyDB made it anew while it was out."""

    def cache(self: Any, con: Any) -> Any:
        try:
            result = original(self, con)
            _take_home(con, getattr(self, _POOL, None))
        except BaseException:
            del self, con
            raise
        return result

    return stands_for(cache, original)


def _returned(ledger: Ledger, original: Any) -> Any:
    def close(self: Any) -> Any:
        try:
            result = original(self)
        except BaseException:
            del self
            raise
        loan: Handle | None = self.__dict__.pop(_LOAN, None)
        if loan is not None:
            ledger.given_back(loan)
        return result

    return stands_for(close, original)


def _dropped(ledger: Ledger, original: Any) -> Any:
    """The finalizer gives it back too: that is no close of the program's."""

    def __del__(self: Any) -> None:  # noqa: N807 - it becomes the class's
        loan: Handle | None = self.__dict__.pop(_LOAN, None)
        if loan is not None:
            ledger.dropped(loan)
        original(self)

    return stands_for(__del__, original)


def _closed(ledger: Ledger, original: Any) -> Any:
    def close(self: Any) -> Any:
        result = original(self)
        pool: Pool | None = getattr(self, _POOL, None)
        if pool is not None:
            ledger.pool_gone(pool)
        return result

    return stands_for(close, original)


def _put_aside(ledger: Ledger, original: Callable[[Any], Any]) -> Any:
    def close(self: Any) -> Any:
        try:
            result = original(self)
            if not self._closeable:
                handle = handle_on(self._con)
                if handle is not None and handle.pool is None:
                    handle.home_at = ledger.clock()
                    handle.at_home = True
        except BaseException:
            del self
            raise
        return result

    return stands_for(close, original)
