"""Two stacks of one owner, taken from functions that run: has the one that took something gone on, or come by again?"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import types
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from whoholds.analysis.inside import CALLER, KEEPER, LIBRARY, Unfinished, joins, unfinished
from whoholds.ledger.callers import awaited
from whoholds.ledger.origin import capture, from_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.ledger.origin import Origin

FLASK = "/srv/lib/site-packages/flask/app.py"
SERVER = "/srv/lib/site-packages/server/worker.py"


def frames(*lines: str) -> Origin:
    """An origin of these frames, `file:line function`, innermost first."""
    places = [line.split() for line in lines]
    return from_lines(
        [(place.rpartition(":")[0], int(place.rpartition(":")[2]), function) for place, function in places]
    )


def stack() -> Origin:
    """Where the caller is."""
    return capture(sys._getframe(1), 32)


def test_a_function_in_a_decorator_s_call_is_inside() -> None:
    """`@transaction.atomic`: the library's wrapper has gone on, from the one line of the program, which calls it."""
    stacks: list[Origin] = []

    @contextmanager
    def borrowed() -> Iterator[None]:
        stacks.append(stack())
        yield

    @borrowed()
    def work() -> None:
        stacks.append(stack())

    for _ in range(2):
        work()
    assert unfinished(stacks[0], stacks[1]) == Unfinished(inside=True, by=KEEPER)
    assert not unfinished(stacks[0], stacks[2]).inside


def test_two_awaits_of_one_line_are_two_places() -> None:
    """`async with pool.acquire() as connection, lock:`."""
    stacks: list[Origin] = []

    @types.coroutine
    def suspended() -> Any:
        yield

    async def borrow() -> None:
        stacks.append(stack())

    async def request() -> list[None]:
        return [await borrow(), await suspended(), await suspended()]

    coroutine = request()
    coroutine.send(None)
    assert unfinished(stacks[0], awaited(coroutine, 8), whole=True) == Unfinished(inside=True, by=CALLER)
    between = awaited(coroutine, 8)
    assert not unfinished(between, between, whole=True).inside
    coroutine.send(None)
    assert unfinished(between, awaited(coroutine, 8), whole=True).inside
    coroutine.close()


@pytest.mark.parametrize(
    ("now", "calls"),
    [
        (("/srv/shop/cars.py:7 view", f"{FLASK}:40 dispatch"), Unfinished(inside=True, by=LIBRARY)),
        (("/srv/shop/hooks.py:9 audit", f"{FLASK}:30 dispatch"), Unfinished(inside=False, by=LIBRARY)),
        ((f"{SERVER}:2 accept",), Unfinished(inside=True, by=CALLER)),
        (("/srv/shop/hooks.py:6 login", f"{FLASK}:30 dispatch"), Unfinished(inside=True, by=KEEPER)),
        (
            ("/srv/lib/site-packages/flask/wrappers.py:9 close", f"{FLASK}:40 dispatch"),
            Unfinished(inside=True, by=LIBRARY),
        ),
    ],
    ids=["the view", "the next hook", "the next request", "the hook", "a library"],
)
def test_a_framework_s_function_that_called_the_borrower_decides(now: tuple[str, ...], calls: Unfinished) -> None:
    """It calls its hooks at one place, one after the other, and then the view further down."""
    taken = frames("/srv/shop/hooks.py:5 login", f"{FLASK}:30 dispatch", "/srv/shop/main.py:3 serve")
    line = 4 if calls.by == CALLER else 3
    assert unfinished(taken, (*frames(*now), *frames(f"/srv/shop/main.py:{line} serve"))) == calls


@pytest.mark.parametrize(("line", "inside"), [(40, True), (30, False)])
def test_frames_that_were_left_out_of_a_deep_stack_are_passed_over(line: int, inside: bool) -> None:
    """Of a stack whose inner frames are all a library's, those up to the nearest of the program's own are not kept."""
    outermost = ("/srv/shop/main.py:3 application", f"{SERVER}:8 handle")
    between = [f"{FLASK}:{number} layer{number}" for number in range(9)]
    taken = frames(f"{FLASK}:1 authenticate", f"{FLASK}:30 decorated", f"{FLASK}:12 view", *outermost)
    now = frames("/srv/shop/cars.py:7 slow", f"{FLASK}:{line} decorated", f"{FLASK}:12 view", *between, *outermost)
    assert unfinished(taken, now) == Unfinished(inside, KEEPER if inside else LIBRARY)


def _joining_thread(started: list[Origin], now: list[Origin]) -> None:
    def child() -> None:
        now.append(stack_of_thread())

    thread = Thread(target=child)
    started.append(stack())
    thread.start()
    thread.join()


def _joining_executor(started: list[Origin], now: list[Origin]) -> None:
    with ThreadPoolExecutor(1) as executor:
        started.append(stack())
        executor.submit(lambda: now.append(stack_of_thread()))


def _for_a_result(started: list[Origin], now: list[Origin]) -> None:
    with ThreadPoolExecutor(1) as executor:
        started.append(stack())
        future: Future[None] = executor.submit(lambda: now.append(stack_of_thread()))
        future.result()


HOLDER = "holder"


def stack_of_thread() -> Origin:
    """Where the thread `HOLDER` is, once it waits."""
    holder = next(thread for thread in threading.enumerate() if thread.name == HOLDER)
    while True:
        found = capture(sys._current_frames()[holder.ident or 0], 32)
        if {"join", "result", "shutdown"} & {code.co_name for code in found[::2]}:  # type: ignore[union-attr]
            return found
        time.sleep(0.001)


@pytest.mark.parametrize("holds", [_joining_thread, _joining_executor, _for_a_result])
def test_who_waits_for_what_it_started_joins(holds: Callable[[list[Origin], list[Origin]], None]) -> None:
    """`Thread.join`, the end of an executor's `with`, `Future.result`."""
    started: list[Origin] = []
    now: list[Origin] = []
    holder = Thread(target=holds, args=(started, now), name=HOLDER)
    holder.start()
    holder.join()
    assert joins(started[0], now[0])


def test_a_task_that_waits_for_its_own_joins_and_one_that_sleeps_does_not() -> None:
    """`asyncio.gather` and a task have no frame; `asyncio.wait` and a task group do."""

    async def child() -> None:
        await asyncio.sleep(0)

    async def holds(waits: str) -> None:
        started.append(stack())
        task = asyncio.ensure_future(child())
        if waits == "gather":
            await asyncio.gather(task)
        elif waits == "task":
            await task
        elif waits == "wait":
            await asyncio.wait([task])
        else:
            await asyncio.sleep(0.001)
        await task

    async def stack_while(waits: str) -> Origin:
        holder = asyncio.ensure_future(holds(waits))
        await asyncio.sleep(0)
        now = awaited(holder.get_coro(), 32)
        await holder
        return now

    for waits, joined in (("gather", True), ("task", True), ("wait", True), ("sleep", False)):
        started: list[Origin] = []
        now = asyncio.run(stack_while(waits))
        assert joins(started[0], now, whole=True) == joined, waits
