"""psycopg_pool: what `getconn` and `connection` lend is judged; a pool's idle stock belongs to its constructor's line.

The pool's own worker threads and tasks open the connections, where no frame of the user's is on the stack.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._loans import Lender, last_loan, last_loan_at
from whoholds.ledger.adoptable import AdoptableStock, Keepers, Place
from whoholds.ledger.handle import OVER, Handle, Pool
from whoholds.ledger.here import OpenedFor, opened_for
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch psycopg_pool's pools while the block lasts."""
    import psycopg_pool
    from psycopg import AsyncConnection, Connection

    kit.library("psycopg_pool", psycopg_pool.__version__)
    lender = _Lender(ledger, psycopg_pool.ConnectionPool)
    lender.out_of_patience = (psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests)
    ledger.keepers["psycopg_pool"] = Keepers(pool=_keep_pool, lent=last_loan_at)
    with kit.open_names() as stand:
        for kind, awaited in ((psycopg_pool.ConnectionPool, False), (psycopg_pool.AsyncConnectionPool, True)):
            around = kit.around_async if awaited else kit.around
            around_named = kit.around_named_async if awaited else kit.around_named
            hooks = {
                "__init__": kit.around(kind.__init__, lender.making, lender.made, lender.not_made),
                "_connect": around(kind._connect, lender.stocking, lender.stocked, lender.stocked),
                "getconn": lender.lending(kind.getconn, awaited=awaited),
                "putconn": around_named(kind.putconn, lender.taking, failed=lender.not_taken),
                "close": around(kind.close, after=lender.gone, failed=lender.gone),
            }
            for name, ours in hooks.items():
                stand(kind, name, ours)
        # `with pool.connection()` commits or rolls back at its end
        stand(Connection, "__exit__", lender.ending_of_block(Connection.__exit__))
        stand(AsyncConnection, "__aexit__", lender.ending_of_block(AsyncConnection.__aexit__, awaited=True))
        yield


def adoptable() -> AdoptableStock:
    """How to read pools that were there before. A pool has no reference to what it has lent; that refers to it."""
    import psycopg_pool
    from psycopg import AsyncConnection, Connection

    pools = (psycopg_pool.ConnectionPool, psycopg_pool.AsyncConnectionPool)

    def places(one: Any) -> Iterator[Place]:
        if issubclass(type(one), pools):
            yield from (Place(one, connection, lent=False) for connection in list(one._pool))
        else:
            pool = getattr(one, "_pool", None)  # once: another thread may give the connection back
            if pool is not None:
                yield Place(pool, one, lent=True)

    return AdoptableStock(
        "psycopg_pool",
        (*pools, Connection, AsyncConnection),
        places,
        lambda theirs: (theirs.min_size, theirs.max_size or None),
        "postgresql",
        takes_back=False,
        name=attrgetter("name"),
    )


def _keep_pool(theirs: Any, pool: Pool) -> None:
    theirs._whoholds_pool = pool


class _Lender(Lender):
    """The hooks of both kinds of pool, synchronous and asynchronous."""

    driver = "psycopg_pool"

    def __init__(self, ledger: Ledger, kind: Any) -> None:
        super().__init__(ledger)
        self._most, self._least = kit.reader(kind, "max_size"), kit.reader(kind, "min_size")
        self._is_closed = kit.reader(kind, "closed")

    def making(self, theirs: Any, _args: Any, kwargs: dict[str, Any], frame: FrameType | None) -> Pool:
        """Runs before the constructor, which starts the workers. Returns the ledger's Pool, entered now."""
        pool = self.ledger.pool_made(theirs, kwargs.get("name"), frame, None, "postgresql")
        theirs._whoholds_pool = pool
        pool.takes_back = False
        if hasattr(type(theirs), "__enter__"):  # not the asynchronous pool
            pool.spare = self.spare
        return pool

    def spare(self, theirs: Any) -> tuple[Any, Callable[[], None]] | None:
        """The connection that has been idle longest; nothing is logged of its coming back."""
        with theirs._lock:
            if theirs.closed or len(theirs._pool) < 2:  # noqa: PLR2004 - one stays for the program
                return None
            connection = theirs._pool.popleft()
        return connection, partial(_put_back, theirs, connection)

    def made(self, theirs: Any, pool: Pool | None, _result: Any, _frame: Any) -> None:
        """The constructor has returned: the pool's name and sizes are known."""
        if pool is not None:
            pool.name, pool.idle_min, pool.max = theirs.name, self._least(theirs), self._most(theirs) or None

    def not_made(self, _theirs: Any, pool: Pool | None, _exc: Any, _frame: Any) -> None:
        """The constructor raised: the pool counts as gone."""
        if pool is not None:
            self.ledger.pool_gone(pool)

    def stocking(self, theirs: Any, _args: Any, _kwargs: Any, frame: FrameType | None) -> None:
        """The connection that is opened next belongs to the pool and to the line of the pool's constructor.

        A null pool's connection belongs to the line that asks for it.
        """
        pool = self.pool_of(theirs)
        if pool is not None:
            lends_its_own = pool.max is None and pool.idle_min == 0
            origin = capture(frame, self.ledger.frames) if lends_its_own else pool.origin
            opened_for.set(OpenedFor(None, origin, pool))

    def stocked(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The connection was opened, or could not be."""
        if self.pool_of(theirs) is not None:
            opened_for.set(None)

    def lent(self, theirs: Any, loan: Handle, connection: Any) -> None:
        """A loan is opened. It is held weakly, for the pool keeps no reference to a lent connection.

        A loan that the program drops is freed, and lost to the pool.
        """
        try:
            handle: Handle = connection._whoholds
        except AttributeError:  # nobody watches it
            pass
        else:
            if loan.pool is not None:
                loan.pool.max = self._most(theirs) or None
            self.ledger.lent(loan, connection, handle, self.driver)

    def database_of(self, theirs: Any, pool: Pool) -> Database:
        """The database of the pool's connections; where none is open, the one that the constructor names."""
        known = super().database_of(theirs, pool)
        if known.name:
            return known
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        conninfo, kwargs = theirs.conninfo, theirs.kwargs
        try:
            said = conninfo_to_dict(conninfo) if isinstance(conninfo, str) else {}
        except psycopg.Error:  # psycopg itself refuses a malformed connection string
            said = {}
        return kit.postgres_target({**said, **(kwargs if isinstance(kwargs, dict) else {})})

    def loan_of(self, thing: Any) -> Handle | None:
        """The loan of a connection; None where no pool lent it, or has it back."""
        loan = last_loan(thing)
        return loan if loan is not None and loan.open else None

    def taking(self, _theirs: Any, connection: Any) -> None:
        """A loan is about to come back. It ends before the call, for the next borrower may get it during the call."""
        try:
            loan: Handle | None = connection._whoholds.loan
        except AttributeError:  # it was opened before the start, or is no connection
            loan = last_loan(connection)
        if loan is not None and loan.closed_stamp is None:
            self.ledger.closed(loan)
            loan.parent.at_home = True  # type: ignore[union-attr]  # it is a loan

    def not_taken(self, theirs: Any, connection: Any, exc: Raised) -> None:
        """The pool would not take the loan, and it is out again; or it had, and a signal's handler raised after that.

        A task that was cancelled while it waited for the pool's lock has lost the connection to the pool.
        """
        loan = last_loan(connection)
        if loan is None or (connection._pool is None and type(exc).__name__ != "CancelledError"):
            return
        if loan.how != OVER and connection not in theirs._pool:
            self.not_back(loan, connection)

    def gone(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool was closed: the ledger counts it as gone."""
        pool = self.pool_of(theirs)
        if pool is not None and self._is_closed(theirs):
            self.ledger.pool_gone(pool)


def _put_back(theirs: Any, connection: Any) -> None:
    """Give an idle connection back, or to somebody who waits; if the pool was closed meanwhile, it is closed, too."""
    if theirs.closed:
        connection.close()
    else:
        theirs._add_to_pool(connection)
