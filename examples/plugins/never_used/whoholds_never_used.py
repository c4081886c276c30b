"""A whoholds rule of one's own: `never-used` finds connections that were opened and closed without a single call.

Each of them cost a login at the server for nothing. A detector is a pure function: it reads the snapshot, changes
nothing, and gives the same findings for the same snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.plugins import WARNING, Finding, OwnRule, Rule, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds import Limits
    from whoholds.plugins import Snapshot

LEAST = 3  # of one line in one look: a single one is no pattern


def never_used(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Connections that ended since the last look and were never used, by opening line."""
    del limits
    unused = [handle for handle in snapshot.ended if handle.kind == "connection" and handle.seen and not handle.uses]
    for part in parts_of(unused):
        if part.count >= LEAST:
            yield Finding.of(
                part,
                "never-used",
                WARNING,
                "opened and closed {n} without using them",
                advice=("Connect where the first statement is run, not before it is known to be needed.",),
            )


RULE = OwnRule(Rule("never-used"), never_used)
