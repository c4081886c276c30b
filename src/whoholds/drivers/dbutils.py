"""DBUtils 2.0 and later: what a PooledDB lends is judged; what a PersistentDB keeps for a thread counts as at home.

The connection inside a SteadyDB connection is the driver's own and is watched by that driver, also when SteadyDB opens
it anew.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._loans import LOAN, Lender, handle_on, put_aside, take_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.ledger import Ledger

_POOL = "_whoholds_pool"  # attribute of a PooledDB: its ledger Pool; None while the constructor fills it
_FILLING = "_whoholds_filling"  # attribute of a PooledDB while the constructor fills it: its ledger Pool


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch DBUtils' pools while the block lasts."""
    import dbutils
    from dbutils import pooled_db

    kit.library("DBUtils", dbutils.__version__, packages=("dbutils",))
    pool, lender = pooled_db.PooledDB, _Lender(ledger)
    lender.out_of_patience = (getattr(pooled_db, "TooManyConnectionsError", None) or pooled_db.TooManyConnections,)
    with kit.open_names() as stand:
        stand(pool, "__init__", kit.around(pool.__init__, lender.making, lender.made))
        stand(pool, "steady_connection", kit.around(pool.steady_connection, after=lender.opened))
        stand(pool, "connection", lender.lending(pool.connection))
        stand(pool, "cache", kit.around_named(pool.cache, lender.caching))
        stand(pool, "close", kit.around(pool.close, after=lender.gone))
        for kind in (pooled_db.PooledDedicatedDBConnection, pooled_db.PooledSharedDBConnection):
            giving_back = lender.giving_back, lender.given_back, lender.perhaps_given_back
            stand(kind, "close", kit.while_lent(kind.close, LOAN, *giving_back))
            stand(kind, "__del__", kit.while_lent(kind.__del__, LOAN, lender.dropped))
        yield


@contextmanager
def watch_persistent(ledger: Ledger) -> Iterator[None]:
    """Watch DBUtils' persistent connections, which ignore their `close`, while the block lasts."""
    import dbutils
    from dbutils.steady_db import SteadyDBConnection

    kit.library("DBUtils", dbutils.__version__, packages=("dbutils",))

    def closed(steady: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        if not steady._closeable:
            put_aside(handle_on(steady._con), ledger.clock())

    with kit.open_names() as stand:
        stand(SteadyDBConnection, "close", kit.around(SteadyDBConnection.close, after=closed))
        yield


class _Lender(Lender):
    """The hooks of a PooledDB and of the connections that it lends."""

    driver = "dbutils"

    def making(self, theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None) -> None:
        """Runs before the constructor, which fills the pool: the connections that it opens are no loans."""
        least = kwargs.get("mincached", args[1] if len(args) > 1 else 0)
        pool = self.ledger.pool_made(theirs, None, frame, None)
        pool.idle_min = least if type(least) is int else None
        setattr(theirs, _POOL, None)
        setattr(theirs, _FILLING, pool)

    def opened(self, theirs: Any, _kept: Any, steady: Any, _frame: Any) -> None:
        """A connection was opened. The constructor opens all of them before one is in the cache: all are at home."""
        take_home(handle_on(getattr(steady, "_con", None)), getattr(theirs, _FILLING, None))

    def made(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The constructor has returned: the pool is entered in the ledger, and its connections are marked as at home.

        The opening line of a pool made before the start is not known.
        """
        pool = getattr(theirs, _FILLING, None) or self.ledger.pool_made(theirs, None, None, None)
        pool.max = theirs._maxconnections or None
        pool.idle_min, pool.idle_max = len(theirs._idle_cache), theirs._maxcached or None
        setattr(theirs, _POOL, pool)
        setattr(theirs, _FILLING, None)
        for steady in theirs._idle_cache:
            take_home(handle_on(getattr(steady, "_con", None)), pool)

    def pool_of(self, theirs: Any) -> Pool | None:
        """The ledger's Pool for the library's pool `theirs`, entered now if the pool was made before the start."""
        try:
            pool: Pool | None = theirs._whoholds_pool
        except AttributeError:
            self.made(theirs, None, None, None)
            pool = theirs._whoholds_pool
        return pool

    def lent(self, theirs: Any, loan: Handle, lent: Any) -> None:
        """The pool has lent `lent`, which wraps a SteadyDB connection, which wraps the driver's: a loan is opened."""
        del theirs
        lent._whoholds_loan = loan  # `LOAN`
        self.ledger.lent(loan, lent, handle_on(getattr(lent._con, "_con", None)), self.driver)

    def caching(self, theirs: Any, steady: Any) -> None:
        """A connection returns to the pool's cache: it is at home, also where SteadyDB opened it anew while lent."""
        take_home(handle_on(getattr(steady, "_con", None)), getattr(theirs, _POOL, None))

    def giving_back(self, lent: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The borrower closes its loan: the reset that follows is the pool's use, not the borrower's."""
        loan: Handle = lent._whoholds_loan
        loan.settle()

    def given_back(self, lent: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The borrower has closed its loan."""
        loan: Handle = lent._whoholds_loan
        self.ledger.closed(loan)
        lent._whoholds_loan = None

    def perhaps_given_back(self, lent: Any, _kept: Any, _exc: Any, frame: Any) -> None:
        """Closing it was interrupted, and it is lent as before; or a signal's handler raised after that."""
        if lent._con is None:
            self.given_back(lent, None, None, frame)
        else:
            self.still_out(lent._whoholds_loan)

    def dropped(self, lent: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The finalizer is about to give the loan back: the program itself never closed it."""
        loan: Handle = lent._whoholds_loan
        self.ledger.dropped(loan)
        setattr(lent, LOAN, None)

    def gone(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool was closed: the ledger counts it as gone."""
        pool: Pool | None = getattr(theirs, _POOL, None)
        if pool is not None:
            self.ledger.pool_gone(pool)
