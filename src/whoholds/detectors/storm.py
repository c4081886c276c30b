"""Detector of connect storms: connections that are opened and closed again all the time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from whoholds.analysis.finding import INFO, WARNING, Finding, Part, holders_of
from whoholds.analysis.history import SLOTS
from whoholds.analysis.rules import BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.analysis.history import Rate, Trend
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle
    from whoholds.settings.limits import Limits

_NO_POOL = "Connect once and reuse the connection, or take it from a pool."
_OVERFLOW = "The pool keeps fewer connections than the program uses at once, and closes the others: let it keep more."
_STORM = BITS["connect-storm"]


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
        Part(
            tuple(handles),
            site,
            handles[0].owner.spawn if handles[0].owner else None,
            unkept=count - len(handles),
            more_owners=count > len(handles) and len(holders_of(handles)) > 1,
        )
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
