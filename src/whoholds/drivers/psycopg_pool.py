"""psycopg_pool: what `getconn` and `connection` lend is judged; the stock is the pool's, and its constructor's line.

Worker threads and tasks of the pool's own open the connections, where no frame of the user's is on the stack.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers import kit
from whoholds.drivers._loans import lend
from whoholds.hooks.seams import replace, stands_for
from whoholds.ledger.here import OpenedFor, opened_for
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle, Pool, Request
    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch psycopg_pool's pools while the block lasts."""
    import psycopg_pool

    kit.library("psycopg_pool", psycopg_pool.__version__, "3.1", "4")
    never_blame("psycopg_pool")
    sync, async_ = psycopg_pool.ConnectionPool, psycopg_pool.AsyncConnectionPool
    loans = _Loans(ledger, (psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests))
    with ExitStack() as names:
        for base in (sync, async_):
            names.callback(replace(base, "__init__", _init(ledger, base.__init__)))
        for name, ours in (
            ("_connect", _stocking(loans, sync._connect)),
            ("getconn", _lending(loans, sync.getconn)),
            ("putconn", _taking(loans, sync.putconn)),
            ("close", _closing(loans, sync.close)),
        ):
            names.callback(replace(sync, name, ours))
        for name, ours in (
            ("_connect", _stocking_async(loans, async_._connect)),
            ("getconn", _lending_async(loans, async_.getconn)),
            ("putconn", _taking_async(loans, async_.putconn)),
            ("close", _closing_async(loans, async_.close)),
        ):
            names.callback(replace(async_, name, ours))
        yield


def _init(ledger: Ledger, original: Any) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
        # before the original, which starts the workers
        made = ledger.pool_made(
            self, str(kwargs.get("name") or type(self).__name__), sys._getframe(1), None, "postgresql"
        )
        try:
            self._whoholds_pool = made
            original(self, *args, **kwargs)
            made.name, made.idle_min, made.max = self.name, self.min_size, self.max_size or None
            made.takes_back = False
        except BaseException:
            ledger.pool_gone(made)
            del self, args, kwargs
            raise

    return stands_for(__init__, original)


class _Loans:
    """What the hooks of both kinds of pool do around the calls that they stand in."""

    def __init__(self, ledger: Ledger, out_of_patience: tuple[type[BaseException], ...]) -> None:
        self.ledger = ledger
        self.out_of_patience = out_of_patience

    def stock(self, pool_object: Any, frame: FrameType) -> Any:
        """The next connection is opened for the pool: by its constructor's line, a null pool's by who asks for it."""
        pool: Pool | None = getattr(pool_object, "_whoholds_pool", None)
        if pool is None:
            return None
        lends_its_own = pool.max is None and pool.idle_min == 0
        origin = capture(frame, self.ledger.frames) if lends_its_own else pool.origin
        return opened_for.set(OpenedFor(None, origin, pool))

    def stocked(self, token: Any) -> None:
        """That connection was opened, or was not."""
        if token is not None:
            opened_for.set(None)

    def asks(self, pool_object: Any, frame: FrameType) -> Request:
        """A request for a connection waits from now on, until it is answered."""
        pool: Pool | None = getattr(pool_object, "_whoholds_pool", None)
        return self.ledger.asks(pool, frame)

    def lent(self, pool_object: Any, connection: Any, request: Request) -> None:
        """`connection` was lent to who runs now."""
        pool: Pool | None = getattr(pool_object, "_whoholds_pool", None)
        handle: Handle | None = getattr(connection, "_whoholds", None)
        if pool is None or handle is None:
            return
        pool.max = pool_object.max_size or None
        # the pool keeps no reference to what it has lent: a loan that is dropped is freed, and lost to the pool
        connection._whoholds_loan = lend(self.ledger, "psycopg_pool", connection, handle, pool, None, request=request)
        pool_object._whoholds_database = handle.database

    def refused(self, pool_object: Any, exc: BaseException, request: Request) -> None:
        """The pool ran out of patience."""
        pool: Pool | None = getattr(pool_object, "_whoholds_pool", None)
        if pool is not None and isinstance(exc, self.out_of_patience):
            pool.timeouts += 1
            self.ledger.refused(exc, _database_of(pool_object), None, pool=pool, request=request)

    def back(self, connection: Any) -> Handle | None:
        """`connection` is about to be given back; told before, because the next may get it before the call is over."""
        attributes = getattr(connection, "__dict__", {})
        loan: Handle | None = attributes.pop("_whoholds_loan", None)
        if loan is not None:
            if loan.parent is not None:
                loan.parent.at_home = True
            self.ledger.closed(loan)
        return loan

    def not_back(self, connection: Any, loan: Handle | None) -> None:
        """The pool would not take it: it is still lent."""
        if loan is not None and loan.closed_stamp is not None:
            if loan.parent is not None:
                loan.parent.at_home = False
            self.ledger.reopened(loan)
            connection._whoholds_loan = loan

    def gone(self, pool_object: Any) -> None:
        """The pool was closed."""
        pool: Pool | None = getattr(pool_object, "_whoholds_pool", None)
        if pool is not None and pool_object.closed:
            self.ledger.pool_gone(pool)


def _database_of(pool_object: Any) -> Database:
    known: Database | None = getattr(pool_object, "_whoholds_database", None)
    if known is not None:
        return known
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo, kwargs = pool_object.conninfo, pool_object.kwargs
        said = conninfo_to_dict(conninfo) if isinstance(conninfo, str) else {}
        return kit.postgres_target({**said, **(kwargs if isinstance(kwargs, dict) else {})})
    except Exception:  # noqa: BLE001 - a connection string that is none is the library's to refuse
        return kit.postgres_target({})


def _stocking(loans: _Loans, original: Any) -> Any:
    def _connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = loans.stock(self, sys._getframe(1))
        try:
            return original(self, *args, **kwargs)
        except BaseException:
            del self, args, kwargs
            raise
        finally:
            loans.stocked(token)

    return stands_for(_connect, original)


def _stocking_async(loans: _Loans, original: Any) -> Any:
    async def _connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = loans.stock(self, sys._getframe(1))
        try:
            return await original(self, *args, **kwargs)
        except BaseException:
            del self, args, kwargs
            raise
        finally:
            loans.stocked(token)

    return stands_for(_connect, original)


def _lending(loans: _Loans, original: Any) -> Any:
    def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = loans.asks(self, sys._getframe(1))
        try:
            connection = original(self, *args, **kwargs)
        except BaseException as exc:
            loans.refused(self, exc, request)
            del self, args, kwargs, exc
            raise
        finally:
            request.answered()
        loans.lent(self, connection, request)
        return connection

    return stands_for(getconn, original)


def _lending_async(loans: _Loans, original: Any) -> Any:
    async def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = loans.asks(self, sys._getframe(1))
        try:
            connection = await original(self, *args, **kwargs)
        except BaseException as exc:
            loans.refused(self, exc, request)
            del self, args, kwargs, exc
            raise
        finally:
            request.answered()
        loans.lent(self, connection, request)
        return connection

    return stands_for(getconn, original)


def _taking(loans: _Loans, original: Any) -> Any:
    def putconn(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        loan = loans.back(conn)
        try:
            return original(self, conn, *args, **kwargs)
        except BaseException:
            loans.not_back(conn, loan)
            del self, conn, args, kwargs
            raise

    return stands_for(putconn, original)


def _taking_async(loans: _Loans, original: Any) -> Any:
    async def putconn(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        loan = loans.back(conn)
        try:
            return await original(self, conn, *args, **kwargs)
        except BaseException:
            loans.not_back(conn, loan)
            del self, conn, args, kwargs
            raise

    return stands_for(putconn, original)


def _closing(loans: _Loans, original: Any) -> Any:
    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        finally:
            loans.gone(self)
            del self, args, kwargs

    return stands_for(close, original)


def _closing_async(loans: _Loans, original: Any) -> Any:
    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        finally:
            loans.gone(self)
            del self, args, kwargs

    return stands_for(close, original)
