"""Hooks in `Thread.start`, `create_task`, the work items of executors and `BaseProcess`: where each was started.

They run in the user's thread, take no lock, and keep what they learn on the Thread or Task itself.
"""

from __future__ import annotations

import _thread
import sys
from time import monotonic

from whoholds.hooks import imports as waiting
from whoholds.hooks.seams import replace, stands_for, stays_ours
from whoholds.ledger import here
from whoholds.ledger.here import (
    FRAMES,
    JOB,
    SPAWN,
    current_owner,
    no_context,
    noted,
    spawning,
    starting,
    thread_object,
    thread_owner,
)
from whoholds.ledger.origin import capture_until
from whoholds.ledger.owner import Owner
from whoholds.ledger.scope import current as current_scope

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType
    from typing import Any


_restore: list[Callable[[], None]] = []


def watch() -> None:
    """Stand in each way of starting something, as its module gets imported. Twice is once."""
    if _restore:
        return
    _restore.append(no_context)
    for name, stand in _STANDS.items():
        waiting.when_imported(name, stand)


def forget() -> None:
    """Give every name back."""
    for stand in _STANDS.values():
        waiting.forget(stand)
    while _restore:
        _restore.pop()()


def _traces(trace: ModuleType) -> None:
    from whoholds.hooks import tracing

    _restore.append(tracing.install(trace))


def _threads(threading: ModuleType) -> None:
    _restore.append(_start(threading.Thread, noted))


def _start(starts: type, note: Callable[[FrameType], Any]) -> Callable[[], None]:
    original = starts.start  # type: ignore[attr-defined]  # a Thread or a Process has it

    def start(self: Any) -> None:
        try:
            self._whoholds_spawn = note(sys._getframe(1))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        original(self)

    return replace(starts, "start", stands_for(start, original))


def _tasks(base_events: ModuleType) -> None:
    _restore.append(_create_task(base_events.BaseEventLoop))


def _uvloop_tasks(uvloop: ModuleType) -> None:
    _restore.append(_create_task(uvloop.Loop, shows_factory=False))


def _create_task(loop_class: type, *, shows_factory: bool = True) -> Callable[[], None]:
    original = loop_class.create_task  # type: ignore[attr-defined]  # an event loop has it
    get_ident = _thread.get_ident
    loop = sys.modules["asyncio.events"].Handle._run.__code__

    def create_task(self: Any, coro: Any, **kwargs: Any) -> Any:
        if (not shows_factory or self._task_factory is None) and "eager_start" not in kwargs:
            # it runs later: nothing has to be there before
            task = original(self, coro, **kwargs) if kwargs else original(self, coro)
            try:
                owner = current_owner()
                origin = capture_until(sys._getframe(1), FRAMES, loop)
                task._whoholds_spawn = (origin, owner, here.current_context(), current_scope(owner))
            except Exception:  # noqa: BLE001, S110 - our fault must stay ours
                pass
            return task
        ident = get_ident()
        before = starting.get(ident)
        try:
            spawn = starting[ident] = spawning(sys._getframe(1))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
            return original(self, coro, **kwargs)
        try:
            task = original(self, coro, **kwargs)
        finally:
            if before is None:
                starting.pop(ident, None)
            else:
                starting[ident] = before
        try:
            setattr(task, SPAWN, spawn)
        except AttributeError:  # a task factory's own kind
            pass
        return task

    return replace(loop_class, "create_task", stands_for(create_task, original))


def _jobs(module: ModuleType) -> None:
    """`concurrent.futures.thread`, and asgiref's executor that runs in the current thread."""
    item = module._WorkItem
    init, run = item.__init__, item.run

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
        init(self, *args, **kwargs)
        try:
            setattr(self, SPAWN, spawning(sys._getframe(1)))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)

    def run_job(self: Any, *args: Any, **kwargs: Any) -> Any:
        thread = thread_object(_thread.get_ident())
        spawn = getattr(self, SPAWN, None)
        if thread is None or spawn is None:
            return run(self, *args, **kwargs)
        if spawn.width is None:
            spawn.width = _workers(thread)
        worker = thread_owner(thread, _thread.get_ident())
        worker.is_worker = True
        job = Owner("job", thread.name, None, worker.ident, spawn, worker)
        before = getattr(thread, JOB, None)
        setattr(thread, JOB, job)
        try:
            return run(self, *args, **kwargs)
        finally:
            job.job_over_at = monotonic()
            setattr(thread, JOB, before)

    _restore.append(replace(item, "__init__", stands_for(__init__, init)))
    _restore.append(replace(item, "run", stands_for(run_job, run)))


def _workers(thread: Any) -> int | None:
    """How many threads the executor of this worker may have: the worker was given a weak reference to it."""
    try:
        width: int = thread._args[0]()._max_workers
    except (AttributeError, IndexError, TypeError):
        return None
    return width


def _processes(process: ModuleType) -> None:
    """A forked child has its spawn from the fork (`forked`); any other gets it pickled with its Process."""
    _restore.append(_start(process.BaseProcess, spawning))


def _anyio_workers(module: ModuleType) -> None:
    """Anyio hands work to its threads by a queue: the owner there is the awaiting task."""
    backend = module.AsyncIOBackend
    wrapped = backend.__dict__["run_sync_in_worker_thread"]
    original = wrapped.__func__

    async def run_sync_in_worker_thread(cls: Any, func: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        owner = current_owner()

        def work(*inner: Any) -> Any:
            ident = _thread.get_ident()
            thread = thread_object(ident)
            if thread is None or owner is None:
                return func(*inner)
            worker = thread_owner(thread, ident)
            worker.is_worker = True
            part = owner.inside(worker)
            setattr(thread, JOB, part)
            try:
                return func(*inner)
            finally:
                part.job_over_at = monotonic()
                setattr(thread, JOB, None)

        return await original(cls, work, args, *rest, **kwargs)

    _restore.append(replace(backend, "run_sync_in_worker_thread", classmethod(run_sync_in_worker_thread)))


_STANDS: dict[str, Callable[[ModuleType], None]] = {
    "opentelemetry.trace": _traces,
    "threading": _threads,
    "asyncio.base_events": _tasks,
    "uvloop": _uvloop_tasks,
    "concurrent.futures.thread": _jobs,
    "asgiref.current_thread_executor": _jobs,
    "multiprocessing.process": _processes,
    "anyio._backends._asyncio": _anyio_workers,
}
