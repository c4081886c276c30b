"""Detectors of numbers: too many handles at once, connect storms, and steady growth."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from whoholds.analysis.finding import ERROR, INFO, WARNING, Finding, Part, parts_of, share
from whoholds.analysis.history import SLOTS
from whoholds.analysis.rules import BITS
from whoholds.analysis.standing import thread_of
from whoholds.analysis.work import is_a_request
from whoholds.detectors import _habits
from whoholds.detectors._bounds import ONE_POOL, advice, bounded, crowd, maker
from whoholds.detectors.idle import HIGH, allowed_by
from whoholds.ledger.database import database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.analysis.history import Climb, Rate, Trend
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle
    from whoholds.settings.limits import Limits

HABIT_LOOKS = 30  # looks that saw openings, before the usual peak of a program is known
RECENT = 2  # latest of these, which are not usual yet: one may have caught a spike half way; a spike is told so late
HABIT_TIMES = 3  # a spike is at least so many times the usual peak …
HABIT_LEAST = 8  # … and at least so many handles
RISES = 5  # looks at which the handles of a line rose, without a fall, before the line counts as growing
POOLS_RISES = 2  # the same for pools: two rises suffice, because few programs make pools often
GROWN = 5  # handles (or pools) that a growing line has at least
LEAST = 2  # the smallest number of handles that can be too many
INFINITE = float("inf")
_NO_POOL = "Connect once and reuse the connection, or take it from a pool."
_OVERFLOW = "The pool keeps fewer connections than the program uses at once, and closes the others: let it keep more."
_STORM, _GROWING, _TOO_MANY = BITS["connect-storm"], BITS["growing"], BITS["too-many-at-once"]


def too_many_at_once(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of databases to which too many handles were open at once.

    Too many is: the limit of the settings, `HIGH` of what the server allows, far above this program's usual peak, or,
    if habits are learned, far above what a line is used to.
    """
    crowded: set[Database] = set()
    for trend in snapshot.history.trends.values():
        peak = trend.highest
        if not peak.handles or trend.looks > RECENT:
            continue
        habit = max(list(trend.habit)[:-RECENT], default=0)
        is_spike = _is_spike(habit, trend, snapshot)
        if trend.looks and not is_spike:
            continue
        parts = parts_of(peak.handles, maker)
        largest = parts[0]
        allowed = allowed_by(snapshot, limits, trend.database.server)
        high = max(HIGH * allowed, LEAST) if allowed else INFINITE
        limit = min(limits.too_many.at(largest.site.frame if largest.site else None), high)
        if peak.count < limit and not is_spike:
            continue
        crowded.add(trend.database)
        pools = crowd(largest)
        yield Finding(
            "too-many-at-once",
            ERROR if peak.count >= high else WARNING,
            trend.database,
            peak.handles,
            peak.count,
            f"{'made %d pools with' if pools else '{verb}'} %s{{n}}{' open' if pools else ''} at once",
            (*((pools,) if pools else ()), share(largest.count, peak.count)),
            largest.site,
            largest.spawn,
            parts=parts,
            why=(
                *((f"The server allows {allowed}.",) if allowed else ()),
                *((f"This program usually has {habit} open at once.",) if peak.count < limit else ()),
                *bounded(largest),
            ),
            advice=advice(parts),
            adds_up=False,
        )
    yield from _habits.crowds(snapshot, crowded)


def _is_spike(habit: int, trend: Trend, snapshot: Snapshot) -> bool:
    """True if the highest peak is far above `habit`, the usual one, by handles whose number nothing limits.

    False while too few looks saw openings, and once the peak has been told. Handles that their threads seem to keep
    for themselves count from the next look on, if they are closed by then.
    """
    peak = trend.highest
    far_above = max(HABIT_LEAST, HABIT_TIMES * habit)
    if len(trend.habit) < HABIT_LOOKS or peak.count < far_above:
        return False
    if all(handle.told & _TOO_MANY for handle in peak.handles):
        return False
    return habit + _unlimited(peak.handles, snapshot) >= far_above


def _unlimited(handles: Iterable[Handle], snapshot: Snapshot) -> int:
    """How many of the handles nothing limits.

    The load limits those of requests, an executor limits those of which each worker has one, and the number of threads
    limits standing handles.
    """
    handles = list(handles)
    threads = Counter(map(thread_of, handles))
    unlimited = 0
    for handle in handles:
        thread = thread_of(handle)
        by_worker = thread is not None and thread.is_worker and threads[thread] == 1
        stands = handle.closed_stamp is None and snapshot.stands(handle)
        unlimited += not (by_worker or stands or is_a_request(handle.owner))
    return unlimited


def connect_storm(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of databases to which connections are opened faster than the limit, `limits.storm_for` s on end."""
    seconds = max(math.ceil(limits.storm_for), 1)
    for trend in snapshot.history.trends.values():
        run, lasted = _stormy(trend, limits.storm, seconds, snapshot.now)
        parts = _storms_parts(run)
        some = tuple(handle for part in parts for handle in part.handles)
        if not run or all(handle.told & _STORM for handle in some):
            continue
        count = _opened(run)
        yield Finding(
            "connect-storm",
            INFO if trend.database.system == "sqlite" else WARNING,
            trend.database,
            some,
            count,
            "opened and closed {n} in %d s (%.0f a second)",
            (lasted, count / lasted),
            parts[0].site,
            parts[0].spawn,
            parts=parts,
            advice=(_OVERFLOW if parts[0].handles[0].pool else _NO_POOL,),
            adds_up=False,
        )


def _storms_parts(run: list[Rate]) -> tuple[Part, ...]:
    """The openings grouped by opening line and spawn line, largest group first.

    A part has one handle for each slot (a tenth of a second); the rest is in its count only.
    """
    groups: dict[tuple[Site | None, Site | None], tuple[int, list[Handle]]] = {}
    for rate in run:
        for line, (count, one) in rate.lines.items():
            before, handles = groups.get(line, (0, []))
            groups[line] = (before + count, [*handles, one])
    parts = [
        Part(tuple(handles), site, handles[0].owner.spawn if handles[0].owner else None, count - len(handles))
        for (site, _), (count, handles) in groups.items()
    ]
    return tuple(sorted(parts, key=lambda part: -part.count))


def _stormy(trend: Trend, storm: float, least: int, now: float) -> tuple[list[Rate], int]:
    """The slots of the newest run of seconds that each reached `storm` openings, and the length of that run in seconds.

    A run may begin at any slot. `[], 0` if no run has at least `least` seconds. The present slot does not count yet.
    """
    if _opened(trend.rate.values()) < storm * least:
        return [], 0
    for last in sorted((slot for slot in trend.rate if slot + SLOTS <= now * SLOTS), reverse=True):
        run: list[Rate] = []
        seconds, begin = 0, last
        while _opened(second := _second(trend, begin)) >= storm:
            run[:0] = second
            seconds += 1
            begin -= SLOTS
        if seconds >= least:
            return run, seconds
    return [], 0


def _opened(rates: Iterable[Rate]) -> int:
    return sum(rate.count for rate in rates)


def _second(trend: Trend, begin: int) -> list[Rate]:
    return [trend.rate[slot] for slot in range(begin, begin + SLOTS) if slot in trend.rate]


def growing(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of lines whose open handles, or whose pools, rise over several looks and never fall."""
    for site, climb in snapshot.history.climbs.items():
        if climb.rises < RISES or climb.count < GROWN:
            continue
        mine = [handle for handle in snapshot.open if handle.site is site]
        new = snapshot.unreturned("growing", mine)
        if not new or not _mostly_unused(mine, climb, snapshot.now):
            continue
        part = parts_of(new)[0]
        yield Finding(
            "growing",
            WARNING,
            part.handles[0].database,
            tuple(new),
            climb.count,
            "holds {n}, rising for %.0f s",
            (snapshot.now - climb.since,),
            site,
            part.spawn,
            advice=("Something keeps them, such as a list, a cache, or a dict by key. Limit its size, or close them.",),
            adds_up=False,
        )
    yield from _pools_growing(snapshot, limits)


def _mostly_unused(handles: list[Handle], climb: Climb, now: float) -> bool:
    """True if about half of the handles, or more, have been unused for half of the climb's time.

    That distinguishes a leak, which leaves the old handles behind, from a pool of workers that grows to its size and
    uses what it has.
    """
    span = (now - climb.since) / 2
    return sum(handle.idle_s(now) >= span for handle in handles) * 2 >= len(handles) - 1


def _pools_growing(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of lines that make more and more pools.

    A line is left out if its pools hold so many connections to one database that `too-many-at-once` reports them.
    """
    for site, climb in snapshot.history.pool_climbs.items():
        pools = [pool for pool in snapshot.pools if pool.site is site]
        if climb.count < GROWN or climb.rises < POOLS_RISES:
            continue
        stock = tuple(handle for handle in snapshot.open if handle.pool in pools)
        most = max(Counter(handle.database for handle in stock).values(), default=0)
        if most >= limits.too_many.at(site.frame) or (stock and all(handle.told & _GROWING for handle in stock)):
            continue
        yield Finding(
            "growing",
            WARNING,
            stock[0].database if stock else database(pools[0].system or "other_sql"),
            stock,
            climb.count,
            "made %d pools and closed none of them",
            (climb.count,),
            site,
            None,
            why=(f"They hold {len(stock)} connections." if stock else "They hold no connection now.",),
            advice=(ONE_POOL,),
            adds_up=False,
        )
