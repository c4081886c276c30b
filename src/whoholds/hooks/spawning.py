"""Hooks for `Thread.start`, `create_task`, `call_soon_threadsafe`, executors' work items and `BaseProcess`.

They note where each thread, task, callback, job and process was started.

They run in the user's thread, must take no lock, and keep what they note on the Thread or Task itself.

The file is long because it is the one list of the ways in which an owner is started.
"""

from __future__ import annotations

import _thread
import sys
from _contextvars import copy_context  # contextvars is one more file at interpreter start
from time import monotonic

from whoholds.hooks import imports as waiting
from whoholds.hooks.seams import replace, stands_for, stays_ours
from whoholds.ledger import here
from whoholds.ledger import scope as scopes
from whoholds.ledger.cpython import (
    active_threads,
    attribute,
    executor_width,
    handle_run,
    running_task,
    set_attribute,
    thread_of,
)
from whoholds.ledger.here import (
    FRAMES,
    OWNER,
    SPAWN,
    Job,
    Place,
    current_owner,
    handed_over,
    handing,
    no_context,
    noted,
    place_of,
    spawning,
    starting,
    thread_owner,
)
from whoholds.ledger.origin import capture_until

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from types import CodeType, FrameType, ModuleType
    from typing import Any, TypeAlias

    from whoholds.ledger.owner import Owner

    # (the Place of a Thread, what it works at or for whom, what it worked at before)
    _Work: TypeAlias = tuple[Place, Job | Owner | None, Any]


_FUNCTION = type(handing)  # types is one more file at interpreter start
_METHOD = type(handing.__get__(0))
_restore: list[Callable[[], None]] = []


def watch() -> None:
    """Hook each way of starting an owner when its module is imported. A second call changes nothing."""
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
    original = starts.start  # type: ignore[attr-defined]  # Thread and BaseProcess have it

    def start(self: Any) -> None:
        try:
            noted = note(sys._getframe(1))
            try:
                set_attribute(self, SPAWN, noted)
            except (AttributeError, TypeError):  # a class with slots alone
                pass
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
        original(self)

    return replace(starts, "start", stands_for(start, original))


def _tasks(base_events: ModuleType) -> None:
    _restore.append(_create_task(base_events.BaseEventLoop))
    _restore.append(_call_soon_threadsafe(base_events.BaseEventLoop))


def _uvloop_tasks(uvloop: ModuleType) -> None:
    _restore.append(_create_task(uvloop.Loop, in_c=True))
    _restore.append(_call_soon_threadsafe(uvloop.Loop))


def _create_task(  # noqa: C901, PLR0915 - one sequence: each task passes here, and a helper costs a call more
    loop_class: type, *, in_c: bool = False
) -> Callable[[], None]:
    """Hooks `loop_class.create_task`; a loop that is written in C shows neither its task factory nor its thread."""
    # with lazy imports, a module need not be in `sys.modules` although others import it
    from asyncio import events, tasks

    original = loop_class.create_task  # type: ignore[attr-defined]  # an event loop has it
    get_ident = _thread.get_ident
    run, task_of = handle_run(), running_task(tasks)
    plain: Any = tasks.Task

    def create_task(self: Any, coro: Any, **kwargs: Any) -> Any:  # noqa: C901, PLR0912, PLR0915 - likewise
        try:
            later = (in_c or self._task_factory is None) and "eager_start" not in kwargs
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
            later = False
        if later:  # the task runs later, so its spawn can be noted after the call
            task = original(self, coro, **kwargs) if kwargs else original(self, coro)
            try:  # as `noted`; what `current_owner` would look for is at hand: the loop, and mostly its task
                owner = None
                # whether the loop runs here, without `_get_running_loop` where possible: until 3.11 a system call
                if events._get_running_loop() is self if in_c else self._thread_id == get_ident():
                    running = task_of(self)
                    try:
                        owner = running._whoholds_owner if type(running) is plain else attribute(running, OWNER)
                    except AttributeError:  # no task runs, or it has no owner yet
                        pass
                noted = None
                if owner is None:
                    owner = current_owner()
                    if owner is not None and owner.kind == "job":  # a callback that was handed to this loop
                        noted = here.noted(sys._getframe(1))
                if noted is None:
                    ask = here.current_context
                    noted = (
                        capture_until(sys._getframe(1), FRAMES, run),
                        owner,
                        None if ask is no_context else ask(),
                        scopes.current(owner) if scopes.any_yet else None,
                    )
                if type(task) is plain:
                    task._whoholds_spawn = noted
                else:
                    try:
                        set_attribute(task, SPAWN, noted)
                    except (AttributeError, TypeError):  # a class with slots alone
                        pass
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            return task
        # the task may run before `original` returns, so its spawn must be noted before the call
        ident, before, spawn = get_ident(), None, None
        try:
            try:
                try:
                    before = starting.get(ident)
                    spawn = starting[ident] = spawning(sys._getframe(1))
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
                task = original(self, coro, **kwargs)
            finally:
                if before is None:
                    starting.pop(ident, None)
                else:
                    starting[ident] = before
        finally:  # again: a signal's handler may have raised in the inner finally
            if before is None:
                starting.pop(ident, None)
            else:
                starting[ident] = before
        try:
            set_attribute(task, SPAWN, spawn)
        except (AttributeError, TypeError):  # a class with slots alone
            pass
        return task

    return replace(loop_class, "create_task", stands_for(create_task, original))


def _call_soon_threadsafe(loop_class: type) -> Callable[[], None]:
    """Hooks what `run_coroutine_threadsafe`, anyio's portals and asgiref call to have something run by another thread.

    The callback gets a copy of the context, as ever, in which stands who handed it over. A `context` that the program
    gives is the program's and stays as it is.
    """
    from asyncio.futures import Future  # as above

    original = loop_class.call_soon_threadsafe  # type: ignore[attr-defined]  # an event loop has it
    run = handle_run()

    def call_soon_threadsafe(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            # what gets a future sets it and starts nothing: the end of each job of an executor would pay for that
            if kwargs.get("context") is None and not (len(args) > 1 and type(args[1]) is Future):
                kwargs["context"] = _of_handing(sys._getframe(1), run, args[0] if args else None)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
        return original(self, *args, **kwargs)

    return replace(loop_class, "call_soon_threadsafe", stands_for(call_soon_threadsafe, original))


def _of_handing(frame: FrameType, run: CodeType, callback: Any) -> Context:
    """A copy of the context, in which stands that the call whose frame is given hands `callback` to an event loop."""
    function = callback.__func__ if type(callback) is _METHOD else callback
    context = copy_context()
    context.run(handed_over.set, handing(frame, run, function.__code__ if type(function) is _FUNCTION else None))
    return context


def _jobs(module: ModuleType) -> None:
    """Hooks the work items of `concurrent.futures.thread` and of asgiref's executor that runs in the current thread."""
    item = module._WorkItem
    init, run = item.__init__, item.run
    active = active_threads() or {}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes a method of the class
        init(self, *args, **kwargs)
        try:
            set_attribute(self, SPAWN, noted(sys._getframe(1)))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, init)

    def run_job(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun, reached = None, False
        try:
            try:
                try:
                    begun = _begun(active, attribute(self, "__dict__").get(SPAWN))
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, run)
                reached = True
                return run(self, *args, **kwargs)
            finally:
                if begun is not None:
                    try:
                        _over(begun)
                        begun = None
                    except Exception as error:  # noqa: BLE001 - our fault must stay ours
                        stays_ours(error, run)
        finally:  # again: a signal's handler may have raised in the inner finally
            if begun is not None:
                try:
                    _over(begun)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, run)
            if not reached:  # it raised in our part, before the job began: the job's future must raise it
                _failed(self, sys.exc_info()[1])

    _restore.append(replace(item, "__init__", stands_for(__init__, init)))
    _restore.append(replace(item, "run", stands_for(run_job, run)))


def _begun(active: dict[int, Any], started: Any) -> _Work | None:
    """Notes that this thread now works at the job that `started` tells of. None if the thread or that is unknown.

    The result is for `_over`.
    """
    ident = _thread.get_ident()
    thread = active.get(ident)
    if thread is None or started is None:
        return None
    worker = thread_owner(thread, ident)
    if worker.width == 0:
        worker.width = executor_width(thread)
        worker.is_worker = True
    return _works_at(thread, Job(started, worker))


def _failed(item: Any, error: BaseException | None) -> None:
    """Make the work item's future raise `error`, as it does where the job itself raises."""
    future = attribute(item, "future")  # in C: nobody above would keep a fault
    if error is not None and not future.done():
        future.set_exception(error)


def _works_at(thread: Any, work: Job | Owner | None) -> _Work:
    """Notes that a Thread works at a job, or for an owner. The result is for `_over`, which restores what was there."""
    place = place_of(thread)
    before = place.work
    place.work = work
    return place, work, before


def _over(begun: _Work) -> None:
    """The thread no longer works at what `begun` has. A second call changes nothing."""
    place, work, before = begun
    if place.work is work:
        place.work = before
    if type(work) is Job and work.owner is not None:
        work.owner.job_over_at = monotonic()


def _processes(process: ModuleType) -> None:
    """Hooks `BaseProcess.start`: a child that is not forked gets its spawn pickled with its Process.

    A forked child gets it from the fork.
    """
    _restore.append(_start(process.BaseProcess, spawning))


def _anyio_workers(module: ModuleType) -> None:
    """Hooks anyio's worker threads, which get work by a queue: the owner there is the awaiting task."""
    backend = module.AsyncIOBackend
    wrapped = backend.__dict__["run_sync_in_worker_thread"]
    original = wrapped.__func__

    async def run_sync_in_worker_thread(cls: Any, func: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        work = func
        try:
            work = _for_owner(current_owner(), func)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
        return await original(cls, work, args, *rest, **kwargs)

    ours: Any = classmethod(stands_for(run_sync_in_worker_thread, original))
    _restore.append(replace(backend, "run_sync_in_worker_thread", ours))
    if "run_sync_soon" in backend.__dict__:  # since 4.16
        _restore.append(_run_sync_soon(backend))


def _run_sync_soon(backend: Any) -> Callable[[], None]:
    """Hooks what `BlockingPortal.call_async` calls: it runs the function in a context that it has copied before."""
    original = backend.__dict__["run_sync_soon"].__func__
    run = handle_run()

    def run_sync_soon(cls: Any, func: Any, *rest: Any, **kwargs: Any) -> Any:
        try:
            context = _of_handing(sys._getframe(1), run, func)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
            return original(cls, func, *rest, **kwargs)
        return context.run(original, cls, func, *rest, **kwargs)

    ours: Any = classmethod(stands_for(run_sync_soon, original))
    return replace(backend, "run_sync_soon", ours)


def _for_owner(owner: Owner | None, func: Any) -> Any:
    """`func`, wrapped so that while it runs its thread works for `owner`."""

    def work(*inner: Any) -> Any:
        begun = None
        try:
            try:
                try:
                    thread = thread_of(_thread.get_ident())
                    begun = _works_at(thread, _inside(thread, owner)) if thread is not None else None
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, func)
                return func(*inner)
            finally:
                if begun is not None:
                    try:
                        _over(begun)
                        begun = None
                    except Exception as error:  # noqa: BLE001 - our fault must stay ours
                        stays_ours(error, func)
        finally:  # again: a signal's handler may have raised in the inner finally
            if begun is not None:
                try:
                    _over(begun)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, func)

    return work


def _inside(thread: Any, owner: Owner | None) -> Owner | None:
    """The owner of what this worker thread opens while the task `owner` awaits the thread."""
    worker = thread_owner(thread, _thread.get_ident())
    worker.is_worker = True
    return owner.inside(worker) if owner is not None else None


def _scheduled_jobs(module: ModuleType) -> None:
    from whoholds.hooks import scheduled

    _restore.append(scheduled.jobs(module))


def _runs_of_scheduled_jobs(module: ModuleType) -> None:
    from whoholds.hooks import scheduled

    _restore.append(scheduled.runs(module))


_STANDS: dict[str, Callable[[ModuleType], None]] = {
    "opentelemetry.trace": _traces,
    "threading": _threads,
    "asyncio.base_events": _tasks,
    "uvloop": _uvloop_tasks,
    "concurrent.futures.thread": _jobs,
    "asgiref.current_thread_executor": _jobs,
    "multiprocessing.process": _processes,
    "anyio._backends._asyncio": _anyio_workers,
    "apscheduler.job": _scheduled_jobs,
    "apscheduler.executors.base": _runs_of_scheduled_jobs,
    "apscheduler.executors.base_py3": _runs_of_scheduled_jobs,
}
