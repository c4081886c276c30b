"""Detectors of numbers: too many handles at once, connect storms, steady growth, and refused requests."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from whoholds.analysis.asking import owners_of
from whoholds.analysis.demand import Present
from whoholds.analysis.finding import ERROR, INFO, WARNING, Also, Finding, Part, parts_of, share
from whoholds.analysis.history import SLOTS
from whoholds.analysis.rules import BITS
from whoholds.detectors import _habits
from whoholds.detectors._bounds import ONE_POOL, advice, bounded, crowd, maker
from whoholds.detectors._closing import how_to_close
from whoholds.detectors._server import how_to_ask, how_to_ask_pgbouncer, is_pgbouncers
from whoholds.detectors.idle import HIGH, allowed_by
from whoholds.ledger.database import database
from whoholds.ledger.handle import CHECKOUT, CONNECTION, Handle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from whoholds.analysis.history import Climb, Rate, Trend
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.entries import Refusal
    from whoholds.settings.limits import Limits

HABIT_LOOKS = 5  # looks before the usual peak of a program is known
RECENT = 2  # latest looks that do not count as usual: a look may have caught a spike half way
HABIT_TIMES = 3  # a spike is at least so many times the usual peak …
HABIT_LEAST = 8  # … and at least so many handles
RISES = 5  # looks at which the handles of a line rose, without a fall, before the line counts as growing
POOLS_RISES = 2  # the same for pools: two rises suffice, because few programs make pools often
GROWN = 5  # handles (or pools) that a growing line has at least
LEAST = 2  # the smallest number of handles that can be too many
INFINITE = float("inf")
FEW = 0.5  # share of the server's limit below which this process holds few connections, and others hold the rest
_WHO_HOLDS = {
    "postgresql": "SELECT pid, usename, application_name, client_addr, state, now() - state_change AS since, query\n"
    "FROM pg_stat_activity ORDER BY state_change",
    "mysql": "SHOW FULL PROCESSLIST",
}
_NO_POOL = "Connect once and reuse the connection, or take it from a pool."
_OVERFLOW = "The pool keeps fewer connections than the program uses at once, and closes the others: let it keep more."
_STORM, _GROWING = BITS["connect-storm"], BITS["growing"]


def too_many_at_once(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of databases to which too many handles were open at once.

    Too many is: the limit of the settings, `HIGH` of what the server allows, far above this program's usual peak, or,
    if habits are learned, far above what a line is used to.
    """
    crowded: set[Database] = set()
    for trend in snapshot.history.trends.values():
        peak = trend.latest
        if not peak.handles:
            continue
        parts = parts_of(peak.handles, maker)
        largest = parts[0]
        allowed = allowed_by(snapshot, limits, trend.database.server)
        high = max(HIGH * allowed, LEAST) if allowed else INFINITE
        limit = min(limits.too_many.at(largest.site.frame if largest.site else None), high)
        habit = max(list(trend.habit)[:-RECENT], default=0)
        if peak.count < limit and not _far_above(habit, trend):
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


def _far_above(habit: int, trend: Trend) -> bool:
    """True if the latest peak is far above `habit`, the usual peak. False while there were too few looks."""
    count = trend.latest.count
    return len(trend.habit) >= HABIT_LOOKS and count >= HABIT_LEAST and count >= HABIT_TIMES * habit


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


def refused(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of requests that a server or a pool refused.

    Each shows which handles were held at that instant, grouped, the largest group first.
    """
    for refusal in snapshot.refusals:
        lost = tuple(refusal.by_pool.lost) if refusal.by_pool is not None else ()
        held = tuple(dict.fromkeys((*lost, *_of_the_same(refusal, snapshot))))
        parts = parts_of(held)
        allowed = allowed_by(snapshot, limits, refusal.database.server)
        site = parts[0].site if parts else _asked_at(refusal, snapshot)
        yield Finding(
            "refused",
            ERROR,
            refusal.database,
            held,
            len(held),
            _refused_phrase(refusal, parts, lost),
            (share(parts[0].count, len(held)),) if parts else (),
            site,
            parts[0].spawn if parts else refusal.owner.spawn if refusal.owner else None,
            parts=parts,
            why=(
                *_why_refused(refusal, held, allowed, snapshot.history.others),
                *(why_lost(lost) or _how_big(refusal, held, snapshot)),
            ),
            advice=how_to_close(lost) if lost else advice(parts) if parts else (),
            also=Also.at("refused", _asked_at(refusal, snapshot), " at "),
            error=refusal.error,
            adds_up=False,
            times=refusal.count,
            opener=refusal.opener,
        )


def _asked_at(refusal: Refusal, snapshot: Snapshot) -> Site | None:
    return snapshot.history.sites.of(refusal.origin) if refusal.origin else None


def _of_the_same(refusal: Refusal, snapshot: Snapshot) -> tuple[Handle, ...]:
    """The handles of that pool or server that were held at the instant of the refusal.

    A connection that was just being made then is included: the server had already given it a slot.
    """
    pool = refusal.by_pool
    if pool is not None:
        return tuple(handle for handle in refusal.open if handle.pool is pool and handle.kind == CHECKOUT)
    server = refusal.database.server
    there = dict.fromkeys(refusal.open)
    for handle in (*snapshot.open, *snapshot.ended):
        began = handle.opened_at - (handle.connect_s or 0.0)
        if began <= refusal.at <= handle.opened_at:
            there[handle] = None
    return tuple(handle for handle in there if handle.kind == CONNECTION and handle.database.server == server)


def _refused_phrase(refusal: Refusal, parts: Sequence[Part], lost: Sequence[Handle]) -> str:
    if not parts:
        return f"was refused a connection: {'the pool ran out' if refusal.by_pool else 'the server allows no more'}"
    by = "the pool ran out" if refusal.by_pool is not None else "the server refused more"
    return f"had {{verb}} %s{{n}}{', held or lost,' if lost else ''} when {by}"


def why_lost(lost: Sequence[Handle]) -> tuple[str, ...]:
    """A sentence for each line that borrowed handles which the pool never got back."""
    return tuple(_lost_at(part.site, part.count) for part in parts_of(lost) if part.site is not None)


def _lost_at(site: Site, count: int) -> str:
    were, them, places = ("was", "it", "its place") if count == 1 else ("were", "them", "their places")
    return (
        f"{count} {were} borrowed at {site.frame.place} and never given back: the program dropped {them}, and the pool "
        f"has lost {places}."
    )


def _how_big(refusal: Refusal, held: tuple[Handle, ...], snapshot: Snapshot) -> tuple[str, ...]:
    """A sentence on how many were wanted of the pool.

    Empty if a server refused, or if a holder itself asked a pool, this one or another: it cannot give back sooner.
    """
    pool = refusal.by_pool
    given_up = [request for other in snapshot.refusals for request in other.requests]
    if pool is None or not owners_of(held).isdisjoint(owners_of(given_up) | owners_of(snapshot.requests)):
        return ()
    demand, _ = snapshot.demand_of(pool)
    present = Present.of(pool, held, (), refusal.at)
    return (demand.sentence(present._replace(waiting=[request.began for request in refusal.requests])),)


def holds_few(held: int, allowed: int) -> bool:
    """True if a process with `held` connections holds so few of those `allowed` (0: not known) that others matter."""
    return not allowed or held < FEW * allowed


def _why_refused(
    refusal: Refusal, held: tuple[Handle, ...], allowed: int, others: Mapping[str, str]
) -> tuple[str, ...]:
    why = []
    pool = refusal.by_pool
    if pool is not None:
        why.append(f"The pool lends at most {pool.max}." if pool.max else "The pool has no limit of its own.")
    elif is_pgbouncers(refusal.error):
        why.append(how_to_ask_pgbouncer(refusal.database))
    elif holds_few(len(held), allowed):
        few = f"This process holds {len(held)}"
        few += (
            f" of the {allowed} that the server allows; others hold the rest."
            if allowed
            else "; if the server allows more than that, others hold the rest."
        )
        asked = others.get(refusal.database.server)
        why += [few, asked] if asked else []
        listed = asked is not None and "\n" in asked  # below its first line are the largest groups of others
        ask = how_to_ask(refusal.database, "what they do" if listed else "who they are", _WHO_HOLDS)
        why.append(ask if asked else f"{few} {ask}")
    return tuple(why)
