"""Who runs here, in which trace, and what started it: answered in the user's thread, without a lock or a new object."""

from __future__ import annotations

import _thread
import sys
from _contextvars import ContextVar  # contextvars is one more file at interpreter start
from _weakref import ref

from whoholds.ledger import scope as scopes
from whoholds.ledger.cpython import attribute, handle_run, kept, name_of_task, name_of_thread, own, put, thread_of
from whoholds.ledger.faults import is_the_programs
from whoholds.ledger.origin import capture, capture_callback, capture_handing
from whoholds.ledger.owner import Owner, Spawn

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.origin import Origin


FRAMES = 8  # kept of each spawning call
# Tasks of asyncio's own class have these two read and set by name, which takes half of the time.
SPAWN = "_whoholds_spawn"  # on a Thread or Task: the Spawn that started it, or what makes one
OWNER = "_whoholds_owner"  # on a Thread or Task: its Owner, once it has opened something
PLACE = "_whoholds_place"  # on a Thread: its Place, once it has opened something or works at a job

# Set around `create_task`, because an eager task runs before that returns. One per thread; a greenlet that
# switches there would see another's: the task it then names was spawned by the same thread all the same.
starting: dict[int, Spawn] = {}


def no_context() -> Any:
    """Trace context where nobody traces."""
    return None


def nothing_at_closing(handle: Handle, now: float | None = None, *, lived: bool = True) -> None:
    """What a closing keeps of the trace where nobody traces."""
    del handle, now, lived


# `hooks.tracing` puts its own here
current_context: Callable[[], Any] = no_context
at_closing: Callable[..., None] = nothing_at_closing


class Place:
    """What a thread works at: a Job, or the Owner for whom it works, mostly its own. Changed in that thread alone."""

    __slots__ = ("work",)

    def __init__(self) -> None:
        self.work: Job | Owner | None = None


# The Place of each thread, so that its Thread need not be found. Not asked in a greenlet, which would find that of its
# thread. It must be nothing but a Place, for it lives a moment longer than the Thread's attributes.
_here = _thread._local()


_tasks: Any = None  # asyncio's module of that name, once it is there
_plain: Any = None  # its class of tasks: no code of the program's runs where an attribute of those is read


def current_owner() -> Owner | None:  # noqa: C901 - one sequence: each opening and loan asks
    """The owner that runs now: the asyncio task or callback, else the executor's job, else the greenlet or thread.

    Called in the user's thread, 0.15 µs once the owner is known. Nothing of a Thread's or task's class runs: the
    program's own kinds may refuse attributes, or raise what they like.
    """
    global _tasks, _plain
    modules = sys.modules
    tasks = _tasks or modules.get("asyncio.tasks")
    if tasks is not None:
        try:  # as `cpython.current_task`, written out
            loop = tasks.events._get_running_loop()
            task = None if loop is None else tasks.current_task(loop)
            if _tasks is None:
                _plain, _tasks = tasks.Task, tasks
        except AttributeError:  # asyncio is being imported just now
            loop = task = None
        if task is not None:
            owner: Owner | None
            try:
                owner = task._whoholds_owner if type(task) is _plain else attribute(task, OWNER)
            except AttributeError:
                owner = None
            if owner is not None:
                return owner
            ident = _thread.get_ident()
            return _new_owner("task", name_of_task(task), task, ident, starting.get(ident))
        if loop is not None:
            handover = handed_over.get()
            owner = _owner_of_callback(handover) if handover is not None else None
            if owner is not None:
                return owner
    try:
        work = _here.place.work
        if type(work) is Owner and ("greenlet" not in modules or modules["greenlet"].getcurrent().parent is None):
            return work
    except AttributeError:  # this thread has not asked before; greenlet is being imported just now
        pass
    return _found_owner(_thread.get_ident(), modules)


def _found_owner(ident: int, modules: dict[str, Any]) -> Owner | None:
    """`current_owner` where no task runs, and what the thread works at is a Job or not known yet."""
    threading = modules.get("threading")
    thread = threading._active.get(ident) if threading is not None else None
    if thread is None:
        return _greenlet_owner(ident) or _bare_owner(ident)
    if type(thread).__name__ == "_DummyThread":  # a greenlet that has logged something has one
        return _greenlet_owner(ident) or thread_owner(thread, ident)
    place = place_of(thread)
    if place.work is None:
        place.work = thread_owner(thread, ident)
    if not _in_greenlet() and kept(thread, PLACE) is place:
        _here.place = place
    work = place.work
    return work.owner or _job_owner(work) if type(work) is Job else work  # type: ignore[return-value]  # an Owner


def _in_greenlet() -> bool:
    """Whether this is a greenlet other than the thread's own."""
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def place_of(thread: Any) -> Place:
    """The Place of a Thread, made at the first question; anew each time where the Thread takes no attribute."""
    place: Place | None = kept(thread, PLACE)
    if place is None:
        place = Place()
        put(thread, PLACE, place)
    return place


class Job:
    """What a worker thread of an executor works at. Its Owner is made once somebody asks: most jobs open nothing."""

    __slots__ = ("owner", "started", "worker")

    def __init__(self, started: tuple[Any, ...], worker: Owner) -> None:
        self.started = started  # `noted` of the call that submitted it
        self.worker = worker
        self.owner: Owner | None = None


def _job_owner(job: Job) -> Owner:
    worker = job.worker
    spawn = Spawn(*job.started)
    spawn.width = worker.width
    job.owner = owner = Owner("job", worker.name, None, worker.ident, spawn, worker)
    return owner


class Handover:
    """A call that handed a callback to an event loop, mostly to that of another thread.

    Its Owner, a job of the loop's thread, is made once the callback starts or opens something.
    """

    __slots__ = ("code", "owner", "started")

    def __init__(self, started: tuple[Any, ...], code: CodeType | None) -> None:
        self.started = started  # as `noted`
        self.code = code  # of the callback; None where that is no function
        self.owner: Owner | None = None


def handing(frame: FrameType | None, run: CodeType, callback: CodeType | None) -> Handover:
    """The call whose frame is given, by whoever runs now; `run` is the loop's frame, as for `capture_until`. 2 µs.

    The program's own line may be far out: a test client has 20 frames of its own and its libraries'.
    """
    owner = current_owner()
    scope = scopes.current(owner) if scopes.any_yet else None
    return Handover((capture_handing(frame, FRAMES, run), owner, current_context(), scope), callback)


# Of the callback that a loop calls here, and of all that came of it. Travels with the context, as scopes do.
handed_over: ContextVar[Handover | None] = ContextVar("whoholds_handed_over", default=None)


def _owner_of_callback(handover: Handover) -> Owner | None:
    """The owner that runs here, in a thread whose loop calls back, where no task runs.

    None in a second thread: something that the callback started has taken its context into a loop of its own.
    """
    ident, owner = _thread.get_ident(), handover.owner
    if owner is None:
        thread = thread_of(ident)
        worker = thread_owner(thread, ident) if thread is not None else _bare_owner(ident)
        handover.owner = owner = Owner("job", worker.name, None, ident, Spawn(*handover.started), worker)
    return owner if owner.ident == ident else None


def handed(frame: FrameType | None, owner: Owner) -> tuple[Origin, Owner | None]:
    """The stack of a call that the job `owner` makes, and who made the call.

    A callback that was handed to an event loop goes on with the call that handed it over, by whoever did that: mostly
    it is a library's, such as that of `run_coroutine_threadsafe`.
    """
    handover = handed_over.get()
    if handover is None or handover.owner is not owner:
        return capture(frame, FRAMES), owner
    origin, by, *_ = handover.started
    return capture_callback(frame, FRAMES, handle_run(), handover.code) + origin, by


def thread_owner(thread: Any, ident: int) -> Owner:
    """The Owner of a Thread, made at the first question."""
    owner: Owner | None = own(thread).get(OWNER)
    started = _began if type(thread).__name__ == "_MainThread" else None
    return owner or _new_owner("thread", name_of_thread(thread), thread, ident, started)


def task_owner(task: Any) -> Owner:
    """The Owner of an asyncio task that need not run here, made at the first question."""
    owner: Owner | None = kept(task, OWNER)
    return owner or _new_owner("task", name_of_task(task), task, 0, None)


def _new_owner(kind: str, name: str, of: Any, ident: int, spawn: Spawn | None) -> Owner:
    started = kept(of, SPAWN)
    if type(started) is tuple:
        started = Spawn(*started)
    owner = Owner(kind, name, ref(of), ident, started or spawn)
    owner.key = id(of)
    if kind == "task":
        thread = thread_of(ident)
        owner.thread_name = name_of_thread(thread) if thread is not None else ""
    put(of, OWNER, owner)  # on a task class of somebody's with slots: its owner is made anew each time
    return owner


_MANY = 1000
_bare: dict[int, Owner] = {}  # by ident, for threads without a Thread object and for greenlets; swept below


def _greenlet_owner(ident: int) -> Owner | None:
    """The greenlet that runs here, or None where it is the thread's own."""
    greenlet = sys.modules.get("greenlet")
    current = greenlet.getcurrent() if greenlet is not None else None
    if current is None or current.parent is None:
        return None
    found: Owner | None = kept(current, OWNER)
    return found or _new_owner("greenlet", _name_of_greenlet(current), current, ident, _greenlet_spawn(current))


def _name_of_greenlet(greenlet: Any) -> str:
    """Gevent's own have names; a class of the program's may raise."""
    try:
        name = getattr(greenlet, "name", None)
    except Exception as error:
        if is_the_programs(error):
            raise
        name = None
    return name if type(name) is str else f"greenlet {id(greenlet):#x}"


class _Life:
    """Goes with its thread, in which alone it is."""

    __slots__ = ("__weakref__",)


def _bare_owner(ident: int) -> Owner:
    """The owner where `threading` knows no thread: one that C code started."""
    main = "threading" not in sys.modules
    owner = _bare.get(ident)
    if owner is None or owner.life is None or owner.life() is None:  # it is of an earlier thread with the same ident
        if len(_bare) > _MANY:
            _bare.clear()
        owner = Owner("thread", "MainThread" if main else f"thread {ident}", None, ident, None)
        _here.life = life = _Life()
        owner.life = ref(life)
        _bare[ident] = owner
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
    return Spawn(*noted(frame))


def noted(frame: FrameType | None) -> tuple[Any, ...]:
    """What makes it: most threads and tasks never open anything, and need none."""
    owner = current_owner()
    scope = scopes.current(owner) if scopes.any_yet else None
    if owner is not None and owner.kind == "job":
        return (*handed(frame, owner), current_context(), scope)
    return capture(frame, FRAMES), owner, current_context(), scope


_began: Spawn | None = None  # the call that started this process, where it is a child


def began_in_child(spawn: Spawn | None) -> None:
    """Begin anew in a process that was started by that call: its main thread is nobody's of the parent's any more."""
    global _began  # noqa: PLW0603 - once in a process
    _began = spawn
    _bare.clear()
    starting.clear()
    vars(_here).clear()  # gevent gives the child another main thread
    if handed_over.get() is not None:
        handed_over.set(None)
    thread = thread_of(_thread.get_ident())
    if thread is not None:
        put(thread, OWNER, None)
        place_of(thread).work = None
        put(thread, SPAWN, spawn)


class OpenedFor:
    """For whom the next connection of this thread or task is opened, where a worker opens it for somebody else."""

    __slots__ = ("origin", "owner", "pool")

    def __init__(self, owner: Owner | None, origin: Origin, pool: Pool | None = None) -> None:
        self.owner = owner  # None: the worker is the owner
        self.origin = origin
        self.pool = pool


OPENED_ABOVE = OpenedFor(None, ())  # the handle is another driver's, further out: none is made for what is opened here
# Set by a driver around a worker's connect, and good for one opening: what a callback opens after that is its own.
opened_for: ContextVar[OpenedFor | None] = ContextVar("whoholds_opened_for", default=None)
