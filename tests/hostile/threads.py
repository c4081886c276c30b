"""Threads that open, use, hand over, close, drop and borrow without a pause: afterwards every sum must be right.

`python -m tests.hostile.threads` runs a million operations in sixteen threads with `plain`, a library whose connections
are plain objects, so that it is exact how each of them must have ended, and a hundred thousand with `sqlite3`. Both lend
through a pool of SQLAlchemy. The watch ticks meanwhile, and other threads collect garbage. Exit code 1 if a sum is wrong: what was
opened is what ended and what is open; each end is told once; nothing was dropped, raised or reported as a fault; the GIL
is as it was, also after everything that whoholds can import was imported. test_threads.py runs a part of it.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import pkgutil
import queue
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.pool import QueuePool

import whoholds
from whoholds.drivers import kit, sqlalchemy, sqlite
from whoholds.ledger.cpython import has_gil
from whoholds.ledger.entries import ORPHANED
from whoholds.ledger.handle import CHECKOUT, CLOSED, COLLECTED, CONNECTION, FREED
from whoholds.settings.limits import Limits
from whoholds.watching import attending
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.analysis.finding import Look
    from whoholds.ledger.ledger import Ledger

LIBRARIES = {"plain": 1, "sqlite3": 10}  # and the part of the operations that each runs: sqlite3 lets go of the GIL
SHARED_EVERY = 64  # operations after which a thread uses the connection that all threads share
KEEP_EVERY = 1000  # openings of which one is kept until the end
COLLECT_S = 0.2  # between two collections of garbage


class Plain:
    """A DB-API module in miniature."""

    class Connection:
        """Connects to nothing."""

        me: Any = None
        _whoholds: Any

        def execute(self, statement: str) -> None:
            """Nothing is run."""

        def rollback(self) -> None:
            """A pool does this when it gets a loan back."""

        def close(self) -> None:
            """Nothing is closed."""

    @staticmethod
    def connect() -> Plain.Connection:
        """Give a connection."""
        return Plain.Connection()


@contextmanager
def watch_plain(ledger: Ledger) -> Iterator[None]:
    """Watch `Plain` as a driver does that replaces methods of a class."""
    here, connection = kit.database("plain", name="here"), Plain.Connection
    connect = kit.connector(Plain.connect, ledger, "plain", lambda *_: (here, None), kit.keep)
    with kit.open_names() as stand:
        stand(Plain, "connect", staticmethod(connect))
        for name in ("execute", "rollback"):
            used = kit.used(getattr(connection, name), ledger, kit.whoholds_of, lambda _: False, sql=name == "execute")
            stand(connection, name, used)
        stand(connection, "close", kit.closing(connection.close, ledger, kit.whoholds_of))
        yield


class Tally:
    """An output that counts how what it is told of has ended."""

    name = "tally"

    def __init__(self) -> None:
        self.ended: dict[str, Counter[str]] = {CONNECTION: Counter(), CHECKOUT: Counter()}
        self.open: Counter[str] = Counter()
        self.looks = 0
        self.told: set[int] = set()
        self.twice = 0
        self.dropped = 0
        self.most_callers = 0

    def __call__(self, look: Look) -> None:
        """Take a look's handles."""
        self.looks += 1
        for handle in look.snapshot.ended:
            self.twice += handle.opened_stamp in self.told
            self.told.add(handle.opened_stamp)
            self.ended[handle.kind][handle.how] += 1
        self.open = Counter(handle.kind for handle in look.snapshot.open)
        self.dropped = look.cost.dropped
        for handle in look.snapshot.shared:
            self.most_callers = max(self.most_callers, len(handle.shared.callers))


class Made(NamedTuple):
    """What the threads did, to be compared with what was told."""

    opened: int  # connections, those of the pool included
    lent: int
    how: Counter[str]  # of the connections that the threads opened themselves, how each ended


class Run:
    """One library's operations."""

    def __init__(self, library: str, threads: int, operations: int) -> None:
        self.each = operations // threads
        self.plain = library == "plain"
        self._threads = threads
        self._inboxes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(threads)]
        self._kept: list[Any] = []
        self._working = [True]
        self._pool_opened: list[None] = []
        self._counts: list[Counter[str]] = [Counter() for _ in range(threads)]
        self.failures: list[str] = []

    def connect(self) -> Any:
        """Open a connection of the library."""
        return Plain.connect() if self.plain else sqlite3.connect(":memory:", check_same_thread=False)

    def _connect_for_the_pool(self) -> Any:
        self._pool_opened.append(None)
        return self.connect()

    def __call__(self) -> Made:
        """Run it, and give what was done."""
        pool = QueuePool(self._connect_for_the_pool, pool_size=self._threads, max_overflow=0)
        shared = self.connect()
        workers = [self._guarded(self._work, number, pool, shared) for number in range(self._threads)]
        collecting = self._guarded(self._collect)
        for one in (*workers, collecting):
            one.start()
        for one in workers:
            one.join()
        self._working.clear()
        collecting.join()
        left = [inbox.get_nowait() for inbox in self._inboxes for _ in range(inbox.qsize())]
        for connection in left:
            connection.close()
        shared.close()
        pool.dispose()
        done = sum(self._counts, Counter())
        done[CLOSED] += len(left) + 1 + len(self._pool_opened)
        lent = done.pop(CHECKOUT)
        opened = sum(done.values())
        gc.collect()
        return Made(opened, lent, done)

    def _guarded(self, work: Callable[..., None], *args: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except BaseException as error:  # noqa: BLE001 - told at the end
                self.failures.append(f"{type(error).__name__}: {error}")

        return threading.Thread(target=run, name=work.__name__)

    def _collect(self) -> None:
        while self._working:
            time.sleep(COLLECT_S)
            gc.collect()

    def _work(self, number: int, pool: QueuePool, shared: Any) -> None:
        random, done = Random(number), self._counts[number]
        mine, theirs = self._inboxes[number], self._inboxes[(number + 1) % self._threads]
        operations = (
            self._close,
            self._close,
            self._drop,
            self._drop_in_a_cycle,
            self._borrow,
            self._borrow_and_drop,
        )
        for turn in range(self.each):
            if turn % SHARED_EVERY == 0:
                shared.execute("SELECT 1")
            if turn % KEEP_EVERY == 0:
                self._kept.append(self.connect())
                done["kept"] += 1
                continue
            choice = random.randrange(len(operations) + 1)
            if choice == len(operations):
                theirs.put(self.connect())  # another thread closes it
                continue
            done[operations[choice](pool)] += 1
            try:
                mine.get_nowait().close()
                done[CLOSED] += 1
            except queue.Empty:
                pass

    def _close(self, _pool: QueuePool) -> str:
        connection = self.connect()
        connection.execute("SELECT 1")
        connection.close()
        return CLOSED

    def _drop(self, _pool: QueuePool) -> str:
        self.connect()
        return FREED

    def _drop_in_a_cycle(self, _pool: QueuePool) -> str:
        connection = self.connect()
        if self.plain:
            connection.me = connection
        else:
            cycle = [connection]
            cycle.append(cycle)
        return COLLECTED

    def _borrow(self, pool: QueuePool) -> str:
        loan = pool.connect()
        loan.driver_connection.execute("SELECT 1")
        loan.close()
        return CHECKOUT

    def _borrow_and_drop(self, pool: QueuePool) -> str:
        pool.connect().driver_connection.execute("SELECT 1")
        return CHECKOUT


def import_all() -> list[str]:
    """Import every module of whoholds, and its dependencies with them; give those that are not installed."""
    missing = []
    for module in pkgutil.walk_packages(whoholds.__path__, "whoholds."):
        if not module.name.endswith(("__main__", ".auto", ".autostart")):  # these act when they are imported
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                missing.append(error.name or module.name)
    return sorted(set(missing))


def faults_of(library: str, threads: int, operations: int) -> tuple[str, list[str]]:
    """Run the operations; give a line with the sums, and a line for each thing that is wrong."""
    gil = has_gil()
    ignored: list[str] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda raised: ignored.append(repr(raised.exc_value))
    tally, run = Tally(), Run(library, threads, operations)
    driver = watch_plain if run.plain else sqlite.watch
    limits = Limits(every=0.05, max_handles=max(operations, 1000))
    watch = Watch(limits, drivers=(driver, sqlalchemy.watch), outputs=(tally,)).start()
    attending.attend(watch)
    began = time.monotonic()
    try:
        made = run()
    finally:
        took = time.monotonic() - began
        attending.leave(watch)
        looks = tally.looks
        while tally.looks == looks:  # a look may be under way still
            watch.tick()
        open_ = tally.open
        watch.stop()
        sys.unraisablehook = before
    faults = [*run.failures, *[f"ignored: {one}" for one in ignored], *[str(aside) for aside in watch.asides.all]]
    for kind, count in ((CONNECTION, made.opened), (CHECKOUT, made.lent)):
        ended = sum(tally.ended[kind].values())
        if count != ended + open_[kind]:
            faults.append(f"{kind}: {count} opened, {ended} ended and {open_[kind]} open")
    if open_[CONNECTION] != made.how["kept"]:
        faults.append(f"{made.how['kept']} kept, {open_[CONNECTION]} open")
    if run.plain:
        faults += [
            f"{hows[0]}: {made.how[hows[0]]} made, {told} told"
            for hows in ((CLOSED,), (FREED,), (COLLECTED, ORPHANED))
            if made.how[hows[0]] != (told := sum(tally.ended[CONNECTION][how] for how in hows))
        ]
    faults += [f"{tally.twice} ends were told twice"] if tally.twice else []
    faults += [f"{tally.dropped} events were dropped"] if tally.dropped else []
    faults += [f"{tally.most_callers} callers at once"] if tally.most_callers > threads else []
    missing = import_all()
    faults += [f"the GIL is {has_gil()}, and was {gil}"] if has_gil() != gil else []
    ends = ", ".join(f"{count} {how}" for how, count in sorted(tally.ended[CONNECTION].items()))
    line = (
        f"{library}: {run.each * threads} operations by {threads} threads in {took:.1f} s, GIL {'on' if gil else 'off'}; "
        f"{made.opened} connections: {ends}, {open_[CONNECTION]} open; {made.lent} loans"
    )
    return line + (f"; not installed: {', '.join(missing)}" if missing else ""), faults


def main() -> int:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.threads", description=__doc__)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument(
        "--operations", type=int, default=1_000_000, help="of all threads; a tenth of them with sqlite3"
    )
    parser.add_argument("--library", choices=LIBRARIES, action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    wrong = 0
    for library in options.library or LIBRARIES:
        line, faults = faults_of(library, options.threads, options.operations // LIBRARIES[library])
        print("\n".join([line, *[f"    wrong: {fault}" for fault in faults]]), flush=True)
        wrong += len(faults)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
