"""The one small thread that ticks a watch, and what happens to it at a fork and at the end of the process.

The thread is stopped before a fork and goes on once the call of fork has returned. It must not wait for threads of the
program.
"""

from __future__ import annotations

import _thread
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from whoholds.analysis.snapshot import Ending
from whoholds.hooks import exits, forks, signals
from whoholds.hooks.threads import RealThread, pause, real_ident
from whoholds.ledger import here
from whoholds.ledger.cpython import interpreter
from whoholds.ledger.origin import capture
from whoholds.ledger.owner import Spawn
from whoholds.watching.answering import answering
from whoholds.watching.aside import failure
from whoholds.watching.running import attended, current

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # not CPython, where nothing is watched; after gevent's patching, `queue` has gevent's classes
    from queue import Empty, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.watching.watch import Watch

GATHER_S = 0.1  # from a wake, or from the first opening, to the look, so that the look includes what follows at once
WAIT_S = 1.0  # longest wait for the ticking thread to stop
AT_ONCE_S = 0.25  # longest wait for the end of an immediate look, which takes some 5 ms
PAUSE_S = 0.00005  # in the middle of a long look: a thread that waits for the GIL gets it
NAME = "whoholds"  # of the ticking thread, as `top -H` and `ps -T` show it: so `whoholds top` knows who is watched
LONGEST_S = 3600.0  # longest single wait: a queue takes no more than some 292 years

_STOP, _SOON, _NOW = range(3)  # orders to the ticking thread


class Ticker:
    """Ticks a watch `GATHER_S` after the first opening, `rest_s` seconds after each look, and earlier when woken."""

    def __init__(self, watch: Watch, answer: Callable[[], None] | None = None) -> None:
        """`answer` is called after each look, and answers those who ask from outside; None if nobody may."""
        self._watch = watch
        self._answer = answer
        self.renew()

    def renew(self) -> None:
        """Forget the thread, which does not exist in a forked child."""
        self._orders: SimpleQueue[int] = SimpleQueue()  # `put` takes no lock
        self._thread: RealThread | None = None
        self._due: float | None = None  # monotonic time of the next look, which a fork does not put off
        self._running: dict[int, Any] = {}  # {0: True} while the thread runs; setdefault is one C call
        self._looked: SimpleQueue[None] | None = None  # gets an item at the end of an immediate look
        self._holds: list[None] = []  # one item for each fork that is under way

    @property
    def began(self) -> bool:
        """True if this process has opened a handle, or has used one that it inherited."""
        return self._due is not None

    @property
    def ticks(self) -> bool:
        """True if the ticking thread runs."""
        return self._thread is not None and not self._holds

    def ensure(self) -> None:
        """Start the ticking thread unless it runs. Each opening calls this in the user's thread."""
        if 0 in self._running or self._running.setdefault(0, real_ident()) != real_ident():
            return
        self._running[0] = True
        if self._due is None:
            self._due = monotonic() + min(GATHER_S, self._watch.limits.every)
        self._thread = RealThread(partial(self._run, self._orders), NAME)
        try:
            self._thread.start()
        except RuntimeError:  # there can be no threads (as in uWSGI without threads), or the interpreter ends
            pass

    def wake(self) -> None:
        """Order a look in `GATHER_S` at most. Called in the user's thread; never blocks."""
        self._orders.put(_SOON)

    def wake_at_once(self) -> None:
        """Order a look now. The first call in a process waits for the look, for `AT_ONCE_S` at most.

        A child calls this in the user's thread when it uses a connection of its parent: it may be ended at its next
        statement (`Pool.terminate`). This is the only wait in the user's thread.
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
        """Stop the thread, waiting at most `WAIT_S`. The next opening starts it again."""
        if self.hold():
            self.go_on()

    def hold(self) -> bool:
        """Stop the thread until `go_on`. True if it ran. An order that it has not carried out is kept."""
        thread = self._thread
        if not self._running or (thread is not None and thread.ident == real_ident()):
            return False  # an output forks in the ticking thread, which cannot wait for itself
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
        """End one `hold`. After the last one, the next opening starts the thread again."""
        self._holds.pop()
        if not self._holds:
            self._thread = None
            self._running = {}

    def _run(self, orders: SimpleQueue[int]) -> None:
        at_once = False
        self._watch.ticker_ident = real_ident()
        while True:
            wait = (self._due or 0) - monotonic()
            if wait > 0:
                try:
                    order = orders.get(timeout=min(wait, self._watch.limits.every, LONGEST_S))
                except Empty:
                    if monotonic() < (self._due or 0):  # a rest after a long look
                        self._glance()
                    continue
                if order == _STOP:
                    return
                at_once = at_once or order == _NOW
                self._due = min(self._due or 0, monotonic() + (GATHER_S if order == _SOON else 0))
                continue
            rest_s = self._watch.limits.every
            try:
                self._watch.tick(pause=self._pause)
                rest_s = self._watch.rest_s
            except Exception as error:  # noqa: BLE001 - our fault: say it once, and leave the program alone
                self._watch.stand_aside("look-failed", f"a look failed: {failure(error)}", type(error))
            self._glance()
            self._due = monotonic() + rest_s
            if at_once and self._looked is not None:
                at_once = False
                self._looked.put(None)

    def _pause(self) -> None:
        """Let other threads run in the middle of a look, unless one of them waits for its end: to fork, or to exit."""
        if not self._holds:
            pause(PAUSE_S)

    def _glance(self) -> None:
        """Answer whoever asks from outside; of several watches, the one that began last."""
        if self._answer is not None and current() is self._watch:
            self._answer()


# --- fork and exit: these hooks cannot be removed, so they are installed once and use the watches of the moment -----

_after: list[Callable[[], None]] = []


def attend(watch: Watch) -> Ticker:
    """Tick `watch` from now on, also after forks, until the process ends or `leave` is called. Returns its ticker."""
    hook()
    ticker = Ticker(watch, answering(partial(_described, watch)) if watch.limits.dump else None)
    watch.ledger.on_opened = ticker.ensure
    watch.ledger.wake = ticker.wake
    watch.ledger.wake_at_once = ticker.wake_at_once
    if watch.limits.sigterm and not signals.look_at_sigterm(exits.ends_suddenly):
        watch.ledger.on_opened = _until_the_main_thread_opens(ticker, watch)
    attended.append((watch, ticker))
    return ticker


def _described(watch: Watch) -> dict[str, Any]:
    from whoholds.watching.holders import described  # a process of which nobody asks needs none of it

    return described(watch)


def _until_the_main_thread_opens(ticker: Ticker, watch: Watch) -> Callable[[], None]:
    def ensure() -> None:
        ticker.ensure()
        if signals.look_at_sigterm(exits.ends_suddenly):
            watch.ledger.on_opened = ticker.ensure

    return ensure


def leave(watch: Watch) -> None:
    """Stop ticking `watch`."""
    for entry in [entry for entry in attended if entry[0] is watch]:
        entry[1].stop()
        attended.remove(entry)


def hook() -> None:
    """Install the hooks for forks, for the normal exit, and for exits that run no `atexit` handlers."""
    exits.watch()
    exits.at_exit(last_look)
    exits.at_exit(signals.after_last_look)
    exits.at_main_end(main_ends)
    exits.at_sudden_end(sudden_end)
    forks.watch(_before_fork, _in_child, _in_parent, _fork_returned, _ticking_threads)


def after_last_look(call: Callable[[], None]) -> None:
    """Call `call` once, after the last look of the process. Used for the shutdown of exporters."""
    _after.append(call)


def main_ends() -> None:
    """Mark the running threads that hold handles as outliving the main thread, which calls this at its end."""
    for watch, _ in attended:
        for handle in watch.ledger.peek():
            owner = handle.owner
            thread = (owner.thread or owner) if owner is not None else None
            if thread is not None and thread.kind == "thread" and not thread.outlived_main and not thread.gone():
                thread.outlived_main = True


def last_look() -> None:
    """Take the last look of every watch at the end of the process.

    It runs after those of the program's atexit handlers that were registered after whoholds had started.
    """
    number = interpreter()
    ending = Ending("process", f"interpreter {number}" if number else "")
    for watch, ticker in list(attended):
        for step in (ticker.stop, partial(watch.stop, ending), partial(leave, watch)):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - our fault must not change how the program ends
                watch.stand_aside("look-failed", f"the last look failed: {failure(error)}")
    while _after:
        _after.pop(0)()


END_S = 5.0  # longest wait for the last look of a process that ends without its normal exit


def sudden_end() -> bool:
    """Take the last look before `os._exit` or a signal ends the process. The thread that ends the process calls this.

    The look runs in a thread of its own, with a wait of `END_S` at most: the calling thread may hold any lock that an
    output needs. A process that opened nothing is not delayed. False if the calling thread is in the middle of a look.
    """
    if not any(ticker.began for _, ticker in attended):
        return True
    if any(watch.ledger.quiet_ident == _thread.get_ident() for watch, _ in attended):
        return False
    look = RealThread(last_look)
    try:
        look.start()
    except RuntimeError:  # the interpreter ends: no thread can be started, and no other holds a lock
        last_look()
    else:
        look.join(END_S)
    return True


class _Fork:
    """A fork that is under way: where it was called, the tickers it stopped, and the signal mask to restore."""

    def __init__(self, frame: FrameType | None) -> None:
        self.spawn = Spawn(capture(frame, here.FRAMES), here.current_owner(), here.current_context())
        self.stopped = [ticker for _, ticker in attended if ticker.hold()]
        self.mask = signals.held_through_fork()


_forking: dict[int, _Fork] = {}  # by ident of the thread that forks


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
            ticker.go_on()  # if no hook sees the fork return, the next opening starts the thread again


def _fork_returned() -> None:
    fork = _forking.pop(real_ident(), None)
    for ticker in fork.stopped if fork is not None else ():
        ticker.ensure()
