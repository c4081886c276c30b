"""How a process leaves: its exit, children of multiprocessing and Celery, `os._exit`, a signal to itself.

It decides only when the last look comes; the ticker takes it. It imports next to nothing: autostart needs it early.
"""

from __future__ import annotations

import atexit
import os
import sys

from whoholds.hooks import imports as waiting
from whoholds.hooks.seams import replace, stands_for
from whoholds.ledger import cpython, here

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_registered: list[bool] = []
_heard: list[bool] = []  # once: the end of the main thread is heard of
_main_ends: list[Callable[[], None]] = []
_looks: list[Callable[[], None]] = []  # none until a watch has run: nothing that we watch was ever imported
_sudden: list[Callable[[], bool]] = []
_restore: list[Callable[[], None]] = []
_give_back: list[Callable[[], None]] = []


def watch() -> None:
    """Stand at every way out. Twice is once; the earlier the first time, the later our look at the exit comes."""
    if not _registered:
        _registered.append(True)
        atexit.register(_last_look)
    if not _restore:
        _restore.append(_nothing)
        for name, stand in _STANDS.items():
            waiting.when_imported(name, stand)


def forget() -> None:
    """Give every name back; what is registered for the exit finds nobody to look."""
    for stand in _STANDS.values():
        waiting.forget(stand)
    while _restore:
        _restore.pop()()
    while _give_back:
        _give_back.pop()()


def _nothing() -> None:
    return None


def at_exit(look: Callable[[], None]) -> None:
    """Call `look` wherever this process, or a child of it, leaves. Twice is once."""
    if look not in _looks:
        _looks.append(look)


def at_sudden_end(look: Callable[[], bool]) -> None:
    """Call `look` in the thread that ends this process in the middle of something. Twice is once.

    It gives False where that thread is in the middle of a look: another has to wait for it.
    """
    if look not in _sudden:
        _sudden.append(look)
    if not _give_back:
        from whoholds.hooks import signals
        from whoholds.hooks.stand_ins import StandIn, stand

        system: Any = sys.modules[os.name]  # posix or nt: what a program has by name comes from there
        leave = system._exit

        def _exit(*args: Any, **kwargs: Any) -> Any:
            if all(isinstance(status, int) for status in (*args, *kwargs.values())):  # else it raises
                ends_suddenly()
            return leave(*args, **kwargs)

        places = {leave: StandIn(leave, lambda: _exit), **signals.to_itself(system, ends_suddenly)}
        _give_back.append(stand(places))


def ends_suddenly() -> bool:
    """Look, as far as anything was opened in this process, which is about to end without its exit.

    False where this thread is in the middle of a look.
    """
    return all(look() for look in _sudden)


def at_main_end(call: Callable[[], None]) -> None:
    """Call this where the main thread has ended and other threads may still run. Twice is once."""
    if call not in _main_ends:
        _main_ends.append(call)


def _main_over() -> None:
    for call in _main_ends:
        call()


def _threads(threading: ModuleType) -> None:
    """Before the interpreter joins the program's threads, main has ended; `concurrent.futures` hears of it this way."""
    if _heard:  # it cannot be taken back
        return
    _heard.append(True)
    cpython.before_threads_are_joined(threading, _main_over)


def _last_look() -> None:
    for look in _looks:
        look()


def _children(process: ModuleType) -> None:
    """Those of multiprocessing: look when their threads have ended, before os._exit; finalizers come too early."""
    original = process.BaseProcess._bootstrap

    def _bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = getattr(self, "_whoholds_spawn", None)
        if given is not None and process.parent_process() is None:
            here.began_in_child(given)
        try:
            return original(self, *args, **kwargs)
        finally:
            _last_look_of_child()

    _restore.append(replace(process.BaseProcess, "_bootstrap", stands_for(_bootstrap, original)))


def _last_look_of_child() -> None:
    """Its parent may end it by SIGTERM meanwhile."""
    if _sudden:
        from whoholds.hooks import signals

        signals.stand_by(ends_suddenly)
    _last_look()


def _celerys_children(pool: ModuleType) -> None:
    """Billiard's workers call os._exit themselves."""
    original = pool.Worker._do_exit

    def _do_exit(self: Any, *args: Any, **kwargs: Any) -> Any:
        _last_look()
        return original(self, *args, **kwargs)

    _restore.append(replace(pool.Worker, "_do_exit", stands_for(_do_exit, original)))


_STANDS: dict[str, Callable[[ModuleType], None]] = {
    "threading": _threads,
    "multiprocessing.process": _children,
    "billiard.process": _children,
    "billiard.pool": _celerys_children,
}
