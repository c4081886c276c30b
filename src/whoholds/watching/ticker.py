"""The one small thread that ticks, the fork that must not meet it, and the end of the process.

It installs no signal handler, joins nobody's threads, and is started by the next handle, never by a fork.
"""

from __future__ import annotations

import _thread
import os
import sys
from typing import TYPE_CHECKING, Any

from whoholds.analysis.snapshot import Ending
from whoholds.hooks import exits as leaving
from whoholds.ledger import here
from whoholds.ledger.origin import capture
from whoholds.ledger.owner import Spawn
from whoholds.watching.running import attended

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # not CPython, where nothing is watched; queue's own are gevent's after its patching
    from queue import Empty, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.watching.watch import Watch

GATHER_S = 0.1  # from being woken to the look: what comes with it, a burst of refusals, is then one
WAIT_S = 1.0  # at most, for the ticking thread to stop

# Entries before gevent may have patched them: this is a real thread with a real queue, or it would block the hub.
_monkey = sys.modules.get("gevent.monkey")
_start_new_thread = _monkey.get_original("_thread", "start_new_thread") if _monkey else _thread.start_new_thread
_get_ident = _monkey.get_original("_thread", "get_ident") if _monkey else _thread.get_ident


class Ticker:
    """Ticks a watch every `every` seconds, and at once when woken."""

    def __init__(self, watch: Watch, every: float) -> None:
        self._watch = watch
        self._every = every
        self.renew()

    def renew(self) -> None:
        """Forget the thread: in a forked child there is none."""
        self._orders: SimpleQueue[bool] = SimpleQueue()  # True: tick now; False: stop. Its put takes no lock
        self._stopped: SimpleQueue[None] = SimpleQueue()
        self._running: dict[int, bool] = {}  # {0: True} while the thread runs; setdefault is one C call

    def ensure(self) -> None:
        """Start the thread unless it runs. Called in the user's thread by each opening."""
        if 0 in self._running or self._running.setdefault(0, _get_ident()) != _get_ident():  # type: ignore[arg-type]
            return
        self._running[0] = True
        try:
            _start_new_thread(self._run, ())
        except RuntimeError:  # no threads here (uWSGI without them), or the interpreter ends
            self._stopped.put(None)

    def wake(self) -> None:
        """Tick as soon as may be. Never blocks."""
        self._orders.put(True)

    def stop(self) -> None:
        """Stop the thread, waiting at most `WAIT_S`; the next handle starts it again."""
        if not self._running:
            return
        self._orders.put(False)
        try:
            self._stopped.get(timeout=WAIT_S)
        except Empty:
            pass
        self.renew()

    def _run(self) -> None:
        orders, stopped = self._orders, self._stopped
        try:
            while True:
                try:
                    if not orders.get(timeout=self._every) or not orders.get(timeout=GATHER_S):
                        return
                except Empty:
                    pass
                self._watch.tick()
        except Exception as error:  # noqa: BLE001 - our fault: say it, and leave the program alone
            self._watch.fail(f"stopped looking: {type(error).__name__}: {error}")
        finally:
            stopped.put(None)


# --- fork and exit: hooks that can never be taken out again stand once and ask who is there -------------------------

_after: list[Callable[[], None]] = []
_hooked: list[bool] = []


def attend(watch: Watch) -> Ticker:
    """Tick `watch` from now on, through forks, until the process ends or `leave` is called."""
    hook()
    ticker = Ticker(watch, watch.limits.every)
    watch.ledger.on_opened = ticker.ensure
    watch.ledger.wake = ticker.wake
    attended.append((watch, ticker))
    return ticker


def leave(watch: Watch) -> None:
    """Tick it no more."""
    for entry in [entry for entry in attended if entry[0] is watch]:
        entry[1].stop()
        attended.remove(entry)


def hook() -> None:
    """Stand at fork, at the exit and where children leave."""
    leaving.watch()
    leaving.at_exit(last_look)
    if not _hooked:
        _hooked.append(True)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_child=_in_child)


def after_last_look(call: Callable[[], None]) -> None:
    """Call this once the last look of the process is over: an exporter's shutdown."""
    _after.append(call)


def last_look() -> None:
    """The end of the process: after its own atexit handlers where we came before them."""
    for watch, ticker in attended:
        ticker.stop()
        try:
            watch.stop(Ending("process"))
        except Exception as error:  # noqa: BLE001 - our fault must not change how the program ends
            watch.fail(f"the last look failed: {type(error).__name__}: {error}")
        leave(watch)
    while _after:
        _after.pop(0)()


_forking: list[Any] = []


def _before_fork() -> None:
    if not attended:
        return
    for _, ticker in attended:
        ticker.stop()
    _forking[:] = [Spawn(capture(sys._getframe(1), here.FRAMES), here.current_owner(), here.current_context())]


def _in_child() -> None:
    if not attended:
        return
    here.began_in_child(_forking.pop() if _forking else None)
    for watch, ticker in attended:
        ticker.renew()
        watch.in_child()
