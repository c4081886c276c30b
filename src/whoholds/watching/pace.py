"""The pace of the looks: those that would burden the process come more rarely."""

from __future__ import annotations

BURDEN = 0.01  # of a core: what looks over very many handles may take
LONG_S = 0.01  # CPU seconds; shorter looks are no burden at one look per second, and whoever wants more gets more
RAREST_S = 10.0


def rest_after(every: float, earlier_s: float, latest_s: float) -> float:
    """Seconds from one look to the next, where the last two looks took so many seconds of CPU time.

    It is `every`, the setting; after two long looks it is so long that they take no more than `BURDEN`, but not longer
    than `RAREST_S`. One long look is not enough: it may have met ten thousand new handles, or imported what a report
    needs.
    """
    usual = min(earlier_s, latest_s)
    return max(every, min(usual / BURDEN, RAREST_S)) if usual > LONG_S else every
