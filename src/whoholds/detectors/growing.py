"""Detector of steady growth: lines whose open handles, or whose pools, become more and never fewer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from whoholds.analysis.finding import WARNING, Finding, parts_of
from whoholds.analysis.rules import BITS
from whoholds.detectors._bounds import ONE_POOL
from whoholds.ledger.database import database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.history import Climb
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle
    from whoholds.settings.limits import Limits

RISES = 5  # looks at which the handles of a line rose, without a fall, before the line counts as growing
LEAST_S = 2.0  # for which they rose: where looks come more often than each second, a burst of requests rises at many
POOLS_RISES = 2  # the same for pools: two rises suffice, because few programs make pools often
GROWN = 5  # handles (or pools) that a growing line has at least
_GROWING = BITS["growing"]


def growing(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of lines whose open handles, or whose pools, rise over several looks and never fall."""
    for site, climb in snapshot.history.climbs.items():
        if climb.rises < RISES or climb.count < GROWN or snapshot.now - climb.since < LEAST_S:
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
