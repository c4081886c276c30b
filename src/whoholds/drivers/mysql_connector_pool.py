"""mysql.connector.pooling: what `get_connection` lends is judged, the pool's own stock is not.

The pool's methods run under a lock of the library: nothing here may block or switch. Nobody waits for these pools: they
give or refuse at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._loans import LOAN, Lender, take_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger

_SIZE = 5  # the library's default


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch mysql-connector-python's pools while the block lasts."""
    from mysql.connector import pooling, version  # the package, which imports this one, has no version yet

    kit.library("mysql-connector-python", version.VERSION_TEXT, packages=("mysql",))
    pools, lent, lender = pooling.MySQLConnectionPool, pooling.PooledMySQLConnection, _Lender(ledger)
    with kit.open_names() as stand:
        stand(pools, "__init__", kit.around(pools.__init__, lender.making))
        stand(pools, "_queue_connection", kit.around(pools._queue_connection, after=lender.stocked))
        stand(pools, "get_connection", lender.lending(pools.get_connection))
        stand(lent, "close", kit.around(lent.close, lender.taking, lender.taken, lender.taken, framed=False))
        yield


class _Lender(Lender):
    """The hooks of a pool, and of the objects that stand for the connections that it has lent."""

    driver = "mysql.connector.pooling"

    def making(self, theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None) -> None:
        """Before the constructor, which opens all connections. Bad arguments are the library's to refuse."""
        size = args[0] if args else kwargs.get("pool_size", _SIZE)
        if type(size) is int and size > 0:
            name = args[1] if len(args) > 1 else kwargs.get("pool_name")
            pool = self.ledger.pool_made(theirs, name, frame, size, "mysql")
            pool.idle_min = size
            pool.takes_back = False
            theirs._whoholds_pool = pool

    def stocked(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool has a connection in its queue, new or given back."""
        connection = theirs._cnx_queue.queue[-1]
        take_home(connection.__dict__.get("_whoholds"), self.pool_of(theirs))

    def ran_out(self, theirs: Any, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the pool had no connection left; other mistakes raise the same class."""
        del theirs, args, kwargs
        return type(exc).__name__ == "PoolError" and "exhausted" in str(exc)

    def lent(self, theirs: Any, loan: Handle, lent: Any) -> None:
        """A loan is opened. What the borrower gets stands for the connection until it is closed."""
        del theirs
        handle: Handle | None = lent._cnx.__dict__.get("_whoholds")
        setattr(lent, LOAN, loan)
        self.ledger.lent(loan, lent, handle, self.driver)

    def taking(self, lent: Any, _args: Any, _kwargs: Any, _frame: Any) -> Handle | None:
        """A loan is about to come back: what the pool then does with the connection is not the borrower's use."""
        loan: Handle | None = lent.__dict__.get(LOAN)
        if loan is not None:
            loan.settle()
        return loan

    def taken(self, lent: Any, loan: Handle | None, _end: Any, _frame: Any) -> None:
        """It came back, also where resetting its session failed; or the pool would not take it, and it is lent on."""
        if lent.__dict__.get("_cnx") is None:
            self.back(lent.__dict__.pop(LOAN, None))
        else:
            self.still_out(loan)
