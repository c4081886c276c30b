"""Hooks for every way in which a process ends: its exit, multiprocessing's and Celery's children, `os._exit`, a signal.

The signal is one that the process sends to itself. This module decides only when the last look comes; the ticker takes
the look. It must import next to nothing, for autostart needs it early.
"""

from __future__ import annotations

import atexit
import os
import sys

from whoholds.hooks import imports as waiting

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_registered: list[bool] = []
_heard: list[bool] = []  # [True] once the hook for the end of the main thread is set
_main_ends: list[Callable[[], None]] = []
_looks: list[Callable[[], None]] = []  # empty until a watch has run: no watched library was imported before
_sudden: list[Callable[[], bool]] = []
_restore: list[Callable[[], None]] = []
_give_back: list[Callable[[], None]] = []
_is_child: list[bool] = []  # [True] in a child of multiprocessing or billiard, which its parent may end by SIGTERM


def watch() -> None:
    """Install the hooks for every way out. A second call changes nothing.

    The earlier the first call, the later the last look: atexit calls functions in reverse order of their registration.
    """
    if not _registered:
        _registered.append(True)
        atexit.register(_last_look)
    if not _restore:
        _restore.append(_nothing)
        for name, stand in _STANDS.items():
            waiting.when_imported(name, stand)


def forget() -> None:
    """Give every name back. The function registered with atexit stays, and calls no look from then on."""
    for stand in _STANDS.values():
        waiting.forget(stand)
    while _restore:
        _restore.pop()()
    while _give_back:
        _give_back.pop()()


def _nothing() -> None:
    return None


def at_exit(look: Callable[[], None]) -> None:
    """Call `look` wherever this process, or a child of it, ends. Adding the same function twice adds it once."""
    if look not in _looks:
        _looks.append(look)


def at_sudden_end(look: Callable[[], bool]) -> None:
    """Call `look` in the thread that suddenly ends this process. Adding the same function twice adds it once.

    `look` returns False where that thread is already in the middle of a look, which another thread must then wait for.
    """
    if look not in _sudden:
        _sudden.append(look)
    if not _give_back:
        from whoholds.hooks import signals
        from whoholds.hooks.stand_ins import StandIn, stand

        system: Any = sys.modules[os.name]  # posix or nt, the module whose functions a program has by name
        leave = system._exit

        def _exit(*args: Any, **kwargs: Any) -> Any:
            if all(isinstance(status, int) for status in (*args, *kwargs.values())):  # otherwise it raises
                _stand_by()
                ends_suddenly()
            return leave(*args, **kwargs)

        places = {leave: StandIn(leave, _exit), **signals.to_itself(system, ends_suddenly)}
        _give_back.append(stand(places))


def ends_suddenly() -> bool:
    """Take the last look of this process, which is about to end without its exit handlers.

    Returns False where this thread is in the middle of a look.
    """
    return all(look() for look in _sudden)


def at_main_end(call: Callable[[], None]) -> None:
    """Call `call` when the main thread has ended and others may still run. Adding it twice adds it once."""
    if call not in _main_ends:
        _main_ends.append(call)


def _main_over() -> None:
    for call in _main_ends:
        call()


def _threads(threading: ModuleType) -> None:
    """Hooks the moment before the interpreter joins the program's threads, when the main thread has ended.

    `concurrent.futures` uses the same hook.
    """
    if _heard:  # the hook cannot be removed
        return
    _heard.append(True)
    from whoholds.ledger import cpython  # a program that imports no threading has no need of it

    cpython.before_threads_are_joined(threading, _main_over)


def _last_look() -> None:
    if sys.is_finalizing():  # an interpreter that ends with the main one: a wait would end the process, with code 0
        return
    _stand_by()
    for look in _looks:
        look()


def _stand_by() -> None:
    """From now on a SIGTERM of the parent ends this process after its last look, if it is a child."""
    if _is_child and _sudden:
        from whoholds.hooks import signals

        signals.stand_by(ends_suddenly)


def _children(process: ModuleType) -> None:
    """Hooks the beginning of the children of multiprocessing and billiard.

    The last look of a child comes where its process ends, after everything by which the program can close there: a
    spawned child runs its `atexit` handlers, a forked one calls os._exit, from 3.13 on after handlers of its own.
    """
    from whoholds.hooks.seams import replace, stands_for  # as above
    from whoholds.ledger import here

    original = process.BaseProcess._bootstrap

    def _bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        _is_child.append(True)
        given = getattr(self, "_whoholds_spawn", None)
        if given is not None and process.parent_process() is None:
            here.began_in_child(given)
        return original(self, *args, **kwargs)

    _restore.append(replace(process.BaseProcess, "_bootstrap", stands_for(_bootstrap, original)))


def _celerys_children(pool: ModuleType) -> None:
    """Hooks the worker processes of billiard, Celery's multiprocessing.

    The parent ends such a worker as soon as that says that it exits, so the look comes after the function that Celery
    has it call there (`worker_process_shutdown`) and before os._exit.
    """
    from whoholds.hooks.seams import replace, stands_for  # as above

    original = pool.Worker._do_exit

    def _do_exit(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.on_exit = _and_look(self.on_exit)
        return original(self, *args, **kwargs)

    _restore.append(replace(pool.Worker, "_do_exit", stands_for(_do_exit, original)))


def _and_look(on_exit: Callable[..., None] | None) -> Callable[..., None]:
    def call(*args: Any, **kwargs: Any) -> None:
        try:
            if on_exit is not None:
                on_exit(*args, **kwargs)
        finally:
            _last_look()

    return call


_STANDS: dict[str, Callable[[ModuleType], None]] = {
    "threading": _threads,
    "multiprocessing.process": _children,
    "billiard.process": _children,
    "billiard.pool": _celerys_children,
}
