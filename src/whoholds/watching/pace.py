"""The pace of the looks: those that would burden the process come more rarely."""

from __future__ import annotations

BURDEN = 0.01  # of a core: what looks over very many handles may take
LONG_S = 0.01  # CPU seconds; shorter looks are no burden at one look per second, and whoever wants more gets more
RAREST_S = 10.0
JUDGED = 4  # looks; some of them may have met ten thousand new handles, or imported what a report needs


def rest_after(every: float, *latest_s: float) -> float:
    """Seconds from one look to the next, where the last looks took so many seconds of CPU time; `Watch` gives `JUDGED`.

    It is `every`, the setting; if all of them were long, it is so long that looks take no more than `BURDEN`, but not
    longer than `RAREST_S`.
    """
    usual = min(latest_s)
    return max(every, min(usual / BURDEN, RAREST_S)) if usual > LONG_S else every
