"""Queue: those who wait for one pool, what each holder of its connections does, and the verdict on that.

A value that is computed from one snapshot, without side effects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from whoholds.analysis.inside import KEEPER, LIBRARY, joins, unfinished
from whoholds.analysis.standing import listens, took_up_again
from whoholds.ledger.handle import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from whoholds.analysis.asking import Wait
    from whoholds.analysis.inside import Unfinished
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

PAUSE_S = 1.0  # at most, between two uses of a loan: longer pauses are other work, or nobody has the loan any more
PAUSE_SHARE = 0.2  # the same, as a share of `WHOHOLDS_WAITING`: a short setting has short pauses
LATE_TIMES = 2  # out so many times as long as any loan that its line gave back: it will not come back
LEAKED, TOO_SMALL, DEADLOCK = "leaked", "too small", "deadlock"


@dataclass
class Queue:
    """The requests that wait for one pool, and the holders of its connections by what they do, oldest first."""

    pool: Pool
    requests: list[Wait]
    longest_s: float
    left: list[Handle] = field(default_factory=list)  # unused, and their owners have turned to something else, or ended
    lost: list[Handle] = field(default_factory=list)  # dropped by the program, and their places lost to the pool
    waiting: list[Handle] = field(default_factory=list)  # of owners that wait for a second connection, of any pool
    through: list[Handle] = field(default_factory=list)  # of `waiting`: what their owners started waits for the second
    elsewhere: list[Handle] = field(default_factory=list)  # of `waiting`: the second is one of another pool
    working: list[Handle] = field(default_factory=list)  # unused, while their owners do other work
    busy: list[Handle] = field(default_factory=list)  # in a call, or used a short time ago
    moves: bool = False  # the pool has lent a connection a short time ago

    @property
    def holders(self) -> list[Handle]:
        """All connections that are lent or lost."""
        return [*self.lost, *self.left, *self.waiting, *self.working, *self.busy]

    @property
    def is_exhausted(self) -> bool:
        """True if the pool lends all that it may. Otherwise it opens a connection, and that is what takes so long."""
        return self.pool.max is not None and len(self.holders) >= self.pool.max

    @property
    def verdict(self) -> str:
        """`leaked`, `too small` or `deadlock`; "" if the queue moves on."""
        gone = len(self.left) + len(self.lost)
        if self.moves:
            return LEAKED if gone else ""
        if len(self.waiting) > gone and not self.busy and not self.working:
            return DEADLOCK
        return LEAKED if gone else TOO_SMALL

    @property
    def waits_for_itself(self) -> bool:
        """True if the owners of the connections in `waiting` all wait for this pool."""
        return not self.elsewhere

    @property
    def is_deadlocked(self) -> bool:
        """True if no connection comes back before another comes back for which a holder waits."""
        return self.is_exhausted and self.verdict == DEADLOCK

    @property
    def is_stuck(self) -> bool:
        """True if no holder uses its connection: each is idle, or waits itself."""
        return not self.busy and not self.moves


def pools_waited_for(requests: Iterable[Wait], now: float, least: float) -> set[Pool]:
    """The pools for which somebody has waited longer than `least` seconds."""
    return {request.pool for request in requests if now - request.began > least}


def queues_of(snapshot: Snapshot, short: Mapping[Pool, float]) -> list[Queue]:
    """The queues of these pools. What happened at most `short[pool]` seconds ago happened a short time ago.

    Pools may wait for each other. Each is taken to be deadlocked until one of its holders goes on; then whoever waits
    for that pool will go on too.
    """
    requests: dict[Pool, list[Wait]] = {pool: [] for pool in short}
    for request in snapshot.requests:
        if request.pool in requests:
            requests[request.pool].append(request)
    deadlocked = set(requests)
    while True:
        queues = [_queue_of(snapshot, pool, waits, short[pool], deadlocked) for pool, waits in requests.items()]
        still = {queue.pool for queue in queues if queue.is_deadlocked}
        if still == deadlocked:
            return queues
        deadlocked = still


def _queue_of(snapshot: Snapshot, pool: Pool, waits: list[Wait], short: float, deadlocked: Container[Pool]) -> Queue:
    now = snapshot.now
    queue = Queue(pool, waits, max(now - request.began for request in waits), lost=list(pool.lost))
    loans = [handle for handle in snapshot.open if handle.pool is pool and handle.kind == CHECKOUT]
    queue.moves = any(handle.held_s(now) <= short for handle in loans)
    pause = short if queue.moves else min(PAUSE_SHARE * short, PAUSE_S)
    loans.sort(key=attrgetter("opened_stamp"))
    latest = {(loan.owner, loan.origin): loan for loan in loans}
    for loan in loans:
        repeated = latest[loan.owner, loan.origin] is not loan
        _group_of(loan, queue, snapshot, pause, deadlocked, repeated=repeated).append(loan)
    if queue.moves:  # a loan that the program keeps for good, and uses now and then, is no leak
        queue.busy += [loan for loan in queue.left if snapshot.stands(loan) and took_up_again(loan, now)]
        queue.left = [loan for loan in queue.left if loan not in queue.busy]
    return queue


def _group_of(
    loan: Handle, queue: Queue, snapshot: Snapshot, pause: float, deadlocked: Container[Pool], *, repeated: bool
) -> list[Handle]:
    """The list of `queue` to which the loan belongs. A use that ended at most `pause` seconds ago may go on.

    `repeated`: its owner has borrowed another with the same stack since, and has that, too.
    """
    owner = loan.owner
    if loan.running:
        return queue.busy
    asked = [request for request in snapshot.requests if owner is not None and _is_by(request, owner)]
    again = [request for request in asked if request.pool is queue.pool]
    if again:
        return queue.waiting if _holds_meanwhile(loan, again, repeated=repeated) else queue.left
    elsewhere = [request for request in asked if request.pool in deadlocked]
    if elsewhere and _holds_meanwhile(loan, elsewhere, repeated=repeated):
        queue.elsewhere.append(loan)
        return queue.waiting
    if listens(loan) or (loan.idle_s(snapshot.now) <= pause and not _is_orphan(loan, snapshot)):
        return queue.busy
    return _group_of_idle(loan, queue, snapshot, deadlocked, repeated=repeated)


def _group_of_idle(
    loan: Handle, queue: Queue, snapshot: Snapshot, deadlocked: Container[Pool], *, repeated: bool
) -> list[Handle]:
    """The same for a loan that is not used, and whose owner asks for no other."""
    owner = loan.owner
    if owner is None or not _works(owner, loan, snapshot, repeated=repeated):
        return queue.left
    joined = [each for each in snapshot.requests if each.pool in deadlocked and _is_joined(each, owner, snapshot)]
    if not joined:
        return queue.working
    queue.through.append(loan)
    if all(request.pool is not queue.pool for request in joined):
        queue.elsewhere.append(loan)
    return queue.waiting


def _is_orphan(loan: Handle, snapshot: Snapshot) -> bool:
    """True if the owner has ended, and nobody has used the loan since."""
    owner = loan.owner
    if owner is None or not snapshot.gone(owner) or owner.ended_at is None:
        return False
    return snapshot.now - loan.idle_s(snapshot.now) <= owner.ended_at


def _works(owner: Owner, loan: Handle, snapshot: Snapshot, *, repeated: bool) -> bool:
    """True if `owner` is still in the piece of work for which it borrowed."""
    if snapshot.gone(owner) or snapshot.job_is_over(owner):
        return False
    stack = _stack(owner, snapshot) if loan.origin else ()
    if not stack:  # a task, job or greenlet is a piece of work; a thread may run for good
        return owner.kind != "thread" or not snapshot.sees_threads
    calls = unfinished(loan.origin, stack, whole=owner.kind == "task")
    return _has_still(loan, calls, loan.held_s(snapshot.now), repeated=repeated)


def _has_still(loan: Handle, calls: Unfinished, held_s: float, *, repeated: bool) -> bool:
    """True if the owner of the loan, which borrowed in these `calls` and has had it for `held_s`, is to give it back.

    If the function that borrowed has returned, its caller may have the loan, or nobody. Then it counts whether loans of
    that line do come back, and after how long. If none ever came back, the caller is taken to have the loan, unless it
    is the program's main function.

    If a library called that function and has gone on, the work that it does may have the loan, however long it takes.
    So it may if the library has come back there, but in a job, which is one piece of work. But if the owner has come by
    there once more and borrowed again, nobody has the first loan any more.
    """
    if not calls.known or calls.by == KEEPER:
        return calls.inside or not calls.known
    owner, usual = loan.owner, loan.site.longest_s if loan.site is not None else 0.0
    is_main = owner is not None and _is_main(owner)
    comes_back = usual > 0 and held_s <= LATE_TIMES * usual
    if calls.by != LIBRARY:
        return calls.inside and (comes_back if usual else not is_main)
    goes_on = calls.inside or (owner is not None and owner.kind == "job")
    return comes_back or (goes_on and not is_main and not repeated)


def _is_main(owner: Owner) -> bool:
    """True for the main thread, and for a task that is started outside of a running event loop, as by `asyncio.run`."""
    spawn = owner.spawn
    if spawn is None:
        return owner.kind == "thread"
    in_a_loop = any(code.co_name == "_run_once" for code in spawn.origin[::2])  # type: ignore[union-attr]  # codes
    return owner.kind == "task" and not in_a_loop and (spawn.by is None or spawn.by.kind == "thread")


def _stack(owner: Owner, snapshot: Snapshot) -> Origin:
    """Where the owner is now; () where that cannot be seen, as of the worker thread of a task."""
    return snapshot.stacks.get(owner, ()) if owner.part_of is None else ()


def _is_by(request: Wait, owner: Owner) -> bool:
    return request.owner is not None and request.owner.whole is owner.whole


def _is_joined(request: Wait, owner: Owner, snapshot: Snapshot) -> bool:
    """True if `owner` has started, itself or through others, who asks, and waits for that to end."""
    started, stack = request.owner, _stack(owner, snapshot)
    while stack and started is not None and started.whole.spawn is not None:
        spawn = started.whole.spawn
        if spawn.by is not None and spawn.by.whole is owner:
            return joins(spawn.origin, stack, whole=owner.kind == "task")
        started = spawn.by
    return False


def _holds_meanwhile(loan: Handle, requests: Sequence[Wait], *, repeated: bool) -> bool:
    """True unless the owner has left the loan open in a call that is over, and asks for the next connection."""
    if not loan.origin:
        return True
    for request in requests:
        calls = unfinished(loan.origin, request.origin)
        held_s = request.began - loan.opened_at if calls.by == LIBRARY else 0.0  # a caller may do much meanwhile
        if _has_still(loan, calls, held_s, repeated=repeated):
            return True
    return False
