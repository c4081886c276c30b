"""The pool that aiopg, aiomysql, asyncmy and aioodbc have in common: each library has its own copy of the one class.

Loans are judged; a pool's idle stock belongs to the line of its constructor. All of this runs in the program's tasks.
"""

from __future__ import annotations

from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._loans import LOAN, Lender
from whoholds.ledger.here import OpenedFor, opened_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.ledger import Ledger

# The pool for whose stock this task connects now.
filling: ContextVar[Pool | None] = ContextVar("whoholds_filling", default=None)


def stand_in_pool(stand: kit.OpenNames, pools: Any, lender: AioLender, fill: str = "_fill_free_pool") -> None:
    """Replace the methods of the class `pools` that lend, take back, connect (`fill`) and end."""
    hooks = {
        "__init__": kit.around(pools.__init__, after=lender.made),
        fill: kit.around_async(getattr(pools, fill), lender.filling, lender.filled, lender.not_filled),
        "_acquire": lender.lending(pools._acquire, awaited=True),
        "release": _awaited_or_not(pools.release)(
            pools.release, lender.taking, lender.taken, lender.not_taken, framed=False
        ),
        "terminate": kit.around(pools.terminate, lender.terminating) if hasattr(pools, "terminate") else None,
        "wait_closed": kit.around_async(pools.wait_closed, after=lender.gone, failed=lender.gone),
    }
    for name, ours in hooks.items():
        if ours is not None:
            stand(pools, name, ours)


def _awaited_or_not(method: Any) -> Any:
    return kit.around_async if iscoroutinefunction(method) else kit.around


def for_its_pool(original: Callable[..., Any]) -> Any:
    """`original`, the coroutine function that connects, wrapped: what it opens for a pool is that pool's."""

    def connecting(_connection: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        pool = filling.get()
        if pool is not None:
            opened_for.set(OpenedFor(None, pool.origin, pool))

    def connected(_connection: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        opened_for.set(None)

    return kit.around_async(original, connecting, connected, connected)


def dropping(ledger: Ledger) -> Any:
    """A hook to run before `Connection.__del__`: the connection counts as dropped, for the program never closed it."""

    def dropped(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Any) -> None:
        del args, kwargs, frame
        handle: Handle | None = connection.__dict__.get("_whoholds")
        if handle is not None:
            ledger.dropped(handle)

    return dropped


def _is_closed(connection: Any) -> bool:
    return bool(connection.closed)


class AioLender(Lender):
    """The hooks of the pools, and of the connections that they have lent."""

    def __init__(self, ledger: Ledger, driver: str, system: str, is_closed: Callable[[Any], bool] = _is_closed) -> None:
        super().__init__(ledger)
        self.driver = driver
        self._system = system
        self._is_closed = is_closed

    def made(self, theirs: Any, _kept: Any, _result: Any, frame: FrameType | None) -> None:
        """The constructor has returned: the pool is entered in the ledger, with its sizes."""
        pool = self.ledger.pool_made(theirs, None, frame, theirs.maxsize, self._system)
        pool.idle_min = theirs.minsize
        theirs._whoholds_pool = pool

    def filling(self, theirs: Any, _args: Any, _kwargs: Any, _frame: Any) -> bool:
        """What this task connects next belongs to the pool and to the line of the pool's constructor."""
        filling.set(self.pool_of(theirs))
        return True

    def filled(self, _theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool has the connections that it wanted, or none could be opened."""
        filling.set(None)
        opened_for.set(None)

    not_filled = filled

    def ran_out(self, theirs: Any, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the pool had no connection left. A slow connect raises the same TimeoutError."""
        del args, kwargs
        most = theirs.maxsize
        return type(exc).__name__ == "TimeoutError" and bool(most) and len(theirs._used) >= most

    def lent(self, theirs: Any, loan: Handle, connection: Any) -> None:
        """A loan is opened. The borrower gets the connection itself, which the pool keeps in its set of lent ones."""
        del theirs
        handle: Handle | None = connection.__dict__.get("_whoholds")
        setattr(connection, LOAN, loan)
        self.ledger.lent(loan, connection, handle, self.driver)

    def taking(self, _theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _frame: Any) -> Any:
        """A loan is about to come back. Returns the connection and its loan."""
        connection = args[0] if args else kwargs.get("conn")
        loan = self.loan_of(connection)
        if loan is not None:
            loan.settle()
        return connection, loan

    def taken(self, _theirs: Any, kept: Any, _result: Any, _frame: Any) -> None:
        """It came back; while `release` waited for the pool's lock, another task may have borrowed the connection."""
        if kept is not None:
            self.back_of(*kept)

    def not_taken(self, theirs: Any, kept: Any, _exc: Any, frame: Any) -> None:
        """The pool would not take it, as another pool's; or it had, and a signal's handler raised after that."""
        if kept is None:
            return
        connection, loan = kept
        lent_on = self.loan_of(connection) is not loan
        if lent_on or self._is_closed(connection) or connection in theirs._free:
            self.taken(theirs, kept, None, frame)
        else:
            self.still_out(loan)

    def terminating(self, theirs: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The pool is about to close what it has lent, whose loans are over with that."""
        for connection in list(theirs._used):
            self.back(connection.__dict__.pop(LOAN, None))

    def gone(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """`wait_closed` has ended: the ledger counts the pool as gone if it is closed."""
        pool = self.pool_of(theirs)
        if pool is not None and theirs._closed:
            self.ledger.pool_gone(pool)
