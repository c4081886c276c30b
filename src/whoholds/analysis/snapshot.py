"""Snapshot: the ledger at one instant with what earlier looks remember; what detectors are given.

Handles get their lines here, once a tick. Detectors read and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whoholds.analysis.history import History
from whoholds.analysis.lines import Site, kind_of
from whoholds.ledger.handle import CHECKOUT, CONNECTION, Handle, Owner, Pool

if TYPE_CHECKING:
    from whoholds.ledger.handle import Spawn
    from whoholds.ledger.ledger import Refusal, Taken
    from whoholds.ledger.origin import Origin
    from whoholds.scopes import Scope

SUSPENDED_S = 10.0  # a tick that comes later than this: the machine slept


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
    nestings = history.take(taken, new)
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
        if handle.pool is None or handle.kind != CONNECTION:  # a pool's own stock is nobody's of that line
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
