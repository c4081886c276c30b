"""APScheduler's jobs: the spawn line of what a job opens is the line that added the job."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from whoholds.hooks import scheduled, spawning
from whoholds.ledger import faults
from whoholds.ledger.here import current_owner
from whoholds.ledger.origin import function_at

needed("apscheduler")
needed("sqlalchemy")

from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_REMOVED
from apscheduler.executors import asyncio as asyncio_executor
from apscheduler.executors import base, pool
from apscheduler.job import Job
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _watched() -> Iterator[None]:
    """Hook what starts owners, as a watch does; none of our hooks fails."""
    faults.take()
    spawning.watch()
    yield
    spawning.forget()
    assert faults.take() == []


seen: list[str] = []
came = threading.Event()
over = threading.Event()  # the scheduler has removed the job, which runs once


def work() -> None:
    """Note the function that started the job, as a handle opened here would have it."""
    owner = current_owner()
    assert owner is not None
    assert owner.spawn is not None
    seen.extend(function_at(owner.spawn.origin, at) for at in range(0, len(owner.spawn.origin), 2))
    came.set()


async def work_async() -> None:
    work()


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()
    came.clear()
    over.clear()


def add(scheduler: Any, function: Any) -> None:
    """Have the function run once, at once."""
    scheduler.add_listener(lambda _: over.set(), EVENT_JOB_REMOVED)
    scheduler.add_job(function)


def wait_and_shut(scheduler: Any) -> None:
    """Wait until the job has run, and end the scheduler."""
    assert came.wait(20)
    assert over.wait(20)
    scheduler.shutdown()


@pytest.mark.parametrize("running", [False, True])
def test_a_job_of_a_thread_pool(*, running: bool) -> None:
    """Added before the scheduler's start or later, run at once."""
    scheduler = BackgroundScheduler()
    if running:
        scheduler.start()
    add(scheduler, work)
    if not running:
        scheduler.start()
    wait_and_shut(scheduler)
    assert "add" in seen
    assert "test_a_job_of_a_thread_pool" in seen


def test_a_decorated_job() -> None:
    """`scheduled_job` names the line of the decorator's function."""
    scheduler = BackgroundScheduler()
    scheduler.add_listener(lambda _: over.set(), EVENT_JOB_REMOVED)

    def decorate() -> None:
        scheduler.scheduled_job("date")(work)

    decorate()
    scheduler.start()
    wait_and_shut(scheduler)
    assert "decorate" in seen


def test_a_job_of_a_store_is_made_anew_for_each_run(tmp_path: Path) -> None:
    """The job is known by its id."""
    store = SQLAlchemyJobStore(engine=create_engine(f"sqlite:///{tmp_path / 'jobs.db'}", poolclass=NullPool))
    scheduler = BackgroundScheduler(jobstores={"default": store})
    scheduler.start()
    add(scheduler, work)
    wait_and_shut(scheduler)
    assert "add" in seen


@pytest.mark.parametrize("function", [work, work_async])
def test_a_job_of_a_loop(function: Any) -> None:
    """A coroutine function runs as a task, any other in the loop's executor."""

    async def main() -> None:
        scheduler = AsyncIOScheduler()
        scheduler.start()
        ended = asyncio.Event()
        scheduler.add_listener(lambda _: ended.set(), EVENT_JOB_EXECUTED)
        add(scheduler, function)
        await ended.wait()
        scheduler.shutdown()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert "add" in seen


def test_jobs_that_are_added_for_ever_are_forgotten() -> None:
    """A scheduler remembers a bounded number of them."""
    scheduler = BackgroundScheduler()
    scheduler.start()
    for _ in range(1500):
        scheduler.add_job(work, "interval", hours=1)
    assert len(scheduler._whoholds_added) == 1000
    scheduler.shutdown()


def test_threads_add_jobs_at_once() -> None:
    """Nothing fails where several of them forget the oldest, and hardly more than the bound is remembered."""
    added: dict[Any, Any] = {}

    def add_many(thread: int) -> None:
        for number in range(5000):
            scheduled._remember(added, (thread, number), ())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(add_many, range(4)))  # raises what one of them raised
    finally:
        sys.setswitchinterval(interval)
    assert len(added) <= 1000


def test_every_name_is_given_back() -> None:
    """Each module that has imported a name gets it back, and the replacement looks like the original."""
    spawning.forget()
    modules = (base, pool, asyncio_executor)
    names = [(one, name) for one in modules for name in ("run_job", "run_coroutine_job") if hasattr(one, name)]
    assert len({name for _, name in names}) == 2
    before = [getattr(module, name) for module, name in names] + [Job.__init__]
    spawning.watch()
    during = [getattr(module, name) for module, name in names] + [Job.__init__]
    assert all(one is not other for one, other in zip(before, during, strict=True))
    for ours, theirs in zip(during, before, strict=True):
        assert (ours.__qualname__, ours.__module__) == (theirs.__qualname__, theirs.__module__)
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    spawning.forget()
    assert [getattr(module, name) for module, name in names] + [Job.__init__] == before
    spawning.watch()


def test_before_3_11_the_coroutine_function_has_a_module_of_its_own() -> None:
    """Each of the two modules is hooked for what it has."""
    plain, coroutine = ModuleType("apscheduler.executors.base"), ModuleType("apscheduler.executors.base_py3")
    plain.run_job = work  # type: ignore[attr-defined]
    coroutine.run_coroutine_job = work_async  # type: ignore[attr-defined]
    for module, name in ((plain, "run_job"), (coroutine, "run_coroutine_job")):
        with pytest.MonkeyPatch.context() as loaded:
            loaded.setitem(sys.modules, module.__name__, module)
            before = getattr(module, name)
            restore = scheduled.runs(module)
            assert getattr(module, name) is not before
            restore()
            assert getattr(module, name) is before


def test_what_a_scheduler_of_before_runs_keeps_its_own_line() -> None:
    """Jobs that were added before the start are not known: the scheduler's line stays."""
    spawning.forget()
    scheduler = BackgroundScheduler()
    add(scheduler, work)
    spawning.watch()
    with closing(sqlite3.connect(":memory:")):
        scheduler.start()
        wait_and_shut(scheduler)
    assert "add" not in seen
