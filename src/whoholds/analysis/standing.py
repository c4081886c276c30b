"""Standing handles: what one chain opened to one database, of which at most one was ever open at a time.

Counted from the stamps of openings and closings, in the process and in each thread, once a look by the thread that
ticks. What was freed and never closed is not counted as held at once with its successor: a name was bound anew.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from whoholds.analysis.chains import Chain, Chains
from whoholds.analysis.peaks import loans_of, reaches
from whoholds.analysis.rules import BITS
from whoholds.ledger import cpython
from whoholds.ledger.handle import CHECKOUT, CLOSED, Handle

if TYPE_CHECKING:
    from typing import TypeAlias

    from whoholds.analysis.pauses import Pauses
    from whoholds.ledger.database import Database
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

    ByThread: TypeAlias = dict[Owner | None, list[int]]  # stamps of what a look brought, by the thread that keeps it

_NONE: list[int] = []
_FEW = 2  # databases of one chain that an owner may keep open; more are a loop that keeps what it takes
_MANY = 10_000  # pairs of chain and database that are remembered
_MANY_THREADS = 100  # of one pair


class Count:
    """How many handles of one chain and one database the process, or one thread, has."""

    __slots__ = ("crowded", "open", "opened")

    def __init__(self) -> None:
        self.opened = 0  # ever
        self.open = 0  # at the last look
        self.crowded = False  # two of them were open at once, and one of the two was closed since

    def sweep(self, opened: list[int], closed: list[int], freed: int) -> None:
        """Count on by the stamps of what was opened and closed; `freed` are gone without a close."""
        before = self.open - freed
        self.opened += len(opened)
        self.open = after = before + len(opened) - len(closed)
        if closed and not self.crowded:  # otherwise the most are open now
            opened.sort()
            closed.sort()
            self.crowded = reaches(max(after, 1) + 1 - before, opened, closed)

    @property
    def single(self) -> bool:
        """Whether no two were ever open at once."""
        return self.open <= 1 and not self.crowded


class Kept:
    """What one chain opened to one database: in the process, and in each thread."""

    __slots__ = ("chain", "crowded_threads", "in_turn", "process", "threads")

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.process = Count()
        self.in_turn = False  # one of them was used by one owner after the other: they are somebody's stock
        self.threads: dict[Owner, Count] = {}
        self.crowded_threads = 0  # threads that had two open at once: the chain keeps more than one for each thread

    def sweep(self, opened: ByThread, closed: ByThread, freed: ByThread) -> None:
        """What a look brought, by thread."""
        self._count(None, self.process, _together(opened), _together(closed), len(_together(freed)))
        threads = self.threads
        for thread in opened.keys() | closed.keys() | freed.keys() if closed or freed else opened:
            if thread is not None:
                count = threads.get(thread)
                if count is None:
                    count = threads[thread] = Count()
                self._count(
                    thread, count, opened.get(thread, _NONE), closed.get(thread, _NONE), len(freed.get(thread, _NONE))
                )
        if len(self.threads) > _MANY_THREADS:
            for thread in [one for one, count in self.threads.items() if not count.open and one.gone()]:
                del self.threads[thread]

    def _count(self, keeper: Owner | None, count: Count, opened: list[int], closed: list[int], freed: int) -> None:
        had, was_crowded = count.open, count.crowded
        count.sweep(opened, closed, freed)
        if keeper is not None:  # `Count.single`, written out, before and after
            self.crowded_threads += (had <= 1 and not was_crowded) - (count.open <= 1 and not count.crowded)
        if (had > 0) != (count.open > 0):
            held = self.chain.held
            held[keeper] = held.get(keeper, 0) + (1 if count.open > 0 else -1)
            if not held[keeper]:
                del held[keeper]


def _together(by_thread: ByThread) -> list[int]:
    """The stamps of all threads."""
    if len(by_thread) == 1:  # mostly
        return next(iter(by_thread.values()))
    return [*chain.from_iterable(by_thread.values())]


def _stamps_of(by_kept: dict[Kept, ByThread], kept: Kept, owner: Owner | None) -> list[int]:
    """Those of one chain and of the thread of `owner`; those of tasks are no thread's."""
    thread = owner and (owner.thread or (owner if owner.kind != "task" else None))  # as `thread_of`, written out
    by_thread = by_kept.get(kept)
    if by_thread is None:
        by_thread = by_kept[kept] = {}
    stamps = by_thread.get(thread)
    if stamps is None:
        stamps = by_thread[thread] = []
    return stamps


def _endings(ended: list[Handle], new: list[Handle]) -> tuple[dict[Kept, ByThread], dict[Kept, ByThread]]:
    """The stamps of what was closed, and of what was freed without a close since an earlier look."""
    closed: dict[Kept, ByThread] = {}
    freed: dict[Kept, ByThread] = {}
    fresh: set[int] = set()
    latest: tuple[Kept | None, Owner | None] = (None, None)
    for handle in ended:
        kept, owner = handle.kept, handle.owner
        if kept is None:
            continue
        if handle.how == CLOSED:
            if kept is not latest[0] or owner is not latest[1]:
                latest, stamps = (kept, owner), _stamps_of(closed, kept, owner)
            stamps.append(handle.closed_stamp)  # type: ignore[arg-type]  # it has ended
        else:
            fresh = fresh or set(map(id, new))
            if id(handle) not in fresh:
                _stamps_of(freed, kept, owner).append(handle.opened_stamp)
    return closed, freed


class Standing:
    """All pairs of chain and database; asked by the detectors."""

    def __init__(self) -> None:
        self.chains = Chains()
        self.ends_at: float | None = None  # when the last looks of the process began
        self.every = 1.0  # seconds between looks: who was seen gone so shortly before the end was joined for it
        self.main_over_at: float | None = None  # when a look first saw that the main thread had ended
        self._kept: dict[tuple[Chain, object, str], Kept] = {}

    def take(self, taken: Entries, new: list[Handle], pauses: Pauses) -> None:
        """Count what a look brought; its `new` handles have their lines."""
        if self.main_over_at is None and cpython.main_is_over():
            self.main_over_at = taken.now
        if not new and not taken.ended:
            return
        opened = self._openings(new, pauses)
        closed, freed = _endings(taken.ended, new)
        for kept in opened.keys() | closed.keys() | freed.keys() if closed or freed else opened:
            pauses()
            kept.sweep(opened.get(kept, {}), closed.get(kept, {}), freed.get(kept, {}))
        if len(self._kept) > _MANY:
            self._forget()

    def _openings(self, new: list[Handle], pauses: Pauses) -> dict[Kept, ByThread]:
        """The stamps of what opened; a handle that was freed meanwhile counts as never open."""
        opened: dict[Kept, ByThread] = {}
        # By ids: a loop's handles have one origin by now.
        of_origin: dict[tuple[int, Owner | None, Database, str], tuple[Kept, list[int]]] = {}
        latest: tuple[Origin, Database | None, Owner | None] = ((), None, None)  # of many handles a loop's are alike
        for few in pauses.between(loans_of(new)):  # not cursors, not a stock
            for handle in few:
                origin, database, owner = handle.origin, handle.database, handle.owner
                if origin is not latest[0] or database is not latest[1] or owner is not latest[2]:
                    if not origin:
                        continue
                    latest, key = (origin, database, owner), (id(origin), owner, database, handle.kind)
                    known = of_origin.get(key)
                    if known is None:
                        kept = self._of(handle)
                        known = of_origin[key] = kept, _stamps_of(opened, kept, owner)
                    kept, stamps = known
                handle.kept = kept
                if handle.closed_stamp is None or handle.how == CLOSED:
                    stamps.append(handle.opened_stamp)
        return opened

    def end(self, now: float) -> None:
        """The process ends: threads that a look finds gone from now on lived until the end. Can be called twice."""
        if self.ends_at is None:
            self.ends_at = now

    def _of(self, handle: Handle) -> Kept:
        database = "" if handle.database.private else handle.database
        key = (self.chains.of(handle.origin), database, handle.kind)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = Kept(key[0])
        return kept

    def _forget(self) -> None:
        """A file for every customer: pairs of which nothing is open."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept.process.open}

    def stands(self, handle: Handle, now: float) -> bool:
        """Whether `handle` is standing at the look of `now`.

        A loan is where its chain borrowed no other: who borrows gives back.
        """
        kept: Kept | None = handle.kept
        if kept is None:
            return handle.site is None
        if handle.told & BITS["owner-gone"]:
            return False
        if handle.kind == CHECKOUT:
            return kept.process.opened <= 1
        if kept.process.single and kept.chain.held.get(None, 0) <= _FEW:
            return True
        thread = thread_of(handle)
        if thread is None or kept.crowded_threads or not self._keeps(handle, thread, now):
            return False
        return kept.chain.held.get(thread, 0) <= _FEW or (thread.is_worker and took_up_again(handle, now))

    def first(self, handle: Handle, now: float) -> bool:
        """Whether its chain opened no other, in the process or in the live thread that keeps it for itself."""
        kept: Kept | None = handle.kept
        if kept is None:
            return handle.site is None
        if kept.process.opened <= 1:
            return True
        thread = thread_of(handle)
        return thread is not None and kept.threads[thread].opened <= 1 and self._keeps(handle, thread, now)

    def _keeps(self, handle: Handle, thread: Owner, now: float) -> bool:
        """Whether `thread` lives, or lived until the end, and nobody else has used what it opened."""
        if thread.kind == "thread" and handle.used_by not in (0, thread.ident):
            return False
        if thread.ended_at is None or thread.ended_at > now:
            return True
        if thread.is_worker and self.main_over_at is not None and thread.ended_at >= self.main_over_at:
            return True
        if self.ends_at is None or thread.ended_at < self.ends_at - self.every:
            return False
        return thread.is_worker or thread.outlived_main or took_up_again(handle, now)


def thread_of(handle: Handle) -> Owner | None:
    """The thread or greenlet that keeps what was opened in it; None for a task in its loop's thread."""
    owner = handle.owner
    if owner is None:
        return None
    return owner.thread or (owner if owner.kind != "task" else None)


def took_up_again(handle: Handle, now: float) -> bool:
    """Whether a later piece of work used it: after the job that opened it, or by the same statement once more."""
    owner = handle.owner
    if owner is not None and owner.job_over_at is not None and owner.job_over_at <= now:
        return handle.used_at > owner.job_over_at
    texts = [sql for sql, _, _ in handle.statements if sql]
    return len(set(texts)) < len(texts)


def of_a_worker_task(handle: Handle, open_: list[Handle], now: float) -> bool:
    """Whether a task that lives keeps the connection for itself and took it up again, as the worker of a queue does.

    It is the only one of its chain that the task has among the `open_` handles.
    """
    owner = handle.owner
    if owner is None or owner.kind != "task" or owner.part_of is not None or owner.ended_at is not None:
        return False
    if handle.kind == CHECKOUT or handle.used_by not in (owner.key, owner.ident) or not took_up_again(handle, now):
        return False
    return sum(other.kept is handle.kept and other.owner is owner for other in open_) == 1


def is_stock(handle: Handle) -> bool:
    """Whether it belongs to a pool that nobody knows: a library's, or one owner after the other uses what it made."""
    kept = handle.kept
    return kept is not None and (kept.in_turn or kept.chain.by_pool)


def is_let_go(handle: Handle) -> bool:
    """Whether its owner has ended and it only waits for the collector. Asked last, for it looks at the object."""
    owner, reference = handle.owner, handle.ref
    ended = owner is not None and owner.ended_at is not None
    return ended and handle.driver == "sqlite3" and reference is not None and cpython.only_garbage(reference)


def of_a_cell(handle: Handle) -> bool:
    """Whether the top level of a notebook's cell, or of a module, opened it while a task ran that: no owner at all."""
    owner, kept = handle.owner, handle.kept
    return owner is not None and owner.kind == "task" and kept is not None and kept.chain.at_top_level


def listens(handle: Handle) -> bool:
    """Whether it waits for notifications; of a loan, whether it has run LISTEN since it was borrowed."""
    since = (handle.parent or handle).listens_since
    return since is not None and since >= handle.opened_at
