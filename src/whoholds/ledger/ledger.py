"""What is open, and what closed since the last look. Written by the user's threads, read by the one that ticks.

No lock anywhere: every change below is one C call on a dict with int keys or a deque, hence atomic for threads,
greenlets, signal handlers and the collector's callbacks. It never judges, never calls foreign code, never blocks.

The file is long because it is one object with two sides, what drivers tell and what a look takes, over the same state.
"""

from __future__ import annotations

import _thread
import itertools
import os
import sys
import time
from collections import deque
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar
from weakref import ref

from whoholds.ledger import cpython, faults, here
from whoholds.ledger import scope as scopes
from whoholds.ledger.callers import caller_of
from whoholds.ledger.database import database
from whoholds.ledger.ends import NOBODY, Ends, Note
from whoholds.ledger.entries import ASKED, ORPHANED, PARENT, THREAD_ENDED, Entries, Refusal, Sharing
from whoholds.ledger.handle import (
    CHECKOUT,
    CLOSED,
    COLLECTED,
    CONNECTION,
    FREED,
    OVER,
    UNSEEN,
    Handle,
    Loan,
    Pool,
    Request,
)
from whoholds.ledger.here import nothing_at_closing, opened_for
from whoholds.ledger.lockouts import Lockouts
from whoholds.ledger.opener import opener_of_owner
from whoholds.ledger.origin import capture_loan, capture_own, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType

    from whoholds.ledger.database import Database
    from whoholds.ledger.lockout import Lockout
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner
    from whoholds.ledger.referrer import Referrer


P = ParamSpec("P")
T = TypeVar("T")
SETTLE_S = 0.1  # after a scope's end before it is judged: servers close some things a moment later
BURST_S = 1.0  # refusals within a second are one
NOWHERE = database("other_sql")  # of a loan until the pool has given it
MANY = 1000  # open handles, from which on stacks are compared in the user's thread, and equal ones share their memory
LEAST_OF_LOAN = 12  # frames
STORED = 100  # callers that share one connection, and places that a pool has lost
_blank = object.__new__


def _whole(handles: list[Handle]) -> tuple[Sequence[Handle]]:
    return (handles,)


def _by_who_watches(method: Callable[Concatenate[Ledger, P], T]) -> Callable[Concatenate[Ledger, P], T]:
    """`method`, done by the ledger of the watch that runs, if the watch of this one is over."""

    @wraps(method)
    def told(self: Ledger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(self._successor() or self, *args, **kwargs)

    return told


class Ledger:
    """Where drivers tell of handles. One per Watch.

    Hooks outlive their watch: the program keeps a bound method, a class that it derived from ours, or waits in a call
    that one watch began and the next sees end. What such a hook tells goes to the ledger of the watch that runs.

    `clock` gives seconds, never going back; `owner` the Owner that runs now; `stamp` an iterator of rising ints;
    `frames` how many frames an origin keeps; `most` how many handles are remembered, the others only counted.
    """

    latest: ClassVar[Ledger | None] = None  # of the watch that began last

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        owner: Callable[[], Owner | None] = here.current_owner,
        origin: Callable[[FrameType | None, int], Origin] = capture_own,
        stamp: itertools.count[int] | None = None,
        frames: int = 32,
        most: int = 100_000,
    ) -> None:
        self.clock = clock
        self.keep_frames(frames)
        self.most = most
        self.active = True
        self.quiet_ident = 0  # the thread that ticks: what it opens is not watched
        self.on_opened: Callable[[], None] = _nothing  # starts the ticking thread where it does not run
        self.on_refused: Callable[[Refusal, BaseException], None] = _ignore
        self.on_locked: Callable[[Lockout, BaseException], None] = _ignore
        self.wake: Callable[[], None] = _nothing
        self.wake_at_once: Callable[[], None] = _nothing  # without waiting for what comes with it
        # set only by WHOHOLDS_SPANS=queries, before a driver stands anywhere; neither may raise or keep an argument
        self.on_statement: Callable[..., None] | None = None
        self.on_connect_failed: Callable[[Database, BaseException, int, int], None] | None = None
        self.ask: Callable[[Handle, Any], None] | None = None  # set only by WHOHOLDS_ASK_SERVER
        # set only by WHOHOLDS_TAG, before a driver stands anywhere: the name of a connection opened at an origin,
        # in so many bytes at most
        self.tag: Callable[..., str] | None = None
        self.server_limits: dict[str, int] = {}  # server → connections that it said it allows
        self.unwatched: dict[tuple[str, bool], int] = {}  # by driver and whether whoholds failed there
        self.keepers: dict[str, Any] = {}  # driver → its `Keepers`: where its hooks look for what was adopted
        self._asked: list[tuple[Handle, Callable[[Any], Any], Callable[[Any], Any] | None]] = []
        # of adopted handles without a weak reference: those that have ended; set by adoption, and asked at each look
        self.look_for_ended: Callable[[], list[Handle]] | None = None
        self._owner = owner
        self._origin = origin
        self._origin_of_loan = capture_loan if origin is capture_own else origin
        self._stamp = stamp or itertools.count(1)
        self._open: dict[int, Handle] = {}
        self._ended: deque[Handle] = deque(maxlen=most)
        self._ends = itertools.count()
        self._overflow = itertools.count()
        self._refusals: deque[Refusal] = deque(maxlen=100)
        self.lockouts = Lockouts(clock, self.who, self.open_now, self.ended_since)
        self._shared: deque[Handle] = deque(maxlen=1000)
        self._inherited: deque[tuple[Handle, Owner | None, Origin]] = deque(maxlen=1000)
        self.settle_s = SETTLE_S
        self._scopes: deque[tuple[Any, int, float]] = deque(maxlen=10_000)
        self._pools: dict[int, Pool] = {}
        self._passed_on: dict[int, Handle] = {}  # by thread: the last opening that a hook of an earlier watch told
        self._taken_ends = 0
        self._dropped_ends = 0
        self.ends = Ends(self._stamp, clock)
        self._reference, self._on_end = self.ends.reference, self.ends.on_end

    def keep_frames(self, frames: int) -> None:
        """From now on an origin keeps so many frames; of a loan, made with each request, three eighths as many.

        Twelve at least, if `frames` allows.
        """
        self.frames = frames
        self._frames_of_loan = min(frames, max(LEAST_OF_LOAN, frames * 3 // 8))

    # --- one watch after another --------------------------------------------------------------------------------

    def begin(self) -> None:
        """The watch begins: hooks that an earlier one left tell this ledger, and its pools are known here, too."""
        before, Ledger.latest = Ledger.latest, self
        if before is not None and before is not self and not before.active:
            for pool in list(before._pools.values()):
                self._inherit(pool)

    def _inherit(self, pool: Pool) -> None:
        """A pool that an earlier watch saw being made. What that watch found out about it is forgotten."""
        thing = pool.ref() if pool.ref is not None else None
        if pool.closed or thing is None:
            return
        pool.site, pool.lost = None, []
        for request in pool.requests:
            request.looked_at, request.told = False, 0
            if isinstance(request, Handle):
                request.site = request.kept = None
        pool.key = next(self._stamp)
        self._pools[pool.key] = pool
        self.pool_goes_with(pool, thing)

    def _successor(self) -> Ledger | None:
        """The ledger of the watch that runs, if this one's is over."""
        latest = Ledger.latest
        return latest if not self.active and latest is not None and latest is not self and latest.active else None

    def serves(self, latest: Ledger) -> bool:
        """Whether hooks that tell this ledger do all that those made for `latest` would do."""
        plain = self.on_statement is latest.on_statement is self.on_connect_failed is latest.on_connect_failed is None
        return plain and self._successor() is latest and self.clock is latest.clock

    def _opened_for_earlier(self, *args: Any, **kwargs: Any) -> Handle:
        """`opened`, told by a hook of an earlier watch. One of this watch may stand around it, and tell it again."""
        handle = self.opened(*args, **kwargs)
        if len(self._passed_on) >= MANY:
            self._passed_on.clear()
        self._passed_on[_thread.get_ident()] = handle
        return handle

    # --- told by drivers, in the user's thread ------------------------------------------------------------------

    def opened(
        self,
        kind: str,
        driver: str,
        where: Database,
        thing: Any,
        frame: FrameType | None,
        *,
        began: float | None = None,
        parent: Handle | None = None,
        pool: Pool | None = None,
    ) -> Handle:
        """A handle for `thing`, just opened by whoever runs now; `frame` is the caller's, `began` when it asked.

        `thing` is held weakly, and its being freed noticed, where its type allows; the driver tells of its close.
        """
        quiet = self.quiet_ident  # 0 between two looks
        if not self.active or (quiet and _thread.get_ident() == quiet):
            successor = self._successor()
            if successor is not None:
                return successor._opened_for_earlier(
                    kind, driver, where, thing, frame, began=began, parent=parent, pool=pool
                )
            return Handle(kind, driver, where, None, ())
        if self._passed_on:
            passed = self._passed_on.pop(_thread.get_ident(), None)
            if passed is not None and passed.ref is not None and passed.ref() is thing:
                return passed
        by = opened_for.get()
        if by is None:
            handle = _blank(Handle)  # `Handle(…)`, written out: C would call `__init__`, at thrice the price
            Handle.__init__(handle, kind, driver, where, self._owner(), self._origin(frame, self.frames))
        elif by is here.OPENED_ABOVE:
            return Handle(kind, driver, where, None, ())
        else:
            opened_for.set(None)
            handle = Handle(kind, driver, where, by.owner or self._owner(), by.origin)
            pool = by.pool
            handle.at_home = pool is not None
        if parent is not None:
            handle.lent(parent)
        handle.pool = pool
        self._enter(handle, thing)
        if began is not None:
            handle.connect_s = handle.opened_at - began
        if self.ask is not None and kind == CONNECTION:
            self.ask(handle, thing)
        return handle

    def asks(self, pool: Pool | None, frame: FrameType | None) -> Handle:
        """Whoever runs now asks `pool` for a connection, at the line of `frame`: it waits until it is `answered`.

        The result is the loan that it gets, once the pool has given it: see `lent`.
        """
        if not self.active:
            successor = self._successor()
            if successor is not None:
                return successor.asks(pool, frame)
        loan: Handle = Loan()
        loan.owner = self._owner()
        loan.origin = self._origin_of_loan(frame, self._frames_of_loan)
        loan.pool = pool
        loan.ledger = loan.parent = loan.ref = loan.context = loan.scope = None
        loan.closed_at = loan.closed_stamp = loan.calls_after = None
        loan.site = loan.kept = loan.referrer = None
        loan.looked_at = loan.inherited = loan.at_home = False
        loan.told = loan.opened_stamp = loan.caller = loan.user = 0
        loan.lost_s = 0.0
        loan.how = ""
        loan.made = ()
        loan.began = loan.used_at = self.clock()
        if pool is not None:
            try:
                pool.waiting.add(loan)
            except BaseException:  # a signal's handler raised: whoever keeps the exception must not keep the loan
                del loan
                raise
        return loan

    def lent(
        self,
        loan: Handle,
        thing: Any,
        connection: Handle | None = None,
        driver: str = "",
        otherwise: Database = NOWHERE,
    ) -> None:
        """The pool has given the loan that was asked for; `thing` is what the borrower got, as for `opened`.

        It is of `connection`, or of one that nobody watches and that leads to `otherwise`. `thing` is None where the
        library never lets go of it.
        """
        if not self.active:
            successor = self._successor()
            if successor is not None:
                successor.lent(loan, thing, connection, driver, otherwise)
                return
        pool = loan.pool
        if pool is not None and pool.closed:
            self.pool_back(pool)
        loan.driver = driver
        if connection is None:
            loan.database, loan.backend_pid, loan.calls, loan.calls_s = otherwise, None, 0, 0.0
            loan.caller = UNSEEN
        else:
            connection.at_home = False
            connection.loan = loan
            if pool is not None:
                connection.pool = pool
            loan.database = connection.database
            loan.backend_pid = connection.backend_pid
            loan.calls = connection.calls  # as `Handle.lent`, written out: each loan passes here
            loan.calls_s = connection.calls_s
            loan.parent = connection
        quiet = self.quiet_ident  # 0 between two looks
        if self.active and not (quiet and _thread.get_ident() == quiet):
            self._enter(loan, thing)
            loan.connect_s = loan.opened_at - loan.began

    def _enter(self, handle: Handle, thing: Any) -> None:
        """From now on `handle` is open."""
        handle.ledger = self
        if scopes.any_yet:
            handle.scope = scopes.current(handle.owner)
        count = len(self._open)
        kept = count < self.most or self._room()
        if count >= MANY:
            handle.origin = shared(handle.origin)
        if thing is not None:
            try:
                reference = self._reference(thing, self._on_end if kept else None)
            except TypeError:  # a type without weak references: its driver tells of its end
                pass
            else:
                reference.handle = handle
                handle.ref = reference
        current_context = here.current_context
        if current_context is not here.no_context:
            handle.context = current_context()
            opener = handle.context or opener_of_owner(handle.owner)
            if opener is not None and handle.ref is not None and opener[1] is not None:
                handle.ref.span = opener[1]  # type: ignore[attr-defined]  # it is a Reference
        handle.opened_at = handle.used_at = self.clock()
        handle.opened_stamp = stamp = next(self._stamp)
        if kept:
            self._open[stamp] = handle
        else:
            next(self._overflow)
        self.on_opened()

    def closed(self, handle: Handle, how: str = CLOSED) -> None:
        """`handle` was closed or given back just now, or freed. Telling it twice is once."""
        if handle.closed_stamp is not None:
            return
        ledger = handle.ledger
        if ledger is not self and ledger is not None:
            # a class that was made while another Watch ran, of before, stands above ours
            ledger.closed(handle, how)
            return
        connection = handle.parent
        if connection is not None and handle.calls_after is None:  # as `Handle.settle`, written out
            used_at = connection.used_at
            if used_at > handle.used_at:  # noqa: PLR1730 - likewise
                handle.used_at = used_at
            handle.calls_s_after = connection.calls_s
            handle.calls_after = connection.calls
        handle.closed_at = self.clock()
        at_closing = here.at_closing
        if at_closing is not nothing_at_closing:
            at_closing(handle)
        handle.how = how
        if how == CLOSED and handle.inherited:
            self.used_in_child(handle, sys._getframe(1))
        handle.closed_stamp = next(self._stamp)
        handle.ref = None  # an exception between two of these lines is made up for by `_interrupted`
        handle.caller = 0
        if self._open.pop(handle.opened_stamp, None) is not None:  # whoever takes it out says that it ended
            self._ended.append(handle)
            next(self._ends)  # after it: a look that comes between the two must not think that one was dropped

    def dropped(self, loan: Handle) -> None:
        """A pool's own finalizer takes a loan back that its borrower let go."""
        if loan.closed_stamp is None and loan.ref is not None:
            worker = _worker_of(loan)
            ended = worker is not None and worker.gone()
            self.closed(loan, _how_freed(collected=self.ends.collected_here(), ended=ended))

    def reopened(self, handle: Handle, thing: Any = None) -> None:
        """A close that failed: it is open after all, and is freed with `thing` where one is given."""
        ledger = handle.ledger
        if ledger is not self and ledger is not None:  # as in `closed`
            ledger.reopened(handle, thing)
            return
        if thing is not None:
            handle.ref = self._reference(thing, self._on_end)
            handle.ref.handle = handle
        handle.closed_at = handle.closed_stamp = None
        handle.how = ""
        handle.calls_after = None
        self._open[handle.opened_stamp] = handle

    # --- what was open before -----------------------------------------------------------------------------------

    def adopt(
        self,
        kind: str,
        driver: str,
        where: Database,
        thing: Any,
        referrer: Referrer,
        *,
        owner: Owner | None = None,
        pool: Pool | None = None,
        parent: Handle | None = None,
    ) -> Handle:
        """A handle for `thing`, which was open before the watch: who opened it, and where, is not known."""
        handle = Handle(kind, driver, where, owner, ())
        handle.ledger, handle.referrer, handle.pool = self, referrer, pool
        if parent is not None:
            handle.lent(parent)
            parent.loan = handle
        if thing is not None:
            try:
                reference = self._reference(thing, self._on_end)
            except TypeError:  # a type without weak references: `ask_again` finds out that it ended
                pass
            else:
                reference.handle = handle
                handle.ref = reference
        handle.opened_at = handle.used_at = self.clock()
        handle.opened_stamp = stamp = next(self._stamp)
        self._open[stamp] = handle
        self.on_opened()
        return handle

    def ask_again(
        self,
        handle: Handle,
        is_closed: Callable[[Any], Any],
        in_transaction: Callable[[Any], Any] | None,
        *,
        seen: bool,
    ) -> None:
        """Ask at each look whether an adopted connection was closed, and, unless its calls are `seen`, for its state.

        Neither question may do more than read an attribute of a Python object.
        """
        if not seen:
            handle.caller = UNSEEN
        self._asked.append((handle, is_closed, in_transaction))

    def _ask_the_adopted(self) -> None:
        """Ask each adopted connection; those that have ended are forgotten. Called by the tick."""
        left = []
        for entry in self._asked:
            handle, is_closed, in_transaction = entry
            thing = handle.ref() if handle.ref is not None else None
            if handle.closed_stamp is not None or thing is None:  # `look_for_ended` asks the others
                continue
            if is_closed(thing):
                self.closed(handle)
                continue
            if in_transaction is not None:
                handle.in_transaction = in_transaction(thing)
            left.append(entry)
        self._asked = left
        if self.look_for_ended is not None:
            for handle in self.look_for_ended():
                self.closed(handle)

    @_by_who_watches
    def refused(
        self,
        exc: BaseException,
        where: Database,
        frame: FrameType | None,
        *,
        pool: Pool | None = None,
        request: Request | None = None,
    ) -> None:
        """`exc` is about to reach the program because the server or `pool` gives no more. One finding per burst."""
        if not self.active or _thread.get_ident() == self.quiet_ident:
            return
        now = self.clock()
        last = _last(self._refusals)
        if last is not None and now - last.at < BURST_S and last.database is where and last.by_pool is pool:
            last.count += 1
            if len(last.requests) < ASKED:
                last.requests.append(request or self._refused_request(frame))
        else:
            self.settle()
            last = Refusal(now, where, f"{type(exc).__name__}: {exc}".strip(), list(self._open.values()))
            last.by_pool = pool
            last.stamp = next(self._stamp)
            if request is None:
                request = self._refused_request(frame)
            last.owner, last.origin = request.owner, request.origin
            last.opener = here.current_context() or opener_of_owner(last.owner)
            last.requests.append(request)
            self._refusals.append(last)
        self.on_refused(last, exc)
        self.wake()

    def _refused_request(self, frame: FrameType | None) -> Request:
        """A request that does not wait any more."""
        by = opened_for.get()
        origin = by.origin if by is not None else self._origin(frame, self.frames)
        return Request(None, self._owner(), origin, self.clock())

    @_by_who_watches
    def locked_out(
        self, /, kind: str, handle: Handle, exc: BaseException, sql: Any, frame: FrameType | None, **more: Any
    ) -> None:
        """`exc` is about to reach the program because of somebody else's lock: see `Lockouts.failed`."""
        if self.active and handle.ledger is self:
            self.on_locked(self.lockouts.failed(kind, handle, exc, sql, frame, **more), exc)
            self.wake()

    def who(self, frame: FrameType | None) -> tuple[Owner | None, Origin]:
        """Whoever runs now, and its line at `frame`."""
        return self._owner(), self._origin(frame, self.frames)

    def open_now(self) -> list[Handle]:
        """What is open at this instant, in any order. Called in the user's thread."""
        self.settle()
        return list(self._open.values())

    def ended_since(self, at: float) -> list[Handle]:
        """What ended at `at` or later and no look has taken yet. Called in the user's thread."""
        return [handle for handle in self._ended.copy() if handle.closed_at is not None and handle.closed_at >= at]

    @_by_who_watches
    def shared_at_once(self, handle: Handle, caller: int, inside: int, frame: FrameType | None) -> None:
        """`caller` came into a call on `handle`, at the line of `frame`, while `inside` was in one.

        `inside` is the caller that the call itself had read: by now that one may have left.
        """
        sharing = handle.shared
        if sharing is not None:
            if caller not in sharing.callers and len(sharing.callers) < STORED:
                sharing.callers.add(caller)
                self._shared.append(handle)
            return
        name, stack = caller_of(inside, self.frames)
        if not _may_be_inside(stack):  # what an exception left behind in the middle of a hook
            return
        came_in = self._origin(frame, self.frames)
        handle.shared = Sharing({inside, caller}, stack, came_in, self._owner(), name)
        self._shared.append(handle)

    @_by_who_watches
    def used_in_child(self, handle: Handle, frame: FrameType | None) -> None:
        """A handle that the parent opened before the fork was used here; said once per handle."""
        if handle.inherited:
            handle.inherited = False
            self._inherited.append((handle, self._owner(), self._origin(frame, self.frames)))
            self.on_opened()  # a child that only uses what it inherited has nobody yet who would say so
            self.wake_at_once()  # it may be ended before the next look

    @_by_who_watches
    def pool_made(
        self, pool_object: Any, name: Any, frame: FrameType | None, maximum: int | None, system: str = ""
    ) -> Pool:
        """A Pool for a library's pool object; it is forgotten when that object goes or `pool_gone` is told.

        `name` is what the program calls it; where that is no text, the pool is called as its class.
        """
        key = next(self._stamp)
        named = isinstance(name, str) and bool(name)
        shown = name if named else type(pool_object).__name__
        pool = Pool(key, shown, self._origin(frame, self.frames), maximum, system)
        pool.named = named
        self._pools[key] = pool
        try:
            self.pool_goes_with(pool, pool_object)
        except TypeError:
            pass
        return pool

    def pool_goes_with(self, pool: Pool, thing: Any) -> None:
        """Forget the pool when `thing` is freed. Raises TypeError where that takes no weak reference."""
        # pop(key, reference), in C: what freed itself is taken from the table, and seen to be closed by that
        pool.ref = ref(thing, partial(self._pools.pop, pool.key))

    def pool_of(self, thing: Any) -> Pool | None:
        """The Pool for a library's pool object, where it was entered before."""
        for pool in list(self._pools.values()):
            if pool.ref is not None and pool.ref() is thing:
                return pool
        return None

    @_by_who_watches
    def pool_gone(self, pool: Pool) -> None:
        """The pool was closed, disposed of or freed."""
        if not pool.closed:
            pool.closed_at = self.clock()
        pool.closed = True
        if self._pools.get(pool.key) is pool:  # one of an earlier watch may have a key that is another's here
            self._pools.pop(pool.key, None)

    @_by_who_watches
    def pool_back(self, pool: Pool) -> None:
        """A pool that had given up all it held lends again."""
        pool.closed = False
        pool.closed_at = float("inf")
        if pool.key and self._pools.setdefault(pool.key, pool) is not pool:  # likewise
            pool.key = next(self._stamp)
            self._pools[pool.key] = pool
            thing = pool.ref() if pool.ref is not None else None
            if thing is not None:
                self.pool_goes_with(pool, thing)

    def scope_over(self, scope: Any) -> None:
        """A scope is over: what was opened in it and is still out at a tick soon after was not given back."""
        if self.active:
            self._scopes.append((scope, next(self._stamp), self.clock()))

    @_by_who_watches
    def cannot_watch(self, driver: str, *, failed: bool = False) -> None:
        """Count a connection that the program gets unwatched; the summary says so.

        A factory of the program's made it or, where it `failed`, the hook that calls this in a `finally` has raised. If
        that is an exception of the program's own, the program gets no connection, and nothing is counted.
        """
        error = sys.exc_info()[1] if failed else None
        if error is None or (isinstance(error, Exception) and not faults.is_the_programs(error)):
            self.unwatched[driver, failed] = self.unwatched.get((driver, failed), 0) + 1

    # --- what freed itself ------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """End what was freed since the last call. Any thread: it precedes each question of what is open."""
        for note in self.ends.each():
            handle = note[-1].handle
            if handle.closed_stamp is None and self.active:  # else told already; or the end of the interpreter
                self._freed(handle, note)

    def _room(self) -> bool:
        """Whether there is room for one more handle. Where no tick ever runs, what was freed makes it."""
        self.settle()
        return len(self._open) < self.most

    def _freed(self, handle: Handle, note: Note) -> None:
        """`handle` was freed when `note` was taken."""
        span, thread, stamp, at, ident, collecting, _ = note
        pool = handle.pool
        if handle.parent is not None:
            handle.settle()
        if pool is not None and handle.kind == CHECKOUT and not pool.takes_back:
            pool.lost.append(handle)
            del pool.lost[:-STORED]
        if pool is not None and handle.kind == CONNECTION:
            handle.how = OVER
        else:
            worker = _worker_of(handle)
            if worker is not None and worker.key != thread and worker.gone():
                handle.how = _how_freed(collected=collecting == ident, ended=True)
            else:
                handle.how = COLLECTED if collecting == ident else FREED
        handle.closed_at = at
        at_closing = here.at_closing
        if at_closing is not nothing_at_closing:
            at_closing(handle, self.clock(), lived=span != NOBODY)
        handle.closed_stamp = stamp
        handle.ref = None  # from here on as in `closed`
        handle.caller = 0
        if self._open.pop(handle.opened_stamp, None) is not None:
            self._ended.append(handle)
            next(self._ends)

    # --- asked by the tick --------------------------------------------------------------------------------------

    def take(
        self, *, last: bool = False, between: Callable[[list[Handle]], Iterable[Sequence[Handle]]] = _whole
    ) -> Entries:
        """Everything that is open and what ended since the last call, which is then forgotten here.

        Scopes that are over come once they have settled, and all of them with the `last`. `between` gives many handles
        some hundreds at a time, with a pause in between.
        """
        self.ends.see_threads()
        self.settle()
        if self._asked or self.look_for_ended is not None:
            self._ask_the_adopted()
        open_ = list(self._open.values())  # first: what closes meanwhile is in both, and never in neither
        ends = _value(self._ends)
        drained = _drain(self._ended)
        self._taken_ends += len(drained)
        self._dropped_ends = max(self._dropped_ends, ends - self._taken_ends)
        for few in between(open_):
            drained += self._interrupted(few)
        ended = dict.fromkeys([one for one in drained if one.closed_stamp is not None])  # a close may have failed
        return Entries(
            self.clock(),
            next(self._stamp),
            [one for one in open_ if one not in ended] if ended else open_,
            list(ended),
            _drain(self._refusals),
            _drain(self._shared),
            _drain(self._inherited),
            list(self._pools.values()),
            self._dropped_ends + _value(self._overflow),
            tuple(self._settled_scopes(last=last)),
            tuple([request for pool in list(self._pools.values()) for request in pool.requests]),
            tuple(_drain(self.lockouts.queue)),
        )

    def _interrupted(self, handles: Sequence[Handle]) -> list[Handle]:
        """Those that ended half: the program's signal handler raised in the middle of `closed`."""
        return [
            handle
            for handle in handles
            # whoever pops it says that it ended
            if handle.closed_stamp is not None and self._open.pop(handle.opened_stamp, None) is not None
        ]

    def _settled_scopes(self, *, last: bool) -> Iterator[tuple[Any, int]]:
        settled = self.clock() - self.settle_s
        while self._scopes and (last or self._scopes[0][2] <= settled):
            yield self._scopes.popleft()[:2]

    @property
    def stamps(self) -> int:
        """How many stamps were given out: the same as before, and nothing was opened or closed since. 0.3 µs."""
        return _value(self._stamp)

    @property
    def unseen(self) -> bool:
        """Whether something ended since the last `take`."""
        return bool(self._ended) or bool(self.ends)

    def peek(self) -> list[Handle]:
        """What is open now, oldest first; takes nothing away."""
        self.settle()
        return sorted(self._open.values(), key=_opened_stamp)

    def in_child(self) -> None:
        """After a fork, in the child: what the parent opened is inherited, not held here."""
        for handle in list(self._open.values()):
            handle.inherited = True
            handle.caller = PARENT
        self._open.clear()
        self._ended.clear()
        self.ends.clear()
        self._refusals.clear()
        self.lockouts.clear()
        self._shared.clear()
        self._inherited.clear()
        self._scopes.clear()
        self._asked.clear()
        self.look_for_ended = None
        for pool in list(self._pools.values()):
            pool.waiting.clear()  # those who wait are threads of the parent
        self._taken_ends = _value(self._ends)
        self._dropped_ends = 0
        self._overflow = itertools.count()
        self.quiet_ident = 0  # the thread that looked is the parent's


def _worker_of(handle: Handle) -> Owner | None:
    """The owner that is the thread in which it was opened; None for greenlets, and tasks in their loop's thread."""
    owner = handle.owner
    if owner is None:
        return None
    return owner.thread or (owner if owner.kind in ("thread", "job") else None)


def _how_freed(*, collected: bool, ended: bool) -> str:
    """How a handle ends that frees itself, by the collector or with its last reference, after its thread or before."""
    if ended:
        return ORPHANED if collected else THREAD_ENDED
    return COLLECTED if collected else FREED


_HOOKS = os.path.dirname(os.path.dirname(__file__)) + os.sep + "drivers" + os.sep


def _may_be_inside(stack: Origin) -> bool:
    """Whether somebody with this stack may be in a call of ours: one that is there has our frame on it.

    Nothing is known of a greenlet, nor of anybody where no frames may be looked at: they have no stack here.
    """
    if not stack:
        return not (cpython.has_gil() and cpython.shares_frames()) or "greenlet" in sys.modules
    return any(code.co_filename.startswith(_HOOKS) for code in stack[::2])  # type: ignore[union-attr]  # codes


def _drain(queue: deque[Any]) -> list[Any]:
    taken: list[Any] = []
    try:
        if queue:
            taken.extend(iter(queue.popleft, None))  # all in C, and what was taken stays when the last call raises
    except IndexError:  # it is empty
        pass
    return taken


def _last(queue: deque[Any]) -> Any:
    """The youngest, or None where a look has just taken all."""
    try:
        return queue[-1]
    except IndexError:
        return None


def _value(count: itertools.count[int]) -> int:
    """How often `next` was called on a count that began at 0; its repr is the one way to look without taking."""
    return int(repr(count)[len("count(") : -1])


def _opened_stamp(handle: Handle) -> int:
    return handle.opened_stamp


def _nothing() -> None:
    return None


def _ignore(noted: Refusal | Lockout, exc: BaseException) -> None:
    del noted, exc
