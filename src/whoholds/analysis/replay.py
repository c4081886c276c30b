"""Replays loans against pools of other sizes: how large a pool would have been large enough. Without side effects."""

from __future__ import annotations

import math
from heapq import heapreplace
from typing import TYPE_CHECKING, NamedTuple

from whoholds.analysis.peaks import most_reached

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Loan: TypeAlias = tuple[float, float, float]  # asked at, seconds out, seconds used (-1: not known)

LATE_S = 0.01  # a wait of so many seconds is late …
LATE_SHARE = 0.01  # … and a pool is large enough if at most this share of the loans is late


class Sizes(NamedTuple):
    """How many connections would have been enough for these loans, asked for at the same moments."""

    no_wait: int  # so that nobody waits
    few_waits: int  # so that at most 1 % wait for 10 ms or longer
    only_used: int | None  # the same, if each loan were held only while it is used; None if that is not known


def sizes_of(loans: list[Loan]) -> Sizes | None:
    """The sizes that would have been enough for these loans; None if there is none. Some milliseconds for 1000."""
    if not loans:
        return None
    loans = sorted(loans)
    no_wait = most_at_once(loans)
    few = _enough([(asked, held) for asked, held, _ in loans], no_wait)
    if any(used < 0 for _, _, used in loans):
        return Sizes(no_wait, few, None)
    return Sizes(no_wait, few, _enough([(asked, used) for asked, _, used in loans], few))


def most_at_once(loans: Iterable[Loan]) -> int:
    """How many of these loans overlap at most, if each is lent as soon as it is asked for."""
    loans = list(loans)
    asked, back = sorted([loan[0] for loan in loans]), sorted([loan[0] + loan[1] for loan in loans])
    return most_reached(int(bool(loans)), asked, back)


def late(loans: list[tuple[float, float]], size: int) -> int:
    """How many of these loans, in the order of asking, wait for `LATE_S` or longer in a pool of that size.

    Whoever asks first is lent to first.
    """
    free = [-math.inf] * size  # a heap: when each connection is free again
    waits = 0
    for asked, held in loans:
        begins = max(free[0], asked)
        heapreplace(free, begins + held)
        waits += begins - asked >= LATE_S
    return waits


def _enough(loans: list[tuple[float, float]], most: int) -> int:
    """The smallest pool, of `most` connections at most, in which at most `LATE_SHARE` of the loans are late."""
    allowed = int(LATE_SHARE * len(loans))
    low, high = 1, most
    while low < high:
        size = (low + high) // 2
        if late(loans, size) <= allowed:
            high = size
        else:
            low = size + 1
    return high
