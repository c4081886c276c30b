"""Who runs here, and where that thread, task or job was started.

Its hooks stand in `Thread.start`, `create_task`, the work items of executors and `BaseProcess`; they run in the
user's thread, take no lock, create no Thread object and keep what they learn on the Thread or Task itself.
"""

from __future__ import annotations

import _thread
import sys
from _weakref import ref
from time import monotonic

from whoholds.hooks import imports as waiting
from whoholds.hooks.seams import replace, stands_for, stays_ours
from whoholds.ledger.handle import Owner, Spawn
from whoholds.ledger.origin import capture, capture_until

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType
    from typing import Any

    from whoholds.ledger.handle import Handle

FRAMES = 8  # kept of each spawning call
_SPAWN = "_whoholds_spawn"  # on a Thread or Task: the Spawn that started it, or what makes one
_OWNER = "_whoholds_owner"  # on a Thread or Task: its Owner, once it has opened something
_JOB = "_whoholds_job"  # on a Thread: the Owner of the job that its executor runs now

# Set around `create_task`, because an eager task runs before that returns. One per thread; a greenlet that
# switches there would see another's: the task it then names was spawned by the same thread all the same.
_starting: dict[int, Spawn] = {}

_restore: list[Callable[[], None]] = []


def no_context() -> Any:
    """Trace context where nobody traces."""
    return None


def nothing_at_closing(handle: Handle) -> None:
    """What a closing keeps of the trace where nobody traces."""
    del handle


def no_scope(owner: Owner | None) -> Any:
    """Scope where nobody judges."""
    del owner


# `tracing` and `startup` put their own here
current_context: Callable[[], Any] = no_context
at_closing: Callable[[Handle], None] = nothing_at_closing
current_scope: Callable[[Owner | None], Any] = no_scope


def current_owner() -> Owner | None:
    """The owner that runs now: the asyncio task, else the executor's job, else the greenlet or thread.

    Called in the user's thread, about 0.5 µs once the owner is known.
    """
    ident = _thread.get_ident()
    modules = sys.modules
    if "asyncio.tasks" in modules:
        task = current_task()
        if task is not None:
            owner: Owner | None = getattr(task, _OWNER, None)
            return owner or _new_owner("task", task.get_name(), task, ident, _starting.get(ident))
    threading = modules.get("threading")
    thread = threading._active.get(ident) if threading is not None else None
    if thread is None:
        return _greenlet_owner(ident) or _bare_owner(ident)
    if type(thread).__name__ == "_DummyThread":  # a greenlet that has logged something has one
        return _greenlet_owner(ident) or _thread_owner(thread, ident)
    return getattr(thread, _JOB, None) or getattr(thread, _OWNER, None) or _thread_owner(thread, ident)


def current_task() -> Any:
    """The asyncio task that runs in this thread, or None; imports nothing."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return None
    try:
        loop = tasks.events._get_running_loop()
        return tasks.current_task(loop) if loop is not None else None
    except AttributeError:  # asyncio is being imported just now
        return None


def _thread_object(ident: int) -> Any:
    """The Thread of this ident; never made up, as `current_thread` would."""
    threading = sys.modules.get("threading")
    return threading._active.get(ident) if threading is not None else None


def _thread_owner(thread: Any, ident: int) -> Owner:
    owner: Owner | None = getattr(thread, _OWNER, None)
    return owner or _new_owner("thread", thread.name, thread, ident, None)


def _new_owner(kind: str, name: str, of: Any, ident: int, spawn: Spawn | None) -> Owner:
    started = getattr(of, _SPAWN, None)
    if type(started) is tuple:
        started = Spawn(*started)
    owner = Owner(kind, name, ref(of), ident, started or spawn)
    try:
        setattr(of, _OWNER, owner)
    except AttributeError:  # a task class of somebody's with slots: its owner is made anew each time
        pass
    return owner


_MANY = 1000
_bare: dict[int, Owner] = {}  # by ident, for threads without a Thread object and for greenlets; swept below


def _greenlet_owner(ident: int) -> Owner | None:
    """The greenlet that runs here, or None where it is the thread's own."""
    greenlet = sys.modules.get("greenlet")
    current = greenlet.getcurrent() if greenlet is not None else None
    if current is None or current.parent is None:
        return None
    found: Owner | None = getattr(current, _OWNER, None)
    name = getattr(current, "name", None) or f"greenlet {id(current):#x}"
    return found or _new_owner("greenlet", name, current, ident, _greenlet_spawn(current))


def _bare_owner(ident: int) -> Owner:
    """The owner where `threading` knows no thread: one that C code started."""
    main = "threading" not in sys.modules
    owner = _bare.get(ident)
    if owner is None or owner.gone():
        if len(_bare) > _MANY:
            _bare.clear()
        owner = _bare[ident] = Owner("thread", "MainThread" if main else f"thread {ident}", None, ident, None)
    return owner


def _greenlet_spawn(greenlet: Any) -> Spawn | None:
    """From gevent's own record of the spawning stack, which has lines and no offsets."""
    frame = getattr(greenlet, "spawning_stack", None)
    pairs: list[Any] = []
    while frame is not None and len(pairs) < 2 * FRAMES:
        pairs += (frame.f_code, -frame.f_lineno)
        frame = frame.f_back
    return Spawn(tuple(pairs), None) if pairs else None


def spawning(frame: FrameType | None) -> Spawn:
    """A Spawn of the call whose frame is given, by whoever runs now. About 1 µs."""
    return Spawn(*_noted(frame))


def _noted(frame: FrameType | None) -> tuple[Any, ...]:
    """What makes it: most threads and tasks never open anything, and need none."""
    owner = current_owner()
    return capture(frame, FRAMES), owner, current_context(), current_scope(owner)


# --- what is stood in -------------------------------------------------------------------------------------------


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
    _restore.append(_start(threading.Thread, _noted))


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
                task._whoholds_spawn = (origin, owner, current_context(), current_scope(owner))
            except Exception:  # noqa: BLE001, S110 - our fault must stay ours
                pass
            return task
        ident = get_ident()
        before = _starting.get(ident)
        try:
            spawn = _starting[ident] = spawning(sys._getframe(1))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
            return original(self, coro, **kwargs)
        try:
            task = original(self, coro, **kwargs)
        finally:
            if before is None:
                _starting.pop(ident, None)
            else:
                _starting[ident] = before
        try:
            setattr(task, _SPAWN, spawn)
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
            setattr(self, _SPAWN, spawning(sys._getframe(1)))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)

    def run_job(self: Any, *args: Any, **kwargs: Any) -> Any:
        thread = _thread_object(_thread.get_ident())
        spawn = getattr(self, _SPAWN, None)
        if thread is None or spawn is None:
            return run(self, *args, **kwargs)
        if spawn.width is None:
            spawn.width = _workers(thread)
        worker = _thread_owner(thread, _thread.get_ident())
        worker.is_worker = True
        job = Owner("job", thread.name, None, worker.ident, spawn, worker)
        before = getattr(thread, _JOB, None)
        setattr(thread, _JOB, job)
        try:
            return run(self, *args, **kwargs)
        finally:
            job.job_over_at = monotonic()
            setattr(thread, _JOB, before)

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


def began_in_child(spawn: Spawn | None) -> None:
    """Begin anew in a process that was started by that call: its main thread is nobody's of the parent's any more."""
    _bare.clear()
    _starting.clear()
    thread = _thread_object(_thread.get_ident())
    if thread is not None:
        setattr(thread, _OWNER, None)
        setattr(thread, _JOB, None)
        setattr(thread, _SPAWN, spawn)


def _anyio_workers(module: ModuleType) -> None:
    """Anyio hands work to its threads by a queue: the owner there is the awaiting task."""
    backend = module.AsyncIOBackend
    wrapped = backend.__dict__["run_sync_in_worker_thread"]
    original = wrapped.__func__

    async def run_sync_in_worker_thread(cls: Any, func: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        owner = current_owner()

        def work(*inner: Any) -> Any:
            thread = _thread_object(_thread.get_ident())
            setattr(thread, _JOB, owner)
            try:
                return func(*inner)
            finally:
                setattr(thread, _JOB, None)

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
