"""Threads of our own: real ones under gevent too, and truly over once they are joined.

CPython counts the threads of the operating system when it forks, and warns. A thread that has said its last word is
still counted for some microseconds, and so is one that `pthread_join` has returned for (seen on 3.12 to 3.15).
"""

from __future__ import annotations

import _thread
import os
import sys
from time import monotonic

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # not CPython, where nothing is watched
    from queue import Empty, SimpleQueue

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TASKS = "/proc/self/task"  # of Linux: a folder for each thread the system counts
GLANCE_S = 0.0001  # between two looks at whether the thread is still counted
MOMENT_S = 0.002  # where nobody tells: what a thread that has said its last word needs to end


def _original(name: str) -> Any:
    """A function of `_thread` as it was before gevent patched it, or None where this Python has none."""
    monkey = sys.modules.get("gevent.monkey")
    now = getattr(_thread, name, None)
    return monkey.get_original("_thread", name) if monkey is not None and now is not None else now


_start_new_thread = _original("start_new_thread")
_start_joinable = _original("start_joinable_thread")  # 3.13 and later
_native_id = _original("get_native_id")
real_ident: Callable[[], int] = _original("get_ident")


class RealThread:
    """A thread of the operating system that `threading` never hears of and no interpreter's end waits for.

    `run` must not raise.
    """

    __slots__ = ("_handle", "_last_word", "_native", "_run", "ident")

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._last_word: SimpleQueue[None] = SimpleQueue()
        self._native = 0
        self._handle: Any = None
        self.ident = 0  # once it runs

    def start(self) -> None:
        """Run it. Raises RuntimeError where no thread can be: uWSGI without them, an interpreter that ends."""
        try:
            if _start_joinable is not None:
                self._handle = _start_joinable(self._begin, daemon=True)
            else:
                _start_new_thread(self._begin, ())
        except RuntimeError:
            self._last_word.put(None)
            raise

    def _begin(self) -> None:
        self.ident = real_ident()
        self._native = _native_id() if _native_id is not None else 0
        try:
            self._run()
        finally:
            self._last_word.put(None)

    def join(self, seconds: float) -> bool:
        """Wait until the operating system counts it no more, for `seconds` at most; whether it has ended."""
        until = monotonic() + seconds
        try:
            self._last_word.get(timeout=seconds)
        except Empty:
            return False
        self._last_word.put(None)  # for whoever joins it again
        if self._handle is not None:
            try:
                self._handle.join(max(until - monotonic(), GLANCE_S))
            except RuntimeError:  # of another interpreter, or the interpreter ends
                pass
        return self._uncounted(until)

    def _uncounted(self, until: float) -> bool:
        if not self._native or not of_the_system():
            if self._handle is None:
                pause(MOMENT_S)
            return True
        task = f"{TASKS}/{self._native}"
        while os.path.exists(task):  # noqa: PTH110 - pathlib is not imported
            if monotonic() > until:
                return False
            pause(GLANCE_S)
        return True


def pause(seconds: float) -> None:
    """Sleep in this very thread: `time.sleep` may be gevent's."""
    try:
        SimpleQueue[None]().get(timeout=seconds)
    except Empty:
        pass


def of_the_system() -> int:
    """How many threads the operating system counts in this process, at least 1; 0 where it does not say."""
    try:
        return len(os.listdir(TASKS))  # noqa: PTH208 - pathlib is not imported
    except OSError:
        return 0


def of_python() -> int:
    """How many threads run Python here, at least 1: the main one, and those that `_thread` has started."""
    try:
        return 1 + _thread._count()
    except AttributeError:
        return 1
