"""Bar: one handle or refused request of a picture. Puts bars into their exact order, and into columns of numbers."""

from __future__ import annotations

from operator import attrgetter
from typing import Final, NamedTuple

from whoholds.ledger.entries import ORPHANED, THREAD_ENDED
from whoholds.ledger.handle import CLOSED, COLLECTED, FREED, OVER

OPEN: Final = "open"
ENDS: Final = (CLOSED, COLLECTED, FREED, OVER, THREAD_ENDED, ORPHANED, OPEN)  # how a handle ended, as in its record
REFUSED: Final = "refused"
LAST_SEEN: Final = "last seen"  # open when its process was last looked at, which has no end in its journal


class Bar(NamedTuple):
    """One handle or refused request. Times are microseconds since the epoch, durations microseconds.

    `kind`, `database`, `driver`, `origin`, `owner`, `how`, `scope` and `spawner` are numbers in the tables, or -1.
    """

    opened: int
    ended: int
    process: int
    kind: int
    database: int
    origin: int
    how: int
    key: int = 0
    end_key: int = 0
    driver: int = -1
    owner: int = -1
    waited: int = 0
    busy: int = -1
    idle: int = -1
    uses: int = -1
    scope: int = -1
    pool: int = -1
    backend: int = 0
    in_transaction: int = 0
    spawner: int = -1


def in_order(bars: list[Bar]) -> list[Bar]:
    """The bars by their openings.

    In each process no two events are at the same time, and their order is that of their stamps: it is exact where
    clocks are not.
    """
    events: dict[int, list[tuple[int, int, int]]] = {}  # by process: (stamp, bar, 0 if it opens or 1 if it ends)
    for index, bar in enumerate(bars):
        if bar.key:
            events.setdefault(bar.process, []).append((bar.key, index, 0))
        if bar.end_key:
            events.setdefault(bar.process, []).append((bar.end_key, index, 1))
    times = [[bar.opened, bar.ended] for bar in bars]
    for of_process in events.values():
        before = 0
        for _, index, which in sorted(of_process):
            before = times[index][which] = max(times[index][which], before + 1)
    moved = [
        bar._replace(opened=opened, ended=max(opened, ended)) for bar, (opened, ended) in zip(bars, times, strict=True)
    ]
    return sorted(moved, key=attrgetter("opened"))


def columns(bars: list[Bar], start: int) -> dict[str, list[int]]:
    """The bars as columns: `opened` as the time since the opening before, `held` in place of `ended`."""
    data = {name: [getattr(bar, name) for bar in bars] for name in Bar._fields if name not in ("ended", "end_key")}
    data["held"] = [bar.ended - bar.opened for bar in bars]
    before = [start, *data["opened"]]
    data["opened"] = [bar.opened - last for bar, last in zip(bars, before, strict=False)]
    return data
