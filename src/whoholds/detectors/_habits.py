"""Findings of lines that are far above what is usual for them, if habits are learned (`WHOHOLDS_LEARN`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.finding import WARNING, Finding, parts_of
from whoholds.analysis.rules import BITS
from whoholds.detectors._bounds import advice, unlimited

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle

TIMES_MORE = 3  # a line is far above its habit with so many times its usual number …
LEAST = 8  # … and at least so many connections
TIMES_LONGER = 10  # or if it holds one, unused, for so many times as long as usual …
LEAST_S = 10.0  # … and at least for so many seconds


def crowds(snapshot: Snapshot, said: Container[Database]) -> Iterator[Finding]:
    """Findings of lines that have many more connections open than usual, except to the databases in `said`."""
    habits = snapshot.history.habits
    if habits is None:
        return
    bit = BITS["too-many-at-once"]
    for site, handles in habits.now.items():
        usual = habits.most(site)
        far_more = max(LEAST, TIMES_MORE * usual)
        if not usual or len(handles) < far_more or handles[0].database in said:
            continue
        if all(handle.told & bit for handle in handles) or usual + len(unlimited(handles)) < far_more:
            continue
        parts = parts_of(handles)
        yield Finding(
            "too-many-at-once",
            WARNING,
            handles[0].database,
            tuple(handles),
            len(handles),
            "{verb} {n} at once, usually %d",
            (usual,),
            site,
            parts[0].spawn,
            parts=parts,
            why=(f"This line usually has at most {usual} open at once; now it has far more.",),
            advice=advice(parts),
            adds_up=False,
        )


def longest_usual(snapshot: Snapshot, handle: Handle) -> float:
    """For how many seconds the line of `handle` usually holds a connection; 0 if that is not known."""
    habits = snapshot.history.habits
    return habits.held_s(handle.site) if habits is not None and handle.site is not None else 0.0


def is_unusually_long(snapshot: Snapshot, handle: Handle, idle_s: float) -> bool:
    """True if `handle` has been idle for much longer than its line usually holds a connection."""
    if idle_s < LEAST_S:
        return False
    usual = longest_usual(snapshot, handle)
    return usual > 0 and idle_s > TIMES_LONGER * usual
