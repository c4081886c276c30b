"""Names of CPython and its standard library that are nobody's public interface: each a function, with a fallback.

Seen: 3.10.13, 3.11.7, 3.12.1, 3.13.0 (and 3.13 and 3.14 without the GIL by their source). A test asks each on every
Python. Called in the user's thread: no lock, nothing that blocks, nothing imported.
"""

from __future__ import annotations

import _operator
import sys
from _weakref import ref
from itertools import compress

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, ModuleType
    from typing import Any

# Until 3.12 the collector begins in the middle of an allocation, later only between two instructions.
_COLLECTS_IN_ALLOCATIONS = sys.version_info < (3, 12)
_MEMORY_OF_ITS_OWN = sys.version_info >= (3, 12)  # an interpreter's
_call: Callable[[Callable[[], Any]], Any] = getattr(_operator, "call", None)  # type: ignore[assignment]  # since 3.11


def original(module: str, name: str) -> Any:
    """The function `module.name` as CPython made it, or None if there is none; the module is there at the start.

    gevent has put its own there, or a debugger: pydevd's, of which debugpy and PyCharm are made, tells `threading` of
    each thread that is started, and keeps the one before under another name.
    """
    now = getattr(sys.modules[module], name, None)
    if now is None or type(now) is type(len):
        return now
    monkey = sys.modules.get("gevent.monkey")
    try:
        before = monkey.get_original(module, name) if monkey is not None else now
    except (AttributeError, KeyError):  # a version of gevent that differs
        before = now
    kept = getattr(sys.modules[module], f"_original_{name}", before)
    return kept if type(kept) is type(len) else before


def real_ident() -> Callable[[], int]:
    """The C function that gives the ident of the thread that runs, never a greenlet's."""
    found: Callable[[], int] = original("_thread", "get_ident")
    return found


def active_threads() -> dict[int, Any] | None:
    """`threading._active`, ident → Thread, the dict itself; None where threading is not imported, or has none."""
    active = getattr(sys.modules.get("threading"), "_active", None)
    return active if type(active) is dict else None


def thread_of(ident: int) -> Any:
    """The Thread of this ident, or None; none is made up, as `threading.current_thread` would."""
    active = active_threads()
    return active.get(ident) if active is not None else None


def is_running(thread: Any, ident: int) -> bool:
    """Whether a Thread that began under this ident has not ended.

    gevent gives the main thread the ident of a greenlet when it patches, and each forked child another main thread.
    """
    active = active_threads() or {}
    return (
        active.get(ident) is thread
        or type(thread).__name__ == "_MainThread"
        or any(one is thread for one in list(active.values()))
    )


def running_task(tasks: ModuleType) -> Callable[[Any], Any]:
    """The C function that gives the task which an event loop runs now, or None; `tasks` is `asyncio.tasks`.

    `current_task` of 3.11 and before is a Python function around it.
    """
    running = getattr(tasks, "_current_tasks", None) if sys.version_info < (3, 12) else None
    return running.get if type(running) is dict else tasks.current_task


def current_task() -> Any:
    """The asyncio task that runs in this thread, or None."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return None
    try:
        loop = tasks.events._get_running_loop()
        return tasks.current_task(loop) if loop is not None else None
    except AttributeError:  # asyncio is being imported just now
        return None


def task_awaiting(future: Any) -> Any:
    """The asyncio task that awaits `future` and nothing in between, or None. Any thread may ask."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return None
    waiting = [task for task in tasks.all_tasks(future.get_loop()) if getattr(task, "_fut_waiter", None) is future]
    return waiting[0] if waiting else None


def name_of_thread(thread: Any) -> str:
    """The name of a Thread, also of one whose class answers otherwise or not at all: none of its code runs."""
    name = own(thread).get("_name")
    return name if type(name) is str else f"thread {id(thread):#x}"


def name_of_task(task: Any) -> str:
    """The name of an asyncio task, as asyncio keeps it: no code of its class runs."""
    base = getattr(sys.modules.get("asyncio.tasks"), "Task", None)
    known = isinstance(base, type) and issubclass(type(task), base)
    return str(base.get_name(task)) if known and hasattr(base, "get_name") else f"task {id(task):#x}"  # type: ignore[union-attr]


# Past whatever a class of the program's says of its attributes; an AttributeError where there is none, or no room.
attribute = object.__getattribute__
set_attribute = object.__setattr__


def own(thing: Any) -> dict[str, Any]:
    """The attributes of an object, empty where it has none; no `__getattr__` or `__getattribute__` runs."""
    try:
        found = attribute(thing, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def kept(thing: Any, name: str) -> Any:
    """An attribute of an object, or None; no `__getattr__` or `__getattribute__` runs. C's tasks have no `__dict__`."""
    try:
        return attribute(thing, name)
    except AttributeError:
        return None


def put(thing: Any, name: str, value: Any) -> None:
    """Set an attribute past a class that refuses new ones; nothing where there is no room for one."""
    try:
        set_attribute(thing, name, value)
    except (AttributeError, TypeError):
        pass


def executor_width(thread: Any) -> int | None:
    """How many threads the executor of this worker may have, None where that is not to be seen.

    The worker was given a weak reference to its executor as the first argument of its function.
    """
    arguments = own(thread).get("_args")
    if type(arguments) is not tuple or not arguments or type(arguments[0]) is not ref:
        return None
    width = own(arguments[0]()).get("_max_workers")
    return width if type(width) is int else None


def handle_run() -> Any:
    """The code of the frame from which an event loop calls back: what stands below it asked for nothing. Or None."""
    handle = getattr(sys.modules.get("asyncio.events"), "Handle", None)
    return getattr(getattr(handle, "_run", None), "__code__", None)


_number: list[int] = []  # of this interpreter, once somebody has asked


def interpreter() -> int:
    """The number of the interpreter that runs here: 0 for the main one, and for each before 3.12.

    Not to be called in the user's thread: in another interpreter than the main one, the first call imports a module.
    Several interpreters of one process share its id and its environment, and each has a watch of its own.
    """
    if not _number:
        number = 0
        if not _is_the_main_one():
            try:
                import _interpreters as interpreters  # type: ignore[import-not-found]  # only a second one has need of it
            except ImportError:  # 3.12
                import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]
            current: Any = interpreters.get_current()
            number = int(current[0] if type(current) is tuple else current)
        _number.append(number)
    return _number[0]


def has_gil() -> bool:
    """Whether one thread runs Python at a time: what another does can be looked at without a risk."""
    return bool(getattr(sys, "_is_gil_enabled", _yes)())


def shares_frames() -> bool:
    """Whether the threads' frames may be asked for: false where this process has or may have several interpreters.

    `sys._current_frames` goes through the threads of all. Since 3.12 each may have memory and a GIL of its own, and a
    frame's object that one has made for another corrupts the memory of both once it is freed.
    """
    return next(_if_alone(_yes), False)


def _if_alone(function: Callable[[], Any]) -> Iterator[Any]:
    """Give what `function` returns; nothing where this process has or may have several interpreters.

    `next` of it is one call in C: nobody makes another interpreter between the question and the call of `function`.
    3.12's module counts no interpreters, but whoever has imported it has made one; since 3.14 asyncio imports its
    successor.
    """
    if not _MEMORY_OF_ITS_OWN:
        return iter((function(),))
    if "_xxsubinterpreters" in sys.modules or not _is_the_main_one():
        return iter(())
    makers = sys.modules.get("_interpreters")
    if makers is None:
        return map(_call, (function,))
    return map(_call, compress((function,), map(_operator.eq, map(len, map(_call, (makers.list_all,))), (1,))))


def _is_the_main_one() -> bool:
    return bool(getattr(sys.modules.get("_thread"), "_is_main_interpreter", _yes)())


def may_look_into(task: Any) -> bool:
    """Whether the frames of a suspended task may be read here.

    Without the GIL only where its loop runs in this thread: another could resume it in the middle.
    """
    if has_gil():
        return True
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None or not issubclass(type(task), tasks.Task):
        return False
    return tasks.Task.get_loop(task) is tasks.events._get_running_loop()


def _yes() -> bool:
    return True


class _Alone:
    """What nothing refers to but a local variable: the measure of what a count of references has too much."""

    __slots__ = ("__weakref__",)


# Since 3.11 the statement cache of a sqlite3 connection refers to the connection, twice: it is a cycle from its making.
_OF_ITS_CACHE = 2 if sys.version_info >= (3, 11) else 0


def only_garbage(sqlite3_connection: ref[Any]) -> bool:
    """Whether nothing refers to that connection but its own statement cache: it only waits for the collector.

    False where it cannot be told, as without the GIL.
    """
    if not has_gil():
        return False
    alone = _Alone()
    return _references(sqlite3_connection) - _references(ref(alone)) + 1 == _OF_ITS_CACHE


def _references(weak: ref[Any]) -> int:
    """How many references there are, those of this call included; 0 where it is freed."""
    thing = weak()
    return sys.getrefcount(thing) if thing is not None else 0


def only_in(things: set[Any]) -> list[Any]:
    """Which of `things` nothing refers to but this set; none where references are not counted."""
    count = getattr(sys, "getrefcount", None)
    if count is None:
        return []
    (usual,) = [count(thing) for thing in [_Alone()]]
    return [thing for thing in list(things) if count(thing) == usual + 1]


def current_frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by ident; empty where there may be several interpreters (`shares_frames`).

    Where there is no GIL look at the keys only (`has_gil`).

    `sys._current_frames` allocates while it holds the lock over all threads. Until 3.12 such an allocation may start
    the collector, and if that frees a thread-local or starts a thread it waits for this very lock, for ever. So the
    collector is off for that moment, and on again whatever comes.
    """
    frames: Callable[[], dict[int, FrameType]] = getattr(sys, "_current_frames", dict)
    gc = sys.modules.get("gc")
    if not _COLLECTS_IN_ALLOCATIONS or gc is None or not gc.isenabled():
        return next(_if_alone(frames), {})
    try:
        try:
            gc.disable()
            return frames()
        finally:
            gc.enable()
    finally:
        gc.enable()  # a signal's handler may have raised before the first


def before_threads_are_joined(threading: Any, call: Callable[[], None]) -> None:
    """Let `call` run in the main thread once that has ended, before it waits for the other threads. For ever."""
    try:
        threading._register_atexit(call)
    except (AttributeError, RuntimeError):  # a Python without it; the interpreter ends already
        pass


def main_is_over() -> bool:
    """Whether the main thread has ended, and executors' workers with it or soon; other threads may still run."""
    return bool(getattr(sys.modules.get("threading"), "_SHUTTING_DOWN", False))
