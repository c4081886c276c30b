"""psycopg2.pool: what `getconn` lends is judged, the pool's own stock is not.

`ThreadedConnectionPool` calls these methods under its own lock: nothing here may block or switch.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._loans import Lender, handle_on, is_forgotten, last_loan, last_loan_at, take_home
from whoholds.ledger.adoptable import AdoptableStock, Keepers, Place
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import OVER, Handle, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

# `SimpleConnectionPool` took the private methods under public names when its class was made.
_PUBLIC = {"_getconn": "getconn", "_putconn": "putconn", "_closeall": "closeall"}


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch psycopg2's pools while the block lasts."""
    import psycopg2
    from psycopg2 import pool

    kit.library("psycopg2", psycopg2.__version__)
    base, simple, lender = pool.AbstractConnectionPool, pool.SimpleConnectionPool, _Lender(ledger)
    ledger.keepers["psycopg2.pool"] = Keepers(pool=_keep_pool, lent=last_loan_at)
    lender.out_of_patience = (pool.PoolError,)
    hooks = {
        "__init__": kit.around(base.__init__, lender.making),
        "_connect": kit.around(_tags.for_pool(base._connect, ledger, lender.pool_of), after=lender.stocked),
        "_getconn": lender.lending(base._getconn),
        "_putconn": kit.around_named(base._putconn, lender.taking, failed=lender.not_taken),
        "_closeall": kit.around(base._closeall, after=lender.gone, failed=lender.perhaps_gone),
    }
    with kit.open_names() as stand:
        for name, ours in hooks.items():
            stand(base, name, ours)
            if _PUBLIC.get(name) in vars(simple):
                stand(simple, _PUBLIC[name], ours)
        yield


def adoptable() -> AdoptableStock:
    """How to read pools that were there before."""
    from psycopg2 import pool

    def places(theirs: Any) -> Iterator[Place]:
        yield from (Place(theirs, connection, lent=False) for connection in list(theirs._pool))
        yield from (Place(theirs, connection, lent=True) for connection in list(theirs._used.values()))

    return AdoptableStock(
        "psycopg2.pool",
        (pool.AbstractConnectionPool,),
        places,
        lambda theirs: (int(theirs.minconn), int(theirs.maxconn)),
        "postgresql",
        takes_back=False,
    )


def _keep_pool(theirs: Any, pool: Pool) -> None:
    theirs._whoholds_pool = pool


class _Lender(Lender):
    """What the hooks of a pool do; a loan stands on the handle of its connection, which the pool keeps alive."""

    driver = "psycopg2.pool"

    def making(self, theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None) -> None:
        """Before the constructor, which opens the first connections. Bad arguments are the library's to refuse."""
        sizes = {**dict(zip(("minconn", "maxconn"), args, strict=False)), **kwargs}
        least, most = sizes.get("minconn"), sizes.get("maxconn")
        if isinstance(least, str | int) and isinstance(most, str | int) and f"{least}{most}".isdigit():
            pool = self.ledger.pool_made(theirs, None, frame, int(most), "postgresql")
            pool.idle_min = int(least)
            pool.takes_back = False
            theirs._whoholds_pool = pool
            pool.spare = self.spare

    def spare(self, theirs: Any) -> tuple[Any, Callable[[], None]] | None:
        """The connection at the end of a ThreadedConnectionPool's list that its borrowers do not take from."""
        if not hasattr(theirs, "_lock"):
            return None
        with theirs._lock:
            if theirs.closed or len(theirs._pool) < 2:  # noqa: PLR2004 - one stays for the program
                return None
            connection = theirs._pool.pop(0)
        return connection, partial(_put_back, theirs, connection)

    def stocked(self, theirs: Any, _kept: Any, connection: Any, _frame: Any) -> None:
        """The pool has opened a connection."""
        take_home(_handle_of(connection), self.pool_of(theirs))

    def database_of(self, theirs: Any, pool: Pool) -> Database:
        """As any of the pool's connections knows it."""
        del pool
        for connection in (*theirs._used.values(), *theirs._pool):
            handle = _handle_of(connection)
            if handle is not None:
                return handle.database
        return database("postgresql")

    def asks(self, theirs: Any, frame: FrameType | None) -> Handle | None:
        """Somebody asks. These pools give or refuse at once: nobody waits."""
        try:
            pool: Pool = theirs._whoholds_pool
        except AttributeError:  # the pool was made before the start
            return None
        loan = self.ledger.asks(None, frame)
        loan.pool = pool
        return loan

    def lent(self, _theirs: Any, loan: Handle, connection: Any) -> None:
        """The pool has given `connection`. With a key, the same connection is given again."""
        try:
            handle: Handle | None = connection._whoholds
        except AttributeError:  # opened before the start: it may have been adopted
            handle = handle_on(connection)
        before = handle.loan if handle is not None else None
        if handle is not None and (before is None or before.closed_stamp is not None or is_forgotten(before)):
            self.ledger.lent(loan, None, handle, self.driver)

    def ran_out(self, theirs: Any, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the pool is exhausted; a closed pool, and a key that is not known, raise the same class."""
        return super().ran_out(theirs, exc, args, kwargs) and "exhausted" in str(exc)

    def taking(self, theirs: Any, connection: Any) -> None:
        """A loan comes back: what the pool then does with the connection is not the borrower's use."""
        try:
            loan: Handle | None = connection._whoholds.loan
        except AttributeError:  # opened before the start
            loan = last_loan(connection)
        if loan is not None and loan.pool is getattr(theirs, "_whoholds_pool", None):
            self.ledger.closed(loan)
            loan.parent.at_home = True  # type: ignore[union-attr]  # it is a loan

    def not_taken(self, theirs: Any, connection: Any, _exc: Raised) -> None:
        """The pool would not take it, and it is lent as before; or it had, and a signal's handler raised after that."""
        loan = last_loan(connection)
        if loan is not None and id(connection) in theirs._rused and loan.how != OVER:
            self.not_back(loan)

    def gone(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool was closed, and what was lent with it."""
        for loan in filter(None, map(last_loan, theirs._used.values())):
            self.ledger.closed(loan, OVER)
        pool = self.pool_of(theirs)
        if pool is not None:
            self.ledger.pool_gone(pool)

    def perhaps_gone(self, theirs: Any, kept: Any, _exc: Any, frame: Any) -> None:
        """It was closed already when closing it failed, or a signal's handler raised just after that."""
        if theirs.closed:
            self.gone(theirs, kept, None, frame)


def _put_back(theirs: Any, connection: Any) -> None:
    """Put an idle connection back; if the pool was closed meanwhile, it is closed as the others were."""
    with theirs._lock:
        if theirs.closed:
            connection.close()
        else:
            theirs._pool.insert(0, connection)


def _handle_of(connection: Any) -> Handle | None:
    return getattr(connection, "_whoholds", None)
