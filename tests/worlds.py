"""A world written by hand: handles at times, stamps and owners that a test gives, and the snapshot of them."""

from __future__ import annotations

import _thread
import functools
import itertools
from typing import TYPE_CHECKING, Any

from whoholds.analysis.history import History
from whoholds.analysis.placing import snapshot_of
from whoholds.analysis.snapshot import Ending, Snapshot
from whoholds.detectors import ALL
from whoholds.ledger.database import Database
from whoholds.ledger.entries import Entries, Refusal
from whoholds.ledger.handle import CLOSED, CONNECTION, Handle, Pool, Request
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import from_lines
from whoholds.ledger.owner import Owner, Spawn
from whoholds.settings.limits import Limits
from whoholds.testing.fakes import FakeClock
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from whoholds.analysis.finding import Finding
    from whoholds.ledger.lockout import Lockout
    from whoholds.ledger.origin import Origin
    from whoholds.plugins import Detector, Output

SHOP = Database("postgresql", "app", "127.0.0.1", 5432, "shop")
STOCK = Database("postgresql", "app", "127.0.0.1", 5432, "stock")
FILE = Database("sqlite", name="shop.db")
CARS = "/srv/shop/cars.py:42 load_cars"
USERS = "/srv/shop/users.py:7 load_users"
REPORT = "/srv/shop/report.py:17 build"
NOBODY = -1  # an ident that no thread has

AT_EXIT = Ending("process")


@functools.cache
def at(line: str) -> Origin:
    """Give an origin of one frame, the same for the same `file:line function`."""
    place, function = line.split()
    file, _, number = place.rpartition(":")
    return from_lines([(file, int(number), function)])


class Task:
    """What an Owner refers to: something that is done when a test says so."""

    over = False

    def done(self) -> bool:
        """Say whether it is over, as a Task would."""
        return self.over

    @property
    def dead(self) -> bool:
        """Say it as a greenlet would."""
        return self.over


def thread(name: str = "MainThread", spawned: str = "", *, worker: bool = False) -> Owner:
    """Give a thread that lives until `ends(it)`."""
    owner = Owner("thread", name, None, _thread.get_ident(), Spawn(at(spawned), None) if spawned else None)
    owner.is_worker = worker
    return owner


def task(name: str, spawned: str = REPORT) -> Owner:
    """Give a task that runs until `ends(it)`."""
    kept = Task()
    return Owner("task", name, lambda: kept, _thread.get_ident(), Spawn(at(spawned), None))


def job(worker: Owner, spawned: str = REPORT, *, width: int | None = None) -> Owner:
    """Give a job that runs in `worker` until its `job_over_at` is set."""
    spawn = Spawn(at(spawned), None)
    spawn.width = width
    return Owner("job", worker.name, None, worker.ident, spawn, worker)


def ends(owner: Owner) -> None:
    """Let a thread or task end."""
    if owner.kind == "task":
        owner.ref().over = True
    owner.ident = NOBODY


class World:
    """Handles that are open or have ended since the last look, a clock, and what earlier looks remember."""

    def __init__(self, **limits: Any) -> None:
        self.clock = FakeClock()
        self.limits = Limits().with_settings(**limits)
        self.history = History()
        self.main = thread()
        self.open: list[Handle] = []
        self.ended: list[Handle] = []
        self.refusals: list[Refusal] = []
        self.shared: list[Handle] = []
        self.inherited: list[tuple[Handle, Owner | None, Origin]] = []
        self.pools: list[Pool] = []
        self.requests: list[Request] = []
        self.lockouts: list[Lockout] = []
        self.stamps = itertools.count(1)

    def opens(
        self,
        line: str = CARS,
        by: Owner | None = None,
        to: Database = SHOP,
        kind: str = CONNECTION,
        **state: Any,
    ) -> Handle:
        """Give a handle opened now; `state` are attributes of it, `parent` what it is a loan of."""
        handle = Handle(kind, "psycopg2", to, by or self.main, at(line))
        handle.opened_at = handle.used_at = self.clock()
        handle.opened_stamp = next(self.stamps)
        connection = state.pop("parent", None)
        if connection is not None:
            handle.lent(connection)
        for name, value in state.items():
            setattr(handle, name, value)
        self.open.append(handle)
        return handle

    def closes(self, *handles: Handle, how: str = CLOSED) -> None:
        """Close them now, one after the other."""
        for handle in handles:
            handle.closed_at, handle.closed_stamp, handle.how = self.clock(), next(self.stamps), how
            self.open.remove(handle)
            self.ended.append(handle)

    def pool(self, line: str = "/srv/shop/db.py:3 make", *, most: int | None = 5) -> Pool:
        """Give a pool made now at `line`."""
        pool = Pool(next(self.stamps), "pool", at(line), most, "postgresql")
        self.pools.append(pool)
        return pool

    def refuses(self, error: str = "OperationalError: too many clients", pool: Pool | None = None) -> Refusal:
        """Let the server of SHOP, or `pool`, give no more, at this instant."""
        refusal = Refusal(self.clock(), SHOP, error, list(self.open))
        refusal.by_pool, refusal.owner, refusal.origin = pool, self.main, at("/srv/shop/app.py:9 main")
        self.refusals.append(refusal)
        return refusal

    def look(self, ending: Ending | None = None) -> Snapshot:
        """Give the snapshot of now; what ended is forgotten then."""
        taken = Entries(
            self.clock(),
            next(self.stamps),
            list(self.open),
            self.ended,
            self.refusals,
            self.shared,
            self.inherited,
            list(self.pools),
            0,
            requests=tuple(self.requests),
            lockouts=tuple(self.lockouts),
        )
        self.ended, self.refusals, self.shared, self.inherited, self.lockouts = [], [], [], [], []
        return snapshot_of(taken, self.history, 1_000_000.0, ending=ending)

    def after(self, seconds: float) -> World:
        """Let so many seconds pass with a look in each, as a program that runs has."""
        while seconds > 0:
            self.clock.advance(min(seconds, 1.0))
            seconds -= 1.0
            self.look()
        return self

    def found(self, detector: Detector, ending: Ending | None = None) -> list[Finding]:
        """Look, and give what `detector` finds."""
        return list(detector(self.look(ending), self.limits))


def said(findings: Iterable[Finding]) -> list[tuple[str, int]]:
    """Give each finding's severity and count."""
    return [(finding.severity, finding.count) for finding in findings]


class Program:
    """A Watch that is looked at by hand, and the handles of a program told to it: same clock, no thread, no driver."""

    def __init__(self, *outputs: Output, detectors: Mapping[str, Detector] = ALL, **limits: Any) -> None:
        self.clock = FakeClock()
        self.owner = thread()
        self.line = CARS
        self.ledger = Ledger(clock=self.clock, owner=lambda: self.owner, origin=lambda _, __: at(self.line))
        self.watch = Watch(
            Limits().with_settings(**limits),
            ledger=self.ledger,
            outputs=outputs,
            detectors=detectors,
            wall=lambda: 1_700_000_000.0 + self.clock(),
        )

    def opens(
        self,
        line: str = CARS,
        by: Owner | None = None,
        to: Database = SHOP,
        driver: str = "psycopg2",
        **state: Any,
    ) -> Handle:
        """Give a connection opened now."""
        self.line, self.owner = line, by or self.owner
        handle = self.ledger.opened(CONNECTION, driver, to, None, None)
        for name, value in state.items():
            setattr(handle, name, value)
        return handle

    def fans_out(self, count: int, line: str = CARS, spawned: str = REPORT) -> list[Handle]:
        """Give a connection for each of so many threads."""
        return [self.opens(line, thread(f"Thread-{number}", spawned)) for number in range(count)]

    def looks(self, seconds: float = 1.0) -> list[Finding]:
        """Give what is said a moment later."""
        self.clock.advance(seconds)
        return self.watch.tick()

    def exits(self) -> list[Finding]:
        """Give what is said by the last look of the process."""
        self.clock.advance(1.0)
        return self.watch.end(Ending("process"))


def crowd(count: int, **limits: object) -> World:
    """Give a world in which a thread per item opened a connection per item."""
    world = World(**limits)
    for number in range(count):
        world.opens(by=thread(f"Thread-{number}", REPORT))
    return world
