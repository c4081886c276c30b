"""What is usual for each opening line: how many connections it has open at once, and for how long it holds one.

Brought up to date once a tick, if `WHOHOLDS_LEARN` asks for it. The habits of earlier runs are given at the start.
Memory is bounded: four numbers for each of `MANY` lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from whoholds.analysis.frames import shown_path
from whoholds.ledger.handle import CLOSED, Handle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from whoholds.analysis.sites import Site
    from whoholds.ledger.entries import Entries

MANY = 1000  # lines that are remembered
LOOKS = 30  # looks that saw a line hold something, before its number is known
RECENT = 2  # latest of these, which do not count: one may have caught a rise half way
HOLDS = 20  # times that a line has given back, before its longest is known


class Habit(NamedTuple):
    """What one line was used to, over a whole run."""

    most: int = 0  # open at once, as the looks saw it
    held_s: float = 0.0  # the longest that one was held and then given back
    holds: int = 0  # how many were given back

    def with_(self, other: Habit) -> Habit:
        """The habit of both runs."""
        return Habit(max(self.most, other.most), max(self.held_s, other.held_s), self.holds + other.holds)


@dataclass
class _Line:
    most: int = 0  # at looks before the recent ones
    recent: list[int] = field(default_factory=list)
    looks: int = 0
    held_s: float = 0.0
    holds: int = 0


class Habits:
    """The habits of this run, by line, and those of earlier runs, by the place that `place_of` gives."""

    def __init__(self, known: Mapping[str, Habit] | None = None) -> None:
        self.known = dict(known or {})
        self.now: dict[Site, list[Handle]] = {}  # what each line has open at this look
        self._lines: dict[Site, _Line] = {}

    def take(self, taken: Entries, counted: Iterable[Handle]) -> None:
        """What a look brought; `counted` are the open handles that count as the program's own."""
        self.now = {}
        for handle in counted:
            if handle.site is not None:
                self.now.setdefault(handle.site, []).append(handle)
        for site, handles in self.now.items():
            line = self._line(site)
            if line is not None:
                line.looks += 1
                line.recent.append(len(handles))
                if len(line.recent) > RECENT:
                    line.most = max(line.most, line.recent.pop(0))
        for handle in taken.ended:
            if handle.how == CLOSED and handle.must_be_returned and handle.site is not None:
                line = self._line(handle.site)
                if line is not None:
                    line.holds += 1
                    line.held_s = max(line.held_s, handle.held_s(taken.now))

    def _line(self, site: Site) -> _Line | None:
        line = self._lines.get(site)
        if line is None and len(self._lines) < MANY:
            line = self._lines[site] = _Line()
        return line

    def most(self, site: Site) -> int:
        """How many connections of this line are usually open at once, at most; 0 while that is not known."""
        line, before = self._lines.get(site) or _Line(), self._before(site)
        learned = line.most if line.looks >= LOOKS + RECENT else 0
        return max(learned, line.most if before.most else 0, before.most)

    def held_s(self, site: Site) -> float:
        """For how many seconds this line usually holds a connection, at most; 0 while that is not known."""
        line, before = self._lines.get(site) or _Line(), self._before(site)
        return max(line.held_s, before.held_s) if line.holds + before.holds >= HOLDS else 0.0

    def _before(self, site: Site) -> Habit:
        return self.known.get(place_of(site.frame.file, site.frame.function), Habit()) if self.known else Habit()


def place_of(file: str, function: str) -> str:
    """`shop/cars.py in load_cars`: the same in each run, if lines move too. Two lines of a function are one place."""
    return f"{shown_path(file)} in {function}".replace("\\", "/")
