"""peewee's playhouse.pool: what a thread has borrowed is judged, what the pool has at home is not.

Its connections are the drivers' own. A thread borrows one at its first query and has it until the thread calls
`close()`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._loans import Lender, handle_on
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import OVER, Handle, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch playhouse.pool while the block lasts."""
    import peewee
    from playhouse import pool

    library: Any = peewee  # its stubs lack the version
    kit.library("peewee", library.__version__, packages=("peewee", "playhouse"))
    base, lender = pool.PooledDatabase, _Lender(ledger)
    lender.out_of_patience = (pool.MaxConnectionsExceeded,)
    with kit.open_names() as stand:
        stand(base, "__init__", kit.around(base.__init__, lender.making))
        stand(base, "connect", lender.lending(base.connect))
        stand(base, "_connect", kit.around(base._connect, after=lender.connected))
        stand(base, "_close", kit.around(base._close, lender.taking, lender.taken, lender.not_taken))
        if hasattr(base, "_close_raw"):  # since peewee 4; before that `_close` alone closes
            stand(base, "_close_raw", kit.around(base._close_raw, lender.taking, lender.ended))
        yield


class _Lender(Lender):
    """The hooks of a pooled database; its loans are stored on it by the id of the driver's connection."""

    driver = "peewee"
    lends_further_in = True  # `connect` calls `_connect`, and so does the first query of a thread

    def making(self, theirs: Any, _args: Any, _kwargs: Any, frame: FrameType | None) -> None:
        """Runs before the constructor, which may connect: the pool is entered in the ledger."""
        self.made(theirs, frame)

    def made(self, theirs: Any, frame: FrameType | None) -> Pool:
        """The ledger's Pool for the pooled database `theirs`, entered now with the line of `frame`."""
        theirs._whoholds_lent = {}
        pool = self.ledger.pool_made(theirs, None, frame, None)
        theirs._whoholds_pool = pool
        return pool

    def connected(self, theirs: Any, _kept: Any, connection: Any, frame: FrameType | None) -> None:
        """The running thread has got a connection, a new one or one that was at home: a loan is opened."""
        pool = self.pool_of(theirs) or self.made(theirs, None)
        pool.max = pool.idle_max = theirs._max_connections or None
        loan = self.loan_asked_for(pool) or self.ledger.asks(pool, frame)
        loan.answered()
        theirs._whoholds_lent[id(connection)] = loan
        self.ledger.lent(loan, None, handle_on(connection), self.driver)

    def database_of(self, theirs: Any, pool: Pool) -> Database:
        """The database of the pool's first loan; a database without a name if nothing is lent."""
        del pool
        loans: list[Handle] = list(theirs._whoholds_lent.values())
        return loans[0].database if loans else database("other_sql")

    def taking(self, theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _frame: Any) -> int:
        """A loan is about to come back. Returns its key, for the connection may be gone after the call."""
        key = id(args[0] if args else kwargs.get("conn"))
        loan: Handle | None = getattr(theirs, "_whoholds_lent", {}).get(key)
        if loan is not None:
            loan.settle()
        return key

    def taken(self, theirs: Any, key: int | None, _result: Any, _frame: Any) -> None:
        """The loan came back."""
        self.back(getattr(theirs, "_whoholds_lent", {}).pop(key, None))

    def not_taken(self, theirs: Any, key: int | None, _exc: Any, _frame: Any) -> None:
        """The pool raised instead of taking the loan back: the loan is still out."""
        self.still_out(getattr(theirs, "_whoholds_lent", {}).get(key))

    def ended(self, theirs: Any, key: int | None, _result: Any, _frame: Any) -> None:
        """`close_all` and `close_stale` closed a connection that was lent: its loan is closed as over."""
        loan: Handle | None = getattr(theirs, "_whoholds_lent", {}).pop(key, None)
        if loan is not None:
            self.ledger.closed(loan, OVER)
