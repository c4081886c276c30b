"""Detector of owners that wait too long for a pool's connection, with the verdict on the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.asking import asking, kind_of_owners, owners_of
from whoholds.analysis.finding import ERROR, WARNING, Also, Finding, parts_of
from whoholds.analysis.waiting import DEADLOCK, LEAKED, Queue, pools_waited_for, queues_of
from whoholds.detectors._closing import ONE_IS_ENOUGH, how_to_close
from whoholds.detectors.refused import why_lost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.asking import Wait
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle
    from whoholds.settings.limits import Limits

_NO_LARGER = "A larger pool would only run out later."
_HOLD_SHORTER = "Give each connection back before slow work that does not need it; only then consider a larger pool."
_FASTER = "Make the statements faster, let fewer callers run at once, or enlarge the pool if the server allows it."
_SAME_ORDER = "Borrow from the pools in the same order everywhere, or give the first connection back beforehand."


def waiting_too_long(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of pools that lend all they may, and for which owners have waited longer than the limit.

    There is no finding while the queue moves on, unless some of the connections that are lent will not come back.
    """
    if not pools_waited_for(snapshot.requests, snapshot.now, limits.waiting.least):
        return
    short = dict.fromkeys([request.pool for request in snapshot.requests], limits.waiting.default)
    too_long = set()
    for request in snapshot.requests:
        limit = _limit(request, snapshot, limits)
        if snapshot.now - request.began > limit:
            too_long.add(request.pool)
            short[request.pool] = min(short[request.pool], limit)
    for queue in queues_of(snapshot, short):
        if queue.pool in too_long and queue.is_exhausted and queue.verdict:
            yield _waited_for(queue, snapshot)


def _limit(request: Wait, snapshot: Snapshot, limits: Limits) -> float:
    """How many seconds the request may wait."""
    if not limits.waiting.exceptions or not request.origin:
        return limits.waiting.default
    return limits.waiting.at(snapshot.history.sites.of(request.origin).frame)


def _waited_for(queue: Queue, snapshot: Snapshot) -> Finding:
    holders, blamed = queue.holders, _blamed(queue)
    parts = tuple(sorted(parts_of(holders), key=lambda part: blamed.isdisjoint(part.handles)))
    first = parts[0]
    groups = asking(queue.requests, snapshot.now, snapshot.history.sites)
    if queue.verdict == DEADLOCK:  # first the line at which the holders themselves wait
        owners = owners_of(queue.waiting)
        groups = tuple(sorted(groups, key=lambda group: owners.isdisjoint(owners_of(group.requests))))
    return Finding(
        "waiting-too-long",
        ERROR if queue.is_stuck else WARNING,
        first.handles[0].database,
        tuple(handle for part in parts for handle in part.handles),
        len(queue.requests),
        "{verb} %s: %s; %d waiting %s%.1f s",
        (
            _of_the_pool(first.count, len(holders)),
            queue.verdict,
            len(queue.requests),
            "up to " * (len(queue.requests) > 1),
            queue.longest_s,
        ),
        first.site,
        first.spawn,
        parts=parts,
        why=(*_why(queue, snapshot), *why_lost(queue.lost)),
        advice=_advice(queue, snapshot),
        also=Also.at("waiting", groups[0].site, " at "),
        adds_up=False,
        verdict=queue.verdict,
        waiting=groups,
    )


def _blamed(queue: Queue) -> set[Handle]:
    """The holders that the verdict is about: their line is named first, even if others hold more."""
    if queue.verdict == LEAKED:
        return {*queue.left, *queue.lost}
    return set(queue.waiting if queue.verdict == DEADLOCK else queue.working or queue.busy)


def _why(queue: Queue, snapshot: Snapshot) -> tuple[str, ...]:
    """The sentence that gives the verdict, with the numbers that prove it; then what the pool would need."""
    if queue.verdict == LEAKED:
        return (_leaked(queue, snapshot.now),)
    if queue.verdict == DEADLOCK:
        return (_deadlocked(queue),)
    demand, present = snapshot.demand_of(queue.pool)
    return _too_small(queue, snapshot), demand.sentence(present)


def _leaked(queue: Queue, now: float) -> str:
    left, size = queue.left, len(queue.holders)
    if not left:
        return f"Leaked: {_of_the_pool(len(queue.lost), size)} will not come back."
    idle = f"{_of_the_pool(len(left), size)} {_idle(left, now)}"
    if len(left) == 1:
        return f"Leaked: {idle}, and the call that borrowed it has moved on without giving it back."
    return f"Leaked: {idle}, and the calls that borrowed them have moved on without giving them back."


def _deadlocked(queue: Queue) -> str:
    waiting = queue.waiting
    kind = kind_of_owners(waiting)
    held = f"are held by {kind}s that wait" if len(waiting) > 1 else f"is held by a {kind} that waits"
    held += f" until what {'they' if len(waiting) > 1 else 'it'} started gets" if waiting == queue.through else " for"
    pool = "the same pool" if queue.waits_for_itself else "a pool whose holders are waiting too"
    share = _of_the_pool(len(waiting), len(queue.holders))
    return f"Deadlock: {share} {held} another connection of {pool}, so none comes back."


def _too_small(queue: Queue, snapshot: Snapshot) -> str:
    working, size = queue.working, len(queue.holders)
    if not working:
        return f"Too small: {_of_the_pool(size, size)} {'is' if size == 1 else 'are'} in use."
    if owners_of(working) <= owners_of(snapshot.requests):
        work = "its owner waits for another pool" if len(working) == 1 else "their owners wait for another pool"
    else:
        work = "its owner does other work" if len(working) == 1 else "their owners do other work"
    idle = f"{_of_the_pool(len(working), size)} {_idle(working, snapshot.now)}"
    return f"Too small for the way it is used: {idle} while {work}."


def _of_the_pool(some: int, count: int) -> str:
    """How many of the pool's `count` connections, in words."""
    if some < count:
        return f"{some} of the pool's {count} connections"
    return {1: "the pool's only connection", 2: "both connections of the pool"}.get(
        count, f"all {count} connections of the pool"
    )


def _idle(handles: list[Handle], now: float) -> str:
    """`have been idle for at least 6.0 s`."""
    seconds = min(handle.idle_s(now) for handle in handles)
    return f"have been idle for at least {seconds:.1f} s" if len(handles) > 1 else f"has been idle for {seconds:.1f} s"


def _advice(queue: Queue, snapshot: Snapshot) -> tuple[str, ...]:
    if queue.verdict == LEAKED:
        return (*how_to_close(queue.left or queue.lost), _NO_LARGER)
    if queue.verdict == DEADLOCK:
        return (ONE_IS_ENOUGH if queue.waits_for_itself else _SAME_ORDER,)
    demand, present = snapshot.demand_of(queue.pool)
    return (_HOLD_SHORTER if queue.working or demand.is_held_too_long(present) else _FASTER,)
