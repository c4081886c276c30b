"""peewee's playhouse.pool: what a thread has borrowed is judged, what the pool has at home is not.

Its connections are the drivers' own; a thread takes one at its first query and has it until its `close()`.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers._loans import asked_with, handle_on, lend
from whoholds.hooks.seams import replace, stands_for
from whoholds.ledger.database import database
from whoholds.ledger.handle import OVER, Handle, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch playhouse.pool while the block lasts."""
    from playhouse import pool

    never_blame("peewee")
    never_blame("playhouse")
    base = pool.PooledDatabase
    with ExitStack() as names:
        names.callback(replace(base, "__init__", _init(ledger, base.__init__)))
        names.callback(replace(base, "connect", _refusing(ledger, base.connect, pool.MaxConnectionsExceeded)))
        names.callback(replace(base, "_connect", _lent(ledger, base._connect)))
        names.callback(replace(base, "_close", _returned(ledger, base._close)))
        if hasattr(base, "_close_raw"):  # since peewee 4; before that `_close` alone closes
            names.callback(replace(base, "_close_raw", _ended(ledger, base._close_raw)))
        yield


def _init(ledger: Ledger, original: Any) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
        _made(ledger, self, sys._getframe(1))
        try:
            original(self, *args, **kwargs)
        except BaseException:
            del self, args, kwargs
            raise

    return stands_for(__init__, original)


def _made(ledger: Ledger, pool: Any, frame: FrameType | None) -> Pool:
    pool._whoholds_lent = {}
    made: Pool = ledger.pool_made(pool, type(pool).__name__, frame, None)
    pool._whoholds_pool = made
    return made


def _refusing(ledger: Ledger, original: Any, exceeded: type[BaseException]) -> Any:
    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        pool: Pool | None = getattr(self, "_whoholds_pool", None)
        request = ledger.asks(pool, sys._getframe(1))
        token = asked_with.set(request)
        try:
            return original(self, *args, **kwargs)
        except exceeded as exc:
            if pool is not None:
                pool.timeouts += 1
                lent: list[Handle] = list(self._whoholds_lent.values())
                where = lent[0].database if lent else database("other_sql")
                ledger.refused(exc, where, None, pool=pool, request=request)
            del self, args, kwargs, exc
            raise
        except BaseException:
            del self, args, kwargs
            raise
        finally:
            asked_with.reset(token)
            request.answered()

    return stands_for(connect, original)


def _lent(ledger: Ledger, original: Any) -> Any:
    def _connect(self: Any) -> Any:
        connection = original(self)
        pool: Pool = getattr(self, "_whoholds_pool", None) or _made(ledger, self, None)
        pool.max = pool.idle_max = self._max_connections or None
        request = asked_with.get()
        if request is not None and request.pool is not pool:
            request = None
        loan = lend(ledger, "peewee", None, handle_on(connection), pool, sys._getframe(1), request=request)
        self._whoholds_lent[id(connection)] = loan
        return connection

    return stands_for(_connect, original)


def _returned(ledger: Ledger, original: Any) -> Any:
    def _close(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, conn, *args, **kwargs)
            loan: Handle | None = getattr(self, "_whoholds_lent", {}).pop(id(conn), None)
            if loan is not None:
                if loan.parent is not None:
                    loan.parent.at_home = True
                ledger.closed(loan)
        except BaseException:
            del self, conn, args, kwargs
            raise
        return result

    return stands_for(_close, original)


def _ended(ledger: Ledger, original: Any) -> Any:
    """`close_all` and `close_stale` close what is out: then there is nothing to give back."""

    def _close_raw(self: Any, conn: Any) -> Any:
        result = original(self, conn)
        loan: Handle | None = getattr(self, "_whoholds_lent", {}).pop(id(conn), None)
        if loan is not None:
            ledger.closed(loan, OVER)
        return result

    return stands_for(_close_raw, original)
