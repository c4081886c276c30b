"""Detector of too many handles that are open at once to one database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.finding import ERROR, WARNING, Finding, parts_of, share
from whoholds.analysis.rules import BITS
from whoholds.detectors import _habits
from whoholds.detectors._bounds import advice, bounded, crowd, maker, unlimited
from whoholds.detectors.idle import HIGH, allowed_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.history import Trend
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.settings.limits import Limits

HABIT_LOOKS = 30  # looks that saw openings, before the usual peak of a program is known
RECENT = 2  # latest of these, which are not usual yet: one may have caught a spike half way; a spike is told so late
HABIT_TIMES = 3  # a spike is at least so many times the usual peak …
HABIT_LEAST = 8  # … and at least so many handles
LEAST = 2  # the smallest number of handles that can be too many
INFINITE = float("inf")
_TOO_MANY = BITS["too-many-at-once"]


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
    free = [handle for handle in unlimited(peak.handles) if not (handle.open and snapshot.stands(handle))]
    return habit + len(free) >= far_above
