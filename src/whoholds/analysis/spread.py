"""Spread: how long something took, many times, in a histogram of bounded size."""

from __future__ import annotations

from collections import Counter
from math import ceil, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 1.1  # of a bucket: its upper edge over its lower edge
SHORTEST_S = 1e-6  # the upper edge of the first bucket
_PER_BUCKET = 1 / log(WIDTH)
_FIRST = log(SHORTEST_S) * _PER_BUCKET


class Spread:
    """How long something took, many times: a histogram whose buckets each reach 10 % further than the one before.

    A share of the times is known to be at most 10 % shorter than `at` says; the longest is exact.
    """

    __slots__ = ("buckets", "count", "longest")

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.count = 0
        self.longest = 0.0

    def add(self, seconds: Iterable[float]) -> None:
        """Count these."""
        seconds = list(seconds)
        buckets = [ceil(log(second) * _PER_BUCKET - _FIRST) if second > SHORTEST_S else 0 for second in seconds]
        self.buckets.update(buckets)
        self.count += len(seconds)
        self.longest = max(self.longest, max(seconds, default=0.0))

    def at(self, share: float) -> float:
        """The seconds within which so large a share of them lies: the upper edge of a bucket, `longest` at most."""
        reached, wanted = 0, ceil(share * self.count)
        for bucket, count in sorted(self.buckets.items()):
            reached += count
            if reached >= wanted:
                return min(SHORTEST_S * WIDTH**bucket, self.longest)
        return 0.0
