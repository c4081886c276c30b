"""How many handles were open at once, exactly: from the stamps of their openings and closings, never sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.ledger.handle import Handle


def loans_of(handles: Iterable[Handle]) -> list[Handle]:
    """Those that somebody has to give back: not a pool's own stock, which its loans stand for, and not cursors."""
    return [handle for handle in handles if handle.must_be_returned]


def most_at_once(handles: Iterable[Handle]) -> tuple[Handle, ...]:
    """The handles that were open at the first of the instants at which most were, oldest first."""
    all_ = sorted(handles, key=lambda one: one.opened_stamp)
    changes = [(one.opened_stamp, 1) for one in all_]
    changes += [(one.closed_stamp, -1) for one in all_ if one.closed_stamp is not None]
    count = best = at = 0
    for stamp, change in sorted(changes):
        count += change
        if count > best:
            best, at = count, stamp
    return tuple(one for one in all_ if one.opened_stamp <= at and (one.closed_stamp is None or one.closed_stamp > at))
