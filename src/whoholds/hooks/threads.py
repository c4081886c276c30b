"""Threads of our own: threads of the operating system even under gevent, and truly ended once they are joined.

CPython counts the operating system's threads when it forks, and warns. A thread whose function has returned is still
counted for some microseconds, and so is one for which `pthread_join` has returned (seen on 3.12 to 3.15).
"""

from __future__ import annotations

import _thread
import os
from time import monotonic

from whoholds.ledger.cpython import original

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from queue import SimpleQueue
    from typing import Any, TypeVar

    Item = TypeVar("Item")
else:
    import _signal  # of which `signal` makes enumerations, and takes its time

TASKS = "/proc/self/task"  # on Linux: a folder for each thread that the system counts
GLANCE_S = 0.0001  # seconds between two checks whether the thread is still counted
MOMENT_S = 0.002  # seconds that a thread needs to end after its function has returned, where the system cannot be asked


_allocate_lock = original("_thread", "allocate_lock")
_start_new_thread = original("_thread", "start_new_thread")
_start_joinable = original("_thread", "start_joinable_thread")  # 3.13 and later
_allows_daemons: Callable[[], bool] = getattr(_thread, "daemon_threads_allowed", bool(1).__bool__)  # 3.12 and later
_native_id = original("_thread", "get_native_id")
real_ident: Callable[[], int] = original("_thread", "get_ident")


class Bell:
    """Rung by one thread and awaited by another, for a limited time.

    A lock, because `get` of a queue with a timeout may never end: up to CPython 3.12 it waits for ever if a signal
    interrupts it and the timeout is over before it waits again.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = _allocate_lock()
        self._lock.acquire()

    def ring(self) -> None:
        """End the wait of whoever waits, now or later. It may be rung again."""
        try:
            self._lock.release()
        except RuntimeError:  # it was rung before
            pass

    def wait(self, seconds: float) -> bool:
        """Wait until the bell was rung, at most `seconds`. Returns whether it was."""
        if not self._lock.acquire(timeout=max(seconds, 0)):
            return False
        self.ring()  # for the next who waits
        return True


def next_of(queue: SimpleQueue[Item], seconds: float) -> Item:
    """The next item of a queue, for a thread of our own. Raises Empty after `seconds`.

    No signal interrupts the wait, for the reason that `Bell` gives: another thread of the process gets the signal.
    """
    if _no_signals is None:
        return queue.get(timeout=seconds)
    before = _no_signals()
    try:
        return queue.get(timeout=seconds)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def _blocked() -> set[int]:
    """Block all signals for this thread. Returns those that were blocked before."""
    before: set[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    return before


_no_signals = _blocked if hasattr(_signal, "pthread_sigmask") else None  # Windows interrupts no wait


class RealThread:
    """A thread of the operating system, unknown to `threading`, for which the end of the interpreter does not wait.

    `run` must not raise. With a `name`, the system shows the thread under it, where the system is Linux.
    """

    __slots__ = ("_ended", "_handle", "_name", "_native", "_run", "ident")

    def __init__(self, run: Callable[[], None], name: str = "") -> None:
        self._run = run
        self._name = name
        self._ended = Bell()
        self._native = 0
        self._handle: Any = None
        self.ident = 0  # 0 until it runs

    def start(self) -> None:
        """Start the thread. Raises RuntimeError where no thread can start.

        That is under uWSGI without threads, while the interpreter ends, and in one that waits for all of its threads.
        """
        try:
            if _start_joinable is not None:
                self._handle = _start_joinable(self._begin, daemon=True)
            elif _allows_daemons():
                _start_new_thread(self._begin, ())
            else:
                raise RuntimeError("daemon threads are disabled in this interpreter")  # noqa: TRY301 - as 3.13 raises
        except RuntimeError:
            self._ended.ring()
            raise

    def _begin(self) -> None:
        self.ident = real_ident()
        self._native = _native_id() if _native_id is not None else 0
        if self._name:
            self._show_name()
        try:
            self._run()
        finally:
            self._ended.ring()

    def _show_name(self) -> None:
        try:
            file = os.open(f"{TASKS}/{self._native}/comm", os.O_WRONLY)
        except OSError:  # not Linux, or /proc is not to be written
            return
        try:
            os.write(file, self._name.encode())
        except OSError:
            pass
        finally:
            os.close(file)

    def join(self, seconds: float) -> bool:
        """Wait until the system no longer counts the thread, at most `seconds`. Returns whether it has ended."""
        until = monotonic() + seconds
        if not self._ended.wait(seconds):
            return False
        if self._handle is not None:
            try:
                self._handle.join(max(until - monotonic(), GLANCE_S))
            except RuntimeError:  # a thread of another interpreter, or the interpreter is ending
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
    """Sleep in this very thread for `seconds`: `time.sleep` may be gevent's."""
    Bell().wait(seconds)


def of_the_system() -> int:
    """How many threads the operating system counts in this process, at least 1; 0 where it does not say."""
    try:
        return len(os.listdir(TASKS))  # noqa: PTH208 - pathlib is not imported
    except OSError:
        return 0


def of_python() -> int:
    """How many threads run Python in this process, at least 1: the main thread and those that `_thread` has started."""
    try:
        return 1 + _thread._count()
    except AttributeError:
        return 1
