"""Which connections count as the program's own: what somebody opened, and what pools have beyond what was meant.

A bounded pool is meant at any size up to its bound, but not the fifth pool that one line makes; an unbounded pool is
meant up to what it keeps by its own settings.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from whoholds.analysis.peaks import most_at_once
from whoholds.ledger.handle import CONNECTION, Handle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.analysis.pauses import Pauses
    from whoholds.analysis.sites import Sites
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Pool

POOLS = 5  # of one line: somebody makes them again and again, and their sizes bound nothing


def bounds_of(taken: Entries, pauses: Pauses) -> object:
    """What the answers depend on, apart from which handles are open: the pool of each, and the bounds of the pools."""
    pools = [(pool, pool.max, pool.idle_min, pool.idle_max) for pool in taken.pools]
    return [handle.pool for few in pauses.between(taken.open) for handle in few], pools


class Counting:
    """The answer for each handle of one look."""

    def __init__(self, taken: Entries, sites: Sites, pauses: Pauses) -> None:
        self._pauses = pauses
        handles = chain.from_iterable(pauses.between(taken.open))
        owned = [one for one in chain(handles, taken.ended) if one.pool is not None and one.kind == CONNECTION]
        self._crowded = _crowded({*taken.pools, *(handle.pool for handle in owned if handle.pool)}, sites)
        self._kept = _kept(owned)

    def of(self, handles: Sequence[Handle]) -> list[Handle]:
        """Those of `handles` that are each one more connection that the program has open."""
        crowded, kept = self._crowded, self._kept
        return [
            handle
            for few in self._pauses.between(handles)
            for handle in few
            if handle.kind == CONNECTION
            and not handle.database.private
            and ((pool := handle.pool) is None or pool in crowded or (pool.max is None and id(handle) not in kept))
        ]


def _crowded(pools: set[Pool], sites: Sites) -> set[Pool]:
    """Those of which one line has made many."""
    if len(pools) < POOLS:
        return set()
    for pool in pools:
        if pool.site is None and pool.origin:
            pool.site = sites.of(pool.origin)
    lines = Counter(pool.site for pool in pools)
    return {pool for pool in pools if pool.site is not None and lines[pool.site] >= POOLS}


def _kept(owned: list[Handle]) -> set[int]:
    """What the unbounded pools have that never had more at once than they keep by their settings, by id."""
    by_pool: dict[Pool, list[Handle]] = {}
    for handle in owned:
        if handle.pool is not None and handle.pool.max is None:
            by_pool.setdefault(handle.pool, []).append(handle)
    kept: set[int] = set()
    for pool, handles in by_pool.items():
        least = max(pool.idle_min or 0, pool.idle_max or 0)
        if least and len(most_at_once(handles)) <= least:
            kept.update(map(id, handles))
    return kept
