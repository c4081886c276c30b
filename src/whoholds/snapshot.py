"""Snapshot: the ledger at one instant with what earlier looks remember; what detectors are given.

History is written here, once a tick, and by nobody else. Detectors read and change nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whoholds.handle import CHECKOUT, CLOSED, CONNECTION, Database, Handle, Owner, Pool
from whoholds.lines import Site, Sites, kind_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from whoholds.handle import Spawn
    from whoholds.ledger import Refusal, Taken
    from whoholds.origin import Origin
    from whoholds.scopes import Scope

LOOKS = 60  # of each line's trend and each database's habit that are remembered
SLOTS = 10  # of a second, in which openings are counted
_NEVER = float("inf")
FEW = 3  # handles of one owner held at once that stand for all in looking for nestings
MANY = 1000  # of anything that is remembered by name
SUSPENDED_S = 10.0  # a tick that comes later than this: the machine slept


@dataclass
class Peak:
    """The most handles open at once to one database, exact, with who they were."""

    count: int = 0
    at: float = 0.0  # seconds of the ledger's clock
    stamp: int = 0
    handles: tuple[Handle, ...] = ()


@dataclass(slots=True)
class Rate:
    """Connections opened in one tenth of a second and closed again."""

    count: int
    one: Handle


@dataclass
class Trend:
    """One database over time: what this program is used to."""

    database: Database
    highest: Peak = field(default_factory=Peak)  # since the start
    latest: Peak = field(default_factory=Peak)  # between the last look and this one
    habit: deque[int] = field(default_factory=lambda: deque(maxlen=LOOKS))  # earlier looks' peaks
    rate: dict[int, Rate] = field(default_factory=dict)  # tenth of a second → what was opened in it and closed again


@dataclass
class Climb:
    """How many one line holds, from look to look."""

    count: int = 0
    rises: int = 0  # looks at which it rose since it last fell
    since: float = 0.0
    last_rise: float = 0.0


@dataclass
class History:
    """What looks before this one saw, reduced and bounded."""

    sites: Sites = field(default_factory=Sites)
    trends: dict[Database, Trend] = field(default_factory=dict)
    climbs: dict[Site, Climb] = field(default_factory=dict)
    pool_climbs: dict[Site, Climb] = field(default_factory=dict)
    nested: dict[tuple[Site, Site], set[int]] = field(default_factory=dict)  # pair of lines → owners that nested
    opened: int = 0  # handles since the start
    connections: int = 0  # of them connections
    dropped: int = 0  # events that no look saw
    last_at: float | None = None
    server_limits: dict[str, int] = field(default_factory=dict)  # server → what it allows, where it was asked
    drivers: dict[str, bool] = field(
        default_factory=dict
    )  # library → whether it is watched, or its driver stands aside


@dataclass(frozen=True)
class Ending:
    """Why this look is a last one: the end of the process, of a watch, or of a scope with that name."""

    kind: str  # "process", "watch", "scope" or "test"
    name: str = ""
    scope: Scope | None = None
    settled: bool = False  # garbage was collected since the look before

    def covers(self, handle: Handle) -> bool:
        """Whether the scope that ends is the one `handle` was opened in, or one around that."""
        opened: Scope | None = handle.scope
        return opened is not None and (opened is self.scope or self.scope in opened.around)


@dataclass(frozen=True)
class Snapshot:
    """One instant. Times are seconds of the ledger's clock; `wall` is time.time() at `now`."""

    now: float
    wall: float
    open: list[Handle] = field(default_factory=list)
    ended: list[Handle] = field(default_factory=list)  # since the last look
    new: list[Handle] = field(default_factory=list)  # first seen at this look, open or ended
    refusals: list[Refusal] = field(default_factory=list)
    shared: list[Handle] = field(default_factory=list)
    inherited: list[tuple[Handle, Owner | None, Origin]] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    history: History = field(default_factory=History)
    ending: Ending | None = None
    scopes: tuple[tuple[Scope, int], ...] = ()  # requests and jobs that are over, with the stamp of their end
    nestings: list[tuple[Handle, Handle]] = field(default_factory=list)  # (held, new one of the same owner)
    _singles: dict[Site, bool] = field(default_factory=dict)  # answers of `only_of_its_line`, each worked out once

    def wall_time(self, at: float) -> float:
        """Seconds since the epoch of a time of the ledger's clock."""
        return self.wall - (self.now - at)

    def only_of_its_line(self, handle: Handle) -> bool:
        """Whether its line opened no other in this process, or just this one in each thread that still lives."""
        site = handle.site
        if site is None or site.opened <= 1:
            return True
        single = self._singles.get(site)
        if single is None:
            single = self._singles[site] = self._one_each_thread(site)
        return single

    def _one_each_thread(self, site: Site) -> bool:
        mates = [other for other in self.open if other.site is site]
        threads = {_thread_of(other) for other in mates}
        return len(mates) == site.opened == len(threads) and not any(
            owner is None or owner.kind == "task" or owner.gone() for owner in threads
        )


def _thread_of(handle: Handle) -> Owner | None:
    owner = handle.owner
    return owner.thread or owner if owner is not None else None


def see(taken: Taken, history: History, wall: float, *, every: float = 1.0, ending: Ending | None = None) -> Snapshot:
    """The snapshot of what the ledger gave, with `history` brought up to date. Once per tick."""
    _forgive_sleep(taken, history, every)
    new = [handle for handle in (*taken.ended, *taken.open) if handle.site is None]
    for handle in new:
        _place(handle, history)
    for pool in taken.pools:
        if pool.site is None and pool.origin:
            pool.site = history.sites.of(pool.origin)
    for handle in taken.open:
        owner = handle.owner
        if owner is not None and owner.ended_at is None and owner.gone():
            owner.ended_at = taken.now
        if (
            handle.at_home
            and handle.home_at
            and (handle.used_at > handle.home_at or (owner is not None and owner.gone()))
        ):
            handle.at_home = False  # a home of a thread's own: the thread took it up again, or ended
        if handle.probe is not None and (handle.unread is not None or handle.probed != handle.uses):
            _ask(handle, taken.now, history)
    history.opened += len(new)
    history.dropped = taken.dropped
    _peaks(taken, new, history)
    _rates(taken, history)
    _climb(
        history.climbs, (handle.site for handle in taken.open if not handle.at_home and handle.pool is None), taken.now
    )
    _climb(history.pool_climbs, (pool.site for pool in taken.pools), taken.now)
    nestings = _nestings(taken, new, history)
    history.last_at = taken.now
    return Snapshot(
        taken.now,
        wall,
        taken.open,
        taken.ended,
        new,
        taken.refusals,
        taken.shared,
        taken.inherited,
        taken.pools,
        history,
        ending,
        nestings=nestings,
        scopes=taken.scopes,
    )


def _forgive_sleep(taken: Taken, history: History, every: float) -> None:
    """The time in which the machine was suspended counts neither as held nor as idle."""
    lost = 0.0 if history.last_at is None else taken.now - history.last_at - every
    if lost > SUSPENDED_S:
        for handle in taken.open:
            if handle.opened_at <= taken.now - lost:
                handle.lost_s += lost
                handle.used_at = min(handle.used_at + lost, taken.now)


def _ask(handle: Handle, now: float, history: History) -> None:
    """Whether a statement on it is not read to its end, and whose; where one was read since, it was used until now."""
    was, handle.probed = handle.unread, handle.uses
    origin = handle.probe(handle) if handle.caller == 0 else None
    if origin is None:
        handle.unread = None
        if was is not None:
            handle.used_at = now
        return
    made = history.sites.of(origin) if origin else None
    ours = made is not None and not kind_of(made.frame.file)
    handle.unread = made if ours or handle.site is None else handle.site


def _place(handle: Handle, history: History) -> None:
    if handle.origin:
        handle.origin, site = history.sites.shared(handle.origin)
        handle.site = site
        site.opened += 1
        site.borrows = handle.kind == CHECKOUT
    owner = handle.owner
    spawn = owner.spawn if owner else None
    if spawn is not None and spawn.site is None:
        _place_spawn(spawn, history)
    if handle.kind == CONNECTION:
        history.connections += 1


def _place_spawn(spawn: Spawn, history: History) -> None:
    """The line that started the owner; where only a library's frames are on the stack, the line that started theirs."""
    by = spawn.by.spawn if spawn.by else None
    if by is not None and by.site is None:
        _place_spawn(by, history)
    if not spawn.origin:
        return
    spawn.origin, site = history.sites.shared(spawn.origin)
    above = by.site if by is not None else None
    if above is not None and kind_of(site.frame.file) and not kind_of(above.frame.file):
        site = above
    if site.tells:
        spawn.site = site


def counted(handle: Handle) -> bool:
    """Whether it counts towards the connections that the program has open: a pool's own stock is the pool's."""
    if handle.kind != CONNECTION or handle.database.private:
        return False
    return handle.pool is None or handle.pool.max is None


def _peaks(taken: Taken, new: list[Handle], history: History) -> None:
    """The exact peak of each database since the last look, by a sweep over the stamps."""
    for trend in history.trends.values():
        if trend.latest.count:
            trend.habit.append(trend.latest.count)
    now_open: dict[Database, int] = {}
    for handle in taken.open:
        if counted(handle):
            now_open[handle.database] = now_open.get(handle.database, 0) + 1
    stamps: dict[Database, list[int]] = {database: [] for database in now_open}  # those of closings negative
    for handle in new:
        if counted(handle):
            stamps.setdefault(handle.database, []).append(handle.opened_stamp)
    for handle in taken.ended:
        if counted(handle) and handle.closed_stamp is not None:
            stamps.setdefault(handle.database, []).append(-handle.closed_stamp)
    for trend in history.trends.values():
        if trend.database not in stamps:
            trend.latest = Peak()
    for database, changes in stamps.items():
        if database not in history.trends:
            history.trends[database] = Trend(database)
        changes.sort(key=abs)
        _sweep(history.trends[database], now_open.get(database, 0), changes, taken, new)
    _forget_quiet(history, stamps)


def _forget_quiet(history: History, seen: Container[Database]) -> None:
    """A file for every customer: of those that nobody has open and no storm is about, the busiest are kept."""
    if len(history.trends) > MANY:
        quiet = [trend for trend in history.trends.values() if trend.database not in seen and not trend.rate]
        quiet.sort(key=lambda trend: -trend.highest.count)
        for trend in quiet[LOOKS:]:
            del history.trends[trend.database]


def _sweep(trend: Trend, now_open: int, changes: list[int], taken: Taken, new: list[Handle]) -> None:
    """The peak among `changes`, stamps in order, those of closings negative; `now_open` are open after them."""
    count = now_open + sum(-1 if stamp > 0 else 1 for stamp in changes)
    best, at = count, 0  # stamp 0: the most were open at the last look
    for stamp in changes:
        if stamp > 0:
            count += 1
            if count > best:
                best, at = count, stamp
        else:
            count -= 1
    trend.latest = Peak(best, taken.now, at)
    if best > trend.highest.count:
        fresh = set(new)  # any other was open at the last look, whatever its stamp
        there = [
            handle
            for handle in (*taken.open, *taken.ended)
            if handle.database is trend.database
            and counted(handle)
            and (handle.opened_stamp <= at or handle not in fresh)
            and (handle.closed_stamp is None or handle.closed_stamp > at)
        ]
        reached = max((handle.opened_at for handle in there), default=taken.now) if at else taken.now
        trend.latest = trend.highest = Peak(best, reached, at, tuple(there))


def _rates(taken: Taken, history: History) -> None:
    """How many connections each database opened and closed again in each tenth of a second, over the last minute."""
    for handle in taken.ended:
        if handle.kind == CONNECTION and handle.pool is None:
            trend = history.trends.get(handle.database)
            if trend is not None:
                slot = int(handle.opened_at * SLOTS)
                rate = trend.rate.get(slot)
                if rate is None:
                    trend.rate[slot] = Rate(1, handle)
                else:
                    rate.count += 1
    for trend in history.trends.values():
        for slot in [one for one in trend.rate if one < (taken.now - LOOKS) * SLOTS]:
            del trend.rate[slot]


def _climb(climbs: dict[Site, Climb], sites: Iterable[Site | None], now: float) -> None:
    counts: dict[Site, int] = {}
    for site in sites:
        if site is not None:
            counts[site] = counts.get(site, 0) + 1
    for site in [one for one in climbs if one not in counts]:
        del climbs[site]
    for site, count in counts.items():
        climb = climbs.get(site)
        if climb is None:
            climbs[site] = Climb(count, 0, now, now)
        elif count > climb.count:
            climb.count, climb.rises, climb.last_rise = count, climb.rises + 1, now
        elif count < climb.count:
            climbs[site] = Climb(count, 0, now, now)


def _nestings(taken: Taken, new: list[Handle], history: History) -> list[tuple[Handle, Handle]]:
    """(held, asked for while it was held) for each new handle, by a sweep over each owner's handles.

    Where one line opened both, only once the inner one was given back while the outer was held: a loop that keeps
    what it takes does not nest, `left-open` tells of it.
    """
    moved = {handle.owner for handle in (*new, *taken.ended)}
    by_owner: dict[Owner, list[Handle]] = {}
    for handle in (*taken.ended, *taken.open):
        owner = handle.owner
        if owner is not None and owner in moved and _lendable(handle):
            by_owner.setdefault(owner, []).append(handle)
    fresh, ended = {id(handle) for handle in new}, {id(handle) for handle in taken.ended}
    pairs = []
    for handles in by_owner.values():
        if len(handles) > 1:
            for outer, inner in _overlaps(handles):
                nested = id(inner) in fresh
                if outer.site is inner.site:
                    last = (outer.closed_stamp or _NEVER) > (inner.closed_stamp or _NEVER)
                    nested = id(inner) in ended and inner.how == CLOSED and last
                if nested and _same(outer, inner):
                    pairs.append((outer, inner))
                    _count_nesting(history, outer, inner)
    return pairs


def _overlaps(handles: list[Handle]) -> Iterator[tuple[Handle, Handle]]:
    """(held, opened meanwhile) among one owner's handles; of many held at once the `FEW` that were taken last."""
    held: list[Handle] = []
    for inner in sorted(handles, key=_by_stamp):
        if held:
            held = [outer for outer in held if (outer.closed_stamp or _NEVER) > inner.opened_stamp][-FEW:]
            for outer in held:
                yield outer, inner
        held.append(inner)


def _by_stamp(handle: Handle) -> int:
    return handle.opened_stamp


def _count_nesting(history: History, outer: Handle, inner: Handle) -> None:
    if outer.site is not None and inner.site is not None:
        owners = history.nested.setdefault((outer.site, inner.site), set())
        if len(owners) < MANY:
            owners.add(id(inner.owner))


def _lendable(handle: Handle) -> bool:
    return handle.kind == "checkout" or (handle.kind == CONNECTION and handle.pool is None)


def _same(outer: Handle, inner: Handle) -> bool:
    """Whether both are of one pool, or of one database that others use too."""
    if outer.pool or inner.pool:
        return outer.pool is inner.pool
    return outer.database is inner.database and not outer.database.private
