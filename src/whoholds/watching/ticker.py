"""The one small thread that ticks, the fork that must not meet it, and the end of the process.

It is stopped before a fork and goes on once the fork's call has returned; it joins nobody's threads.
"""

from __future__ import annotations

import _thread
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from whoholds.analysis.snapshot import Ending
from whoholds.hooks import exits, forks, signals
from whoholds.hooks.threads import RealThread, real_ident
from whoholds.ledger import here
from whoholds.ledger.origin import capture
from whoholds.ledger.owner import Spawn
from whoholds.watching.aside import failure
from whoholds.watching.running import attended

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # not CPython, where nothing is watched; queue's own are gevent's after its patching
    from queue import Empty, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.watching.watch import Watch

GATHER_S = 0.1  # from being woken, or from the first opening, to the look: what comes with it is then in it
WAIT_S = 1.0  # at most, for the ticking thread to stop
AT_ONCE_S = 0.25  # at most, until a look that comes at once is over; it takes some 5 ms
LONGEST_S = 3600.0  # of one wait: a queue takes no more than some 292 years

_STOP, _SOON, _NOW = range(3)  # orders


class Ticker:
    """Ticks a watch 0.1 s after it began, then every `limits.every` seconds, and earlier when woken."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.renew()

    def renew(self) -> None:
        """Forget the thread: in a forked child there is none."""
        self._orders: SimpleQueue[int] = SimpleQueue()  # its put takes no lock
        self._thread: RealThread | None = None
        self._due: float | None = None  # when the next look comes, by the monotonic clock; a fork does not put it off
        self._running: dict[int, Any] = {}  # {0: True} while the thread runs; setdefault is one C call
        self._looked: SimpleQueue[None] | None = None  # told when a look that was to come at once is over
        self._holds: list[None] = []  # one for each fork that is under way

    @property
    def began(self) -> bool:
        """Whether this process has opened something, or used what it inherited."""
        return self._due is not None

    @property
    def ticks(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and not self._holds

    def ensure(self) -> None:
        """Start the thread unless it runs. Called in the user's thread by each opening."""
        if 0 in self._running or self._running.setdefault(0, real_ident()) != real_ident():
            return
        self._running[0] = True
        if self._due is None:
            self._due = monotonic() + min(GATHER_S, self._watch.limits.every)
        self._thread = RealThread(partial(self._run, self._orders))
        try:
            self._thread.start()
        except RuntimeError:  # no threads here (uWSGI without them), or the interpreter ends
            pass

    def wake(self) -> None:
        """Tick as soon as what comes with it is there. Never blocks."""
        self._orders.put(_SOON)

    def wake_at_once(self) -> None:
        """Tick now; the first time in a process, wait for it `AT_ONCE_S` at most: the one wait in the user's thread.

        What its parent opened is used in a child, which may be ended with its next statement (`Pool.terminate`).
        """
        thread = self._thread
        if self._looked is not None or thread is None or thread.ident == real_ident():
            self._orders.put(_NOW)
            return
        self._looked = SimpleQueue()
        self._orders.put(_NOW)
        try:
            self._looked.get(timeout=AT_ONCE_S)
        except Empty:
            pass

    def stop(self) -> None:
        """Stop the thread, waiting at most `WAIT_S`; the next handle starts it again."""
        if self.hold():
            self.go_on()

    def hold(self) -> bool:
        """Stop the thread until `go_on`; whether it ran. An order to look that it has not followed is kept."""
        thread = self._thread
        if not self._running or (thread is not None and thread.ident == real_ident()):
            return False  # an output that forks: nobody can wait for himself
        self._holds.append(None)
        orders, self._orders = self._orders, SimpleQueue()
        orders.put(_STOP)
        if thread is not None:
            thread.join(WAIT_S)
        while not orders.empty():
            order = orders.get_nowait()
            if order != _STOP:
                self._orders.put(order)
        return True

    def go_on(self) -> None:
        """From now on the next handle starts the thread."""
        self._holds.pop()
        if not self._holds:
            self._thread = None
            self._running = {}

    def _run(self, orders: SimpleQueue[int]) -> None:
        at_once = False
        while True:
            wait = (self._due or 0) - monotonic()
            if wait > 0:
                try:
                    order = orders.get(timeout=min(wait, LONGEST_S))
                except Empty:
                    continue
                if order == _STOP:
                    return
                at_once = at_once or order == _NOW
                self._due = min(self._due or 0, monotonic() + (GATHER_S if order == _SOON else 0))
                continue
            try:
                self._watch.tick()
            except Exception as error:  # noqa: BLE001 - our fault: say it once, and leave the program alone
                self._watch.stand_aside("look-failed", f"a look failed: {failure(error)}", type(error))
            self._due = monotonic() + self._watch.limits.every
            if at_once and self._looked is not None:
                at_once = False
                self._looked.put(None)


# --- fork and exit: hooks that can never be taken out again stand once and ask who is there -------------------------

_after: list[Callable[[], None]] = []


def attend(watch: Watch) -> Ticker:
    """Tick `watch` from now on, through forks, until the process ends or `leave` is called."""
    hook()
    ticker = Ticker(watch)
    watch.ledger.on_opened = ticker.ensure
    watch.ledger.wake = ticker.wake
    watch.ledger.wake_at_once = ticker.wake_at_once
    if watch.limits.sigterm and not signals.look_at_sigterm(exits.ends_suddenly):
        watch.ledger.on_opened = _until_the_main_thread_opens(ticker, watch)
    attended.append((watch, ticker))
    return ticker


def _until_the_main_thread_opens(ticker: Ticker, watch: Watch) -> Callable[[], None]:
    def ensure() -> None:
        ticker.ensure()
        if signals.look_at_sigterm(exits.ends_suddenly):
            watch.ledger.on_opened = ticker.ensure

    return ensure


def leave(watch: Watch) -> None:
    """Tick it no more."""
    for entry in [entry for entry in attended if entry[0] is watch]:
        entry[1].stop()
        attended.remove(entry)


def hook() -> None:
    """Stand at fork, at the exit and where processes leave without one."""
    exits.watch()
    exits.at_exit(last_look)
    exits.at_exit(signals.after_last_look)
    exits.at_main_end(main_ends)
    exits.at_sudden_end(sudden_end)
    forks.watch(_before_fork, _in_child, _in_parent, _fork_returned, _ticking_threads)


def after_last_look(call: Callable[[], None]) -> None:
    """Call this once the last look of the process is over: an exporter's shutdown."""
    _after.append(call)


def main_ends() -> None:
    """The main thread calls it at its end: the threads that hold something and still run outlive it."""
    for watch, _ in attended:
        for handle in watch.ledger.peek():
            owner = handle.owner
            thread = (owner.thread or owner) if owner is not None else None
            if thread is not None and thread.kind == "thread" and not thread.outlived_main and not thread.gone():
                thread.outlived_main = True


def last_look() -> None:
    """The end of the process: after its own atexit handlers where we came before them."""
    for watch, ticker in list(attended):
        ticker.stop()
        try:
            watch.stop(Ending("process"))
        except Exception as error:  # noqa: BLE001 - our fault must not change how the program ends
            watch.stand_aside("look-failed", f"the last look failed: {failure(error)}")
        leave(watch)
    while _after:
        _after.pop(0)()


END_S = 5.0  # at most, for the last look of a process that ends in the middle of something


def sudden_end() -> bool:
    """The process ends now, whatever runs in it: by `os._exit` or a signal. Whoever opened nothing is not kept up.

    The look has a thread of its own: whoever ends like this may hold any lock that an output needs. False where this
    very thread is in the middle of a look.
    """
    if not any(ticker.began for _, ticker in attended):
        return True
    if any(watch.ledger.quiet_ident == _thread.get_ident() for watch, _ in attended):
        return False
    look = RealThread(last_look)
    try:
        look.start()
    except RuntimeError:  # the interpreter ends: no thread can be started, and none is there to hold a lock
        last_look()
    else:
        look.join(END_S)
    return True


class _Fork:
    """A fork that is under way."""

    def __init__(self, frame: FrameType | None) -> None:
        self.spawn = Spawn(capture(frame, here.FRAMES), here.current_owner(), here.current_context())
        self.stopped = [ticker for _, ticker in attended if ticker.hold()]
        self.mask = signals.held_through_fork()


_forking: dict[int, _Fork] = {}  # by the thread that forks


def _ticking_threads() -> int:
    return sum(ticker.ticks for _, ticker in attended)


def _before_fork(frame: FrameType | None) -> None:
    if attended:
        _forking[real_ident()] = _Fork(frame)


def _in_child() -> None:
    fork = _forking.get(real_ident())
    _forking.clear()
    if fork is None:
        return
    here.began_in_child(fork.spawn)
    for watch, ticker in attended:
        ticker.renew()
        watch.in_child()
    signals.let_through(fork.mask)


def _in_parent() -> None:
    fork = _forking.get(real_ident())
    if fork is not None:
        signals.let_through(fork.mask)
        for ticker in fork.stopped:
            ticker.go_on()  # whoever forks in a way that nobody sees return is watched again with its next handle


def _fork_returned() -> None:
    fork = _forking.pop(real_ident(), None)
    for ticker in fork.stopped if fork is not None else ():
        ticker.ensure()
