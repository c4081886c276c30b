"""What the drivers of pools share: the one lender, and the handle that another driver has put on the connection below.

Called in the user's thread, some of it while the library's own lock is held: nothing here blocks or switches.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from whoholds.drivers import kit
from whoholds.ledger.database import database
from whoholds.ledger.handle import CHECKOUT, UNSEEN, Handle

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Pool, Request
    from whoholds.ledger.ledger import Ledger


LOAN = "_whoholds_loan"  # attribute of a lent connection, or of what stands for it in its pool: the loan that is out


def handle_on(connection: Any) -> Handle | None:
    """The handle of a connection, as its library's own driver left it there; None where nobody watches it."""
    for name in ("_whoholds", "_self_handle"):
        found = getattr(connection, name, None)
        if isinstance(found, Handle):
            return found
    below = getattr(connection, "_connection", None)  # aiosqlite's has sqlite3's in it
    if isinstance(getattr(below, "_whoholds", None), Handle):
        return handle_on(below)
    for one in kit.Known.everywhere:
        known = one()
        handle = known.found(connection) if known is not None else None
        if handle is not None:
            return handle
    return None


# The request in whose answering a library calls one of our hooks that makes the loan; set and reset around that call.
asked_with: ContextVar[Request | None] = ContextVar("whoholds_asked_with", default=None)


class Asked(NamedTuple):
    """What is kept while a pool's call runs that lends a connection."""

    request: Request
    token: Any  # of `asked_with`, where another hook makes the loan
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    pool: Pool


_new = tuple.__new__  # the constructor of a named tuple is a call of Python code more


class Lender:
    """The pools of one library: who waits, how long, who runs out of patience, what is lent and comes back.

    A driver derives from it, says in `lent` where the connection and its handle are, and puts `lending(original)` in
    the place of the call that lends. All else is the same for every pool and stands here.
    """

    driver = ""
    out_of_patience: tuple[type[Raised], ...] = ()  # what the library raises when the pool gives no more
    lends_further_in = False  # another hook makes the loan, inside of the call: it asks `request_of`

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    # --- said by drivers ----------------------------------------------------------------------------------------

    def pool_of(self, theirs: Any) -> Pool | None:
        """Ours for the library's pool; None where nobody is judged by what it lends."""
        pool: Pool | None = getattr(theirs, "_whoholds_pool", None)
        return pool

    def line_of(self, frame: FrameType | None) -> FrameType | None:
        """The frame from which the borrower's line is in sight."""
        return frame

    def ran_out(self, theirs: Any, exc: Raised, asked: Asked) -> bool:
        """Whether `exc` says that the pool gave no more, in the time that the borrower had."""
        del theirs, asked
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

    def lent(self, theirs: Any, pool: Pool, result: Any, asked: Asked, frame: FrameType | None) -> None:
        """The pool has given `result`: make the loan, with `lend`."""

    # --- what drivers put in a library's place ------------------------------------------------------------------

    def lending(self, original: Callable[..., Any], *, awaited: bool = False) -> Any:
        """`original`, the method of the pool that lends a connection; a coroutine function where it is `awaited`."""
        around = kit.around_async if awaited else kit.around
        return around(original, self._asks, self._gave, self._gave_none)

    def _asks(
        self, theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None
    ) -> Asked | None:
        pool = self.pool_of(theirs)
        if pool is None:
            return None
        request = self.ledger.asks(pool if pool.key else None, self.line_of(frame))
        return _new(Asked, (request, asked_with.set(request) if self.lends_further_in else None, args, kwargs, pool))

    def _gave(self, theirs: Any, asked: Asked | None, result: Any, frame: FrameType | None) -> None:
        if asked is None:
            self._answered(None)
            return
        request, token, _, _, pool = asked
        waits = request.waits
        if waits is not None:  # as `_answered`, written out: each loan passes here
            pool.waiting.discard(waits)
        if token is not None:
            asked_with.reset(token)  # the loan is made already
        else:
            self.lent(theirs, pool, result, asked, frame)

    def _gave_none(self, theirs: Any, asked: Asked | None, exc: Raised, frame: FrameType | None) -> None:
        del frame
        self._answered(asked)
        if asked is not None and self.ran_out(theirs, exc, asked):
            pool = asked.pool
            pool.timeouts += 1
            where = self.database_of(theirs, pool)
            self.ledger.refused(exc, where, None, pool=pool, request=asked.request)

    def _answered(self, asked: Asked | None) -> None:
        if asked is not None:
            asked.request.answered()
            if asked.token is not None:
                asked_with.reset(asked.token)
        elif self.lends_further_in:  # a signal's handler raised while it began to wait
            asked_with.set(None)

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

    def request_of(self, pool: Pool | None) -> Request | None:
        """The request of whoever waits for this pool in the call that runs now, for a hook further in."""
        request = asked_with.get()
        return request if request is not None and request.pool is pool else None

    def lend(
        self,
        lent: Any,
        handle: Handle | None,
        pool: Pool | None,
        frame: FrameType | None,
        request: Request | None,
        otherwise: Database | None = None,
        *,
        began: float | None = None,
    ) -> Handle:
        """A loan out of `pool` of the connection with this handle, or of one that nobody watches, to `otherwise`.

        `lent` is what the borrower gets, or None where a library never lets go of it; `request` what was asked with.
        Without a request, `began` is when the borrower asked, in seconds of the ledger's clock.
        """
        ledger = self.ledger
        if request is not None:
            began = request.began
        if pool is not None and pool.closed:
            ledger.pool_back(pool)
        if handle is None:
            where = otherwise or database("other_sql")
            loan = ledger.opened(CHECKOUT, self.driver, where, lent, frame, began=began, pool=pool, request=request)
            loan.caller = UNSEEN
            return loan
        handle.at_home = False
        if pool is not None:
            handle.pool = pool
        loan = ledger.opened(
            CHECKOUT, self.driver, handle.database, lent, frame, began=began, parent=handle, pool=pool, request=request
        )
        loan.backend_pid = handle.backend_pid
        return loan

    def back(self, loan: Handle | None) -> None:
        """The pool has this loan back, and its connection is at home."""
        if loan is not None:
            if loan.parent is not None:
                loan.parent.at_home = True
            self.ledger.closed(loan)

    def still_out(self, loan: Handle | None) -> None:
        """The pool would not take this loan, which was settled and not closed: its uses go on."""
        if loan is not None and loan.closed_stamp is None:
            loan.after = None

    def not_back(self, loan: Handle | None) -> None:
        """The pool would not take this loan: it is lent as before."""
        if loan is not None and loan.closed_stamp is not None:
            if loan.parent is not None:
                loan.parent.at_home = False
            self.ledger.reopened(loan)


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
