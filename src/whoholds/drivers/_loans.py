"""What the drivers of pools share: the one lender, and the handle that another driver has put on the connection below.

Called in the user's thread, some of it while the library's own lock is held: nothing here blocks or switches.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from whoholds.drivers import kit
from whoholds.ledger.database import database
from whoholds.ledger.handle import Handle

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.adoptable import Place
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Pool
    from whoholds.ledger.ledger import Ledger


LOAN = "_whoholds_loan"  # attribute of a lent connection, or of what stands for it in its pool: the loan that is out


def handle_on(connection: Any) -> Handle | None:
    """The handle of a connection, as its library's own driver left it there; None where nobody watches it."""
    found = getattr(connection, "_whoholds", None)
    if type(found) is Handle:
        return found
    found = getattr(connection, "_self_handle", None)
    if type(found) is Handle:
        return found
    below = getattr(connection, "_connection", None)  # aiosqlite's has sqlite3's in it
    if type(getattr(below, "_whoholds", None)) is Handle:
        return handle_on(below)
    for one in kit.Known.everywhere:
        known = one()
        handle = known.found(connection) if known is not None else None
        if handle is not None:
            return handle
    return None


def is_forgotten(loan: Handle) -> bool:
    """Whether the watch that knew of this loan is over: it may have been given back while nobody watched."""
    return loan.ledger is None or not loan.ledger.active


# The loan that is asked for in the call that runs now, where a hook further in says that it was given.
asked_for: ContextVar[Handle | None] = ContextVar("whoholds_asked_for", default=None)


class Lender:
    """The pools of one library: who waits, how long, who runs out of patience, what is lent and comes back.

    A driver derives from it, says in `lent` where the connection and its handle are, and puts `lending(original)` in
    the place of the call that lends. All else is the same for every pool and stands here.
    """

    driver = ""
    out_of_patience: tuple[type[Raised], ...] = ()  # what the library raises when the pool gives no more
    lends_further_in = False  # a hook inside of the call says that the loan was given: it asks `loan_asked_for`

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    # --- said by drivers ----------------------------------------------------------------------------------------

    def pool_of(self, theirs: Any) -> Pool | None:
        """Ours for the library's pool; None where nobody is judged by what it lends."""
        try:
            pool: Pool | None = theirs._whoholds_pool
        except AttributeError:
            return None
        return pool

    def ran_out(self, theirs: Any, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether `exc` says that the pool gave no more, in the time that the borrower had; it asked with `args`."""
        del theirs, args, kwargs
        return isinstance(exc, self.out_of_patience)

    def database_of(self, theirs: Any, pool: Pool) -> Database:
        """Where the pool's connections lead."""
        del theirs
        for handle in self.ledger.peek():
            if handle.pool is pool:
                return handle.database
        return database("other_sql")

    def loan_of(self, thing: Any) -> Handle | None:
        """The loan whose block ends with a call on `thing`; None where no pool lent it."""
        loan: Handle | None = getattr(thing, LOAN, None)
        return loan

    def spare(self, theirs: Any) -> tuple[Any, Callable[[], None]] | None:
        """Take one of at least two idle connections out of the library's pool, so that nobody else can have it.

        Returns the DB-API connection and a function that puts it back; None, or an exception, if there are no two.
        `WHOHOLDS_ASK_SERVER` calls it in a thread of its own, where it may wait for the pool's lock.
        """
        del theirs
        return None

    def lent(self, theirs: Any, loan: Handle, result: Any) -> None:
        """The pool has given `result` for the loan that its borrower asked for: tell `Ledger.lent`."""

    # --- what drivers put in a library's place ------------------------------------------------------------------

    def lending(self, original: Callable[..., Any], *, awaited: bool = False) -> Any:
        """`original`, the method of the pool that lends a connection; a coroutine function where it is `awaited`."""
        lending = kit.lending_async if awaited else kit.lending
        if self.lends_further_in:
            return lending(original, self.asks_further_in, self.lent_further_in, self.not_lent)
        return lending(original, self.asks, self.lent, self.not_lent)

    def asks(self, theirs: Any, frame: FrameType | None) -> Handle | None:
        """Somebody asks the pool `theirs`: the result is the loan, which waits."""
        pool = self.pool_of(theirs)
        return None if pool is None else self.ledger.asks(pool, frame)

    def asks_further_in(self, theirs: Any, frame: FrameType | None) -> Handle | None:
        """`asks`, where a hook further in says that the loan was given."""
        loan = self.asks(theirs, frame)
        asked_for.set(loan)
        return loan

    def lent_further_in(self, _theirs: Any, _loan: Handle, _result: Any) -> None:
        """The call has returned, in which a hook has said that the loan was given, or has not."""
        asked_for.set(None)

    def not_lent(
        self, theirs: Any, loan: Handle | None, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """The pool has given nothing, for it ran out of connections or patience, or for another reason."""
        if self.lends_further_in:
            asked_for.set(None)
        if loan is None:  # nobody is judged by this pool; or a signal's handler raised while it began to wait
            return
        loan.answered()
        pool = self.pool_of(theirs)
        if pool is not None and not loan.opened_stamp and self.ran_out(theirs, exc, args, kwargs):
            pool.timeouts += 1
            self.ledger.refused(exc, self.database_of(theirs, pool), None, pool=pool, request=loan)

    def ending_of_block(self, original: Callable[..., Any], *, awaited: bool = False) -> Any:
        """`original`, in which the library ends a transaction that the program does not mention: no use of the loan."""
        around = kit.around_async if awaited else kit.around
        return around(original, self._ends_block, self._ended_block, self._ended_block)

    def _ends_block(self, thing: Any, _args: Any, _kwargs: Any, _frame: Any) -> tuple[Handle, int, float] | None:
        loan = self.loan_of(thing)
        return None if loan is None else (loan, loan.uses, loan.busy_s)

    def _ended_block(self, _thing: Any, kept: tuple[Handle, int, float] | None, _end: Any, _frame: Any) -> None:
        if kept is not None:
            loan, uses, busy_s = kept
            loan.leave_out(uses, busy_s)

    # --- what drivers call --------------------------------------------------------------------------------------

    def loan_asked_for(self, pool: Pool | None) -> Handle | None:
        """The loan that whoever runs now asked this pool for, in the call that runs; for a hook further in.

        None where nobody asked. A loan that the pool has given already is asked for no more.
        """
        loan = asked_for.get()
        return loan if loan is not None and loan.pool is pool and not loan.opened_stamp else None

    def back(self, loan: Handle | None) -> None:
        """The pool has this loan back, and its connection is at home."""
        if loan is not None:
            connection = loan.parent
            if connection is not None:
                connection.at_home = True
            self.ledger.closed(loan)

    def back_of(self, connection: Any, loan: Handle | None) -> None:
        """`back`, once somebody else may have borrowed `connection`, which then has a loan of its own."""
        if loan is not None:
            if self.loan_of(connection) is loan:
                self.back(loan)
            else:
                self.ledger.closed(loan)

    def still_out(self, loan: Handle | None) -> None:
        """The pool would not take this loan, which was settled and not closed: its uses go on."""
        if loan is not None and loan.closed_stamp is None:
            loan.calls_after = None

    def not_back(self, loan: Handle | None, thing: Any = None) -> None:
        """The pool would not take this loan: it is lent as before, and `thing` with it, as `Ledger.lent` has it."""
        if loan is not None and loan.closed_at is not None:  # or a signal's handler raised while it was closed
            if loan.parent is not None:
                loan.parent.at_home = False
            self.ledger.reopened(loan, thing)


def last_loan(connection: Any) -> Handle | None:
    """The last loan of a pool's connection; None where it was never lent, or nobody watches it."""
    try:
        handle: Handle | None = connection._whoholds
    except AttributeError:  # opened before the start: it may have been adopted
        handle = handle_on(connection)
    return handle.loan if handle is not None else None


def last_loan_at(place: Place) -> Handle | None:
    """The last loan of the connection at a place of a pool."""
    return last_loan(place.connection)


def take_home(handle: Handle | None, pool: Pool | None) -> None:
    """The connection with this handle is the pool's, and at home."""
    if handle is not None and pool is not None:
        handle.pool = pool
        handle.at_home = True


def put_aside(handle: Handle | None, now: float) -> None:
    """A thread keeps the connection with this handle for its next request: at home until it is used again."""
    if handle is not None and handle.pool is None:
        handle.home_at = now
        handle.at_home = True


class Pools:
    """Ours for a library's pools, found by id: nothing of ours is seen on them. Each change is one C call."""

    def __init__(self) -> None:
        self._pools: dict[int, tuple[ref[Any], Pool | None]] = {}

    def put(self, theirs: Any, ours: Pool | None) -> None:
        """Remember `ours` until theirs is freed; None for a pool that lends nothing."""
        key, pools = id(theirs), self._pools
        pools[key] = (ref(theirs, partial(pools.pop, key)), ours)  # pop(key, reference), in C

    def of(self, theirs: Any) -> Pool | None:
        """Ours, or None where it lends nothing or was made before the start."""
        found = self._pools.get(id(theirs))
        return found[1] if found is not None else None

    def __contains__(self, theirs: Any) -> bool:
        return id(theirs) in self._pools
