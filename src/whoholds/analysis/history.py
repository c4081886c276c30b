"""What looks before this one saw, reduced and bounded: peaks, rates and climbs.

Brought up to date once a tick by `placing.snapshot_of` and by nobody else. Detectors read it and change nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from whoholds.analysis import demand
from whoholds.analysis.connected import Connections
from whoholds.analysis.counting import Counting, bounds_of
from whoholds.analysis.nesting import Nestings
from whoholds.analysis.retries import Retries
from whoholds.analysis.sites import Site, Sites
from whoholds.analysis.standing import Standing
from whoholds.ledger.handle import CHECKOUT, CLOSED, CONNECTION, Handle

if TYPE_CHECKING:
    from collections.abc import Container

    from whoholds.analysis.demand import Demand
    from whoholds.analysis.habits import Habits
    from whoholds.analysis.nesting import Nesting
    from whoholds.analysis.pauses import Pauses
    from whoholds.ledger.database import Database
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Pool

LOOKS = 60  # of each line's trend and each database's habit that are remembered
SLOTS = 10  # of a second, in which openings are counted
LINES = 20  # of each such slot that are told apart
INFINITE = float("inf")
_database, _opened_at = attrgetter("database"), attrgetter("opened_at")
MANY = 1000  # of anything that is remembered by name


@dataclass
class Peak:
    """The most handles open at once to one database, exact, with who they were."""

    count: int = 0
    at: float = 0.0  # seconds of the ledger's clock
    stamp: int = 0
    handles: tuple[Handle, ...] = ()
    grew: bool = False  # something was opened


@dataclass(slots=True)
class Rate:
    """Connections opened in one tenth of a second and closed again, by opening and spawn line: how many, and one."""

    count: int = 0
    lines: dict[tuple[Site | None, Site | None], tuple[int, Handle]] = field(default_factory=dict)


@dataclass
class Trend:
    """One database over time: what this program is used to."""

    database: Database
    highest: Peak = field(default_factory=Peak)  # since the start
    latest: Peak = field(default_factory=Peak)  # between the last look and this one
    open: int = 0  # at the last look
    looks: int = 0  # since the highest peak
    habit: deque[int] = field(default_factory=lambda: deque(maxlen=LOOKS))  # peaks of earlier looks that saw openings
    rate: dict[int, Rate] = field(default_factory=dict)  # tenth of a second → what was opened in it and closed again


@dataclass
class Climb:
    """How many one line holds, from look to look."""

    count: int = 0
    rises: int = 0  # looks at which it rose since it last fell
    since: float = 0.0


@dataclass
class History:
    """What looks before this one saw, reduced and bounded."""

    sites: Sites = field(default_factory=Sites)
    standing: Standing = field(default_factory=Standing)
    trends: dict[Database, Trend] = field(default_factory=dict)
    climbs: dict[Site, Climb] = field(default_factory=dict)
    pool_climbs: dict[Site, Climb] = field(default_factory=dict)
    nestings: Nestings = field(default_factory=Nestings)
    demands: dict[Pool, Demand] = field(default_factory=dict)
    connected: Connections = field(default_factory=Connections)
    retries: Retries = field(default_factory=Retries)
    habits: Habits | None = None  # if they are learned
    opened: int = 0  # handles since the start
    connections: int = 0  # of them connections
    dropped: int = 0  # events that no look saw
    last_at: float | None = None
    server_limits: dict[str, int] = field(default_factory=dict)  # server → what it allows, where it was asked
    others: dict[str, str] = field(default_factory=dict)  # server → who else holds its connections, where it was asked
    drivers: dict[str, bool] = field(
        default_factory=dict
    )  # library → whether it is watched, or its driver stands aside
    _bounds: object = None  # at the last look, as `bounds_of` gives them
    _held: list[Site | None] = field(default_factory=list)  # the lines of what was held at the last look
    _made: list[Site | None] = field(default_factory=list)  # those of its pools

    def update(self, taken: Entries, new: list[Handle], pauses: Pauses) -> list[Nesting]:
        """What this look brought, its `new` handles placed; gives the nestings that it brought to light."""
        now = taken.now
        self.opened += len(new)
        self.dropped = taken.dropped
        self.standing.take(taken, new, pauses)
        _given_back(taken)
        demand.take(self.demands, taken, new, -INFINITE if self.last_at is None else self.last_at)
        self.connected.take(taken, new, pauses)
        pauses()
        self._count(taken, new, pauses)
        pauses()
        _rates(taken, self)
        self._climb(taken, pauses)
        self.last_at = now
        pauses()
        return self.nestings.take(taken, new, self.sites, pauses)

    def highest(self) -> dict[Database, Peak]:
        """The most that were open at once to each database: connections, those of pools included, or loans if more."""
        peaks = {database: trend.highest for database, trend in self.trends.items()}
        for database, connected in self.connected.to.items():
            if database not in peaks or connected.most > peaks[database].count:
                peaks[database] = Peak(connected.most, connected.at)
        return peaks

    def _count(self, taken: Entries, new: list[Handle], pauses: Pauses) -> None:
        """The peaks of the databases, and the habits of the lines if they are learned."""
        for trend in self.trends.values():
            trend.looks += 1
            if trend.latest.grew:
                trend.habit.append(trend.latest.count)
        bounds, self._bounds = self._bounds, bounds_of(taken, pauses)
        if not new and not taken.ended and bounds == self._bounds and self.habits is None:
            for trend in self.trends.values():
                trend.latest = Peak(trend.open, taken.now) if trend.open else Peak()
            return
        counting = Counting(taken, self.sites, pauses)
        _peaks(taken, new, self, counting, pauses)
        if self.habits is not None:
            self.habits.take(taken, counting.of(taken.open))

    def _climb(self, taken: Entries, pauses: Pauses) -> None:
        """How the numbers of each line change."""
        few = pauses.between(taken.open)
        held = [one.site for handles in few for one in handles if not one.at_home and one.pool is None]
        pools = [pool.site for pool in taken.pools]
        if held != self._held:
            _climb(self.climbs, held, taken.now)
        if pools != self._made:
            _climb(self.pool_climbs, pools, taken.now)
        self._held, self._made = held, pools


def _given_back(taken: Entries) -> None:
    """How long the loans of each line that are given back were out, at most."""
    for handle in taken.ended:
        site = handle.site
        if site is not None and handle.kind == CHECKOUT and handle.how == CLOSED:
            held = handle.closed_at - handle.opened_at - handle.lost_s  # type: ignore[operator]  # as `Handle.held_s`
            if held > site.longest_s:  # noqa: PLR1730 - `max` is a call, and each loan passes here
                site.longest_s = held


def _peaks(taken: Entries, new: list[Handle], history: History, counting: Counting, pauses: Pauses) -> None:
    """The exact peak of each database since the last look, by a sweep over the stamps."""
    counted = counting.of(taken.open)
    now_open = Counter(map(_database, counted))
    stamps: dict[Database, list[int]] = {database: [] for database in now_open}  # those of closings negative
    opened = counting.of(new)
    ended = [handle for handle in counting.of(taken.ended) if handle.closed_stamp is not None]
    for database in {*map(_database, opened), *map(_database, ended)}:
        stamps[database] = []
    for few in pauses.between(opened):
        for handle in few:
            stamps[handle.database].append(handle.opened_stamp)
    for handle in ended:
        stamps[handle.database].append(-handle.closed_stamp)  # type: ignore[operator]  # it has ended
    counted += ended
    for trend in history.trends.values():
        if trend.database not in stamps:
            trend.latest, trend.open = Peak(), 0
    for database, changes in stamps.items():
        if database not in history.trends:
            history.trends[database] = Trend(database)
        changes.sort(key=abs)
        trend = history.trends[database]
        _sweep(trend, now_open[database], changes, counted, new, taken.now, pauses)
    _forget_quiet(history, stamps)


def _forget_quiet(history: History, seen: Container[Database]) -> None:
    """A file for every customer: of those that nobody has open and no storm is about, the busiest are kept."""
    if len(history.trends) > MANY:
        quiet = [trend for trend in history.trends.values() if trend.database not in seen and not trend.rate]
        quiet.sort(key=lambda trend: -trend.highest.count)
        for trend in quiet[LOOKS:]:
            del history.trends[trend.database]


def _sweep(
    trend: Trend,
    now_open: int,
    changes: list[int],
    counted: list[Handle],
    new: list[Handle],
    now: float,
    pauses: Pauses,
) -> None:
    """The peak among `changes`, stamps in order, those of closings negative; `now_open` are open after them."""
    trend.open = now_open
    grew = any(stamp > 0 for stamp in changes)
    if grew and min(changes) > 0:  # nothing was closed: the most are open now
        best, at = now_open, changes[-1]
    else:
        best, at = _most(now_open, changes)
    trend.latest = Peak(best, now, at, grew=grew)
    if best > trend.highest.count:
        fresh = set(new)
        there = [  # what is not new was open at the last look, whatever its stamp
            handle
            for few in pauses.between(counted)
            for handle in few
            if handle.database is trend.database
            and (handle.opened_stamp <= at or handle not in fresh)
            and (handle.closed_stamp is None or handle.closed_stamp > at)
        ]
        reached = max(map(_opened_at, there), default=now) if at else now
        trend.latest = trend.highest = Peak(best, reached, at, tuple(there), grew)
        trend.looks = 0


def _most(now_open: int, changes: list[int]) -> tuple[int, int]:
    """The peak among `changes`, and its stamp: 0 if the most were open at the last look."""
    count = now_open + sum([-1 if stamp > 0 else 1 for stamp in changes])
    best, at = count, 0
    for stamp in changes:
        if stamp > 0:
            count += 1
            if count > best:
                best, at = count, stamp
        else:
            count -= 1
    return best, at


def _rates(taken: Entries, history: History) -> None:
    """How many connections each database opened and closed again in each tenth of a second, over the last minute.

    Of a pool's those that it closed: more than it keeps, opened for one loan.
    """
    for handle in taken.ended:
        if handle.kind == CONNECTION and not handle.database.private and (handle.pool is None or handle.how == CLOSED):
            trend = history.trends.get(handle.database)
            if trend is None:
                trend = history.trends[handle.database] = Trend(handle.database)
            slot = int(handle.opened_at * SLOTS)
            rate = trend.rate.get(slot)
            if rate is None:
                rate = trend.rate[slot] = Rate()
            rate.count += 1
            owner = handle.owner
            spawn = owner.spawn if owner is not None else None
            line = (handle.site, spawn.site if spawn is not None else None)
            count, one = rate.lines.get(line, (0, handle))
            if count or len(rate.lines) < LINES:
                rate.lines[line] = (count + 1, one)
    for trend in history.trends.values():
        for slot in [one for one in trend.rate if one < (taken.now - LOOKS) * SLOTS]:
            del trend.rate[slot]


def _climb(climbs: dict[Site, Climb], sites: list[Site | None], now: float) -> None:
    counts: Counter[Any] = Counter(sites)
    del counts[None]  # which a Counter does not mind if there is none
    for site in [one for one in climbs if one not in counts]:
        del climbs[site]
    for site, count in counts.items():
        climb = climbs.get(site)
        if climb is None:
            climbs[site] = Climb(count, 0, now)
        elif count > climb.count:
            climb.count, climb.rises = count, climb.rises + 1
        elif count < climb.count:
            climbs[site] = Climb(count, 0, now)
