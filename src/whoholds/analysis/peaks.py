"""Computes exactly how many handles were open at once, from the stamps of their openings and closings.

It never samples.
"""

from __future__ import annotations

from operator import attrgetter, lt
from typing import TYPE_CHECKING

from whoholds.ledger.handle import CHECKOUT, CONNECTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from whoholds.ledger.handle import Handle


def loans_of(handles: Iterable[Handle]) -> list[Handle]:
    """The handles that somebody must give back: neither cursors nor a pool's stock, for which its loans count."""
    return [  # `Handle.must_be_returned`, written out: once for each handle of each look
        handle for handle in handles if handle.kind == CHECKOUT or (handle.kind == CONNECTION and handle.pool is None)
    ]


def reaches(many: int, begun: Sequence[float], ended: Sequence[float]) -> bool:
    """True if at least `many` are open at once at some moment. It runs in C, because a look may bring many thousands.

    Both lists are in rising order. They hold stamps, or times; of equal times, an end counts before a beginning. If
    some were open before, ask for that many fewer; their ends belong in `ended`.
    """
    return many <= 0 or len(begun) - len(ended) >= many or any(map(lt, begun[many - 1 :], ended))


def most_reached(least: int, begun: Sequence[float], ended: Sequence[float]) -> int:
    """The most that are open at once, or `least` if that is more. The arguments are those of `reaches`."""
    if not reaches(least + 1, begun, ended):  # the usual case: nearly all looks see what the program is used to
        return least
    low, high = least + 1, max(least + 1, len(begun))
    while low < high:
        middle = (low + high + 1) // 2
        if reaches(middle, begun, ended):
            low = middle
        else:
            high = middle - 1
    return low


def most_at_once(handles: Iterable[Handle]) -> tuple[Handle, ...]:
    """The handles that were open at the peak, oldest first; of several equal peaks, the earliest counts."""
    all_ = sorted(handles, key=attrgetter("opened_stamp"))
    closings = [(one.closed_stamp, -1) for one in all_ if one.closed_stamp is not None]
    if not closings:
        return tuple(all_)
    changes = [(one.opened_stamp, 1) for one in all_] + closings
    count = best = at = 0
    for stamp, change in sorted(changes):
        count += change
        if count > best:
            best, at = count, stamp
    return tuple(one for one in all_ if one.opened_stamp <= at and (one.closed_stamp is None or one.closed_stamp > at))
