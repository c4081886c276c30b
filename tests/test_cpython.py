"""Names of CPython that are nobody's interface: each still answers on this Python, and what stands in for one works."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from whoholds.ledger import cpython

since_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")


def test_the_thread_that_runs_is_known() -> None:
    """By its ident, and by the name it was given."""
    ident = cpython.real_ident()()
    assert ident == threading.get_ident()
    assert cpython.thread_of(ident) is threading.current_thread()
    assert cpython.name_of_thread(threading.current_thread()) == threading.current_thread().name
    assert (cpython.active_threads() or {})[ident] is threading.current_thread()
    frame = cpython.current_frames()[ident]  # our function's own
    assert frame is not None
    assert frame.f_back is sys._getframe()


def test_a_task_and_the_loops_frame_are_known() -> None:
    """As asyncio keeps them, without its `current_task` being asked by name."""

    async def main() -> None:
        task = cpython.current_task()
        assert task is asyncio.current_task()
        assert cpython.running_task(asyncio.tasks)(asyncio.get_running_loop()) is task
        assert cpython.name_of_task(task) == task.get_name()
        frames = []
        frame = sys._getframe()
        while frame is not None:
            frames.append(frame.f_code)
            frame = frame.f_back
        assert cpython.handle_run() in frames

    asyncio.run(main())
    assert cpython.current_task() is None


@pytest.mark.parametrize("eager", [False, pytest.param(True, marks=since_312)])
def test_who_awaits_a_future_is_seen_from_another_thread(eager: bool) -> None:
    """3.14 keeps tasks in a list for each thread; a task that began eagerly may be in none of asyncio's sets yet."""

    async def awaits(future: asyncio.Future[None]) -> None:
        await future

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        future: asyncio.Future[None] = loop.create_future()
        task = asyncio.create_task(awaits(future))
        await asyncio.sleep(0)
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(cpython.task_awaiting, future).result() is task
            assert executor.submit(cpython.current_task).result() is None
        future.set_result(None)
        await task
        assert cpython.task_awaiting(future) is None

    asyncio.run(main())


def test_each_interpreter_has_its_number() -> None:
    """The main one has 0."""
    assert cpython.interpreter() == 0
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        other = interpreters.create()
        try:
            assert other.call(cpython.interpreter) == other.id > 0
        finally:
            other.close()


def test_how_wide_an_executor_is_can_be_seen() -> None:
    """By the thread that works for it."""
    with ThreadPoolExecutor(3) as executor:
        assert executor.submit(lambda: cpython.executor_width(threading.current_thread())).result() == 3
    assert cpython.executor_width(threading.current_thread()) is None


def test_what_nothing_but_a_set_refers_to_is_known() -> None:
    """A thing that a variable, a list or a frame has too is not among it."""
    listed = [frozenset({2})]

    class Thing:
        pass

    kept = Thing()
    things = {kept, Thing(), listed[0]}
    (alone,) = cpython.only_in(things)
    assert type(alone) is Thing
    assert alone is not kept
    assert cpython.only_in(things) == []  # the variable has it now


def test_attributes_are_read_and_set_past_a_class_that_refuses() -> None:
    """And without its code."""

    class Refuses:
        def __getattribute__(self, name: str) -> object:
            raise LookupError(name)

        def __setattr__(self, name: str, value: object) -> None:
            raise LookupError(name)

    thing = Refuses()
    cpython.put(thing, "mark", 7)
    assert (cpython.kept(thing, "mark"), cpython.own(thing), cpython.kept(thing, "other")) == (7, {"mark": 7}, None)
    cpython.put(object(), "mark", 7)
    assert cpython.own(object()) == {}


def test_looking_at_all_threads_never_waits_for_itself() -> None:
    """The collector must not begin inside: freeing a thread-local waits there for the lock that is held.

    Asked of sys directly, 3.11.7 hangs in this program.
    """
    program = """
import gc, threading, _thread
from whoholds.ledger.cpython import current_frames

class Cycle:
    def __init__(self):
        self.me, self.local = self, _thread._local()
        self.local.value = 1

stopping = threading.Event()
threads = [threading.Thread(target=stopping.wait) for _ in range(8)]
for thread in threads:
    thread.start()

def nested(depth):
    return current_frames() if not depth else nested(depth - 1)

for number in range(600):  # let the collector be due at each allocation in turn
    gc.set_threshold(0)
    gc.collect()
    Cycle()
    gc.set_threshold(gc.get_count()[0] + number % 6)
    nested(number % 5)
print(gc.isenabled())
stopping.set()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (ran.returncode, ran.stdout) == (0, "True\n"), ran.stderr


class Connection(sqlite3.Connection):
    """One that takes weak references, as the driver's does."""


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_only_waits_for_the_collector_is_told_from_what_somebody_has() -> None:
    """A sqlite3 connection that was dropped is referred to by its own statement cache alone, from 3.11 on."""
    gc.disable()
    try:
        connection = sqlite3.connect(":memory:", factory=Connection)
        connection.execute("SELECT 1").fetchall()
        weak = weakref.ref(connection)
        assert not cpython.only_garbage(weak)
        kept = [connection]
        del connection
        assert not cpython.only_garbage(weak)
        cursor = kept[0].cursor()
        kept.clear()
        assert not cpython.only_garbage(weak)
        assert weak() is cursor.connection
        del cursor
        assert cpython.only_garbage(weak) == (sys.version_info >= (3, 11) and cpython.has_gil())
    finally:
        gc.enable()
        gc.collect()
    assert not cpython.only_garbage(weak)
