"""The one small thread that ticks a watch. It must not wait for threads of the program."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from whoholds.hooks.threads import Bell, RealThread, next_of, pause, real_ident
from whoholds.watching.aside import failure
from whoholds.watching.running import current

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # not CPython, where nothing is watched; after gevent's patching, `queue` has gevent's classes
    from queue import Empty, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.watching.watch import Watch

GATHER_S = 0.1  # from a wake, or from the first opening, to the look, so that the look includes what follows at once
WAIT_S = 1.0  # longest wait for the ticking thread to stop
AT_ONCE_S = 0.25  # longest wait for the end of an immediate look, which takes some 5 ms
PAUSE_S = 0.00005  # in the middle of a long look: a thread that waits for the GIL gets it
NAME = "whoholds"  # of the ticking thread, as `top -H` and `ps -T` show it: so `whoholds top` knows who is watched
LONGEST_S = 3600.0  # longest single wait: a queue takes no more than some 292 years

_CHECK, _SOON, _NOW = range(3)  # orders to the ticking thread: see whether you are wanted, look soon, look now


class Ticker:
    """Ticks a watch `GATHER_S` after the first opening, `rest_s` seconds after each look, and earlier when woken."""

    def __init__(self, watch: Watch, answer: Callable[[], None] | None = None) -> None:
        """`answer` is called after each look, and answers those who ask from outside; None if nobody may."""
        self._watch = watch
        self._answer = answer
        self.renew()

    def renew(self) -> None:
        """Forget the thread, which does not exist in a forked child."""
        self._threads: dict[SimpleQueue[int], RealThread] = {}  # by its orders; several for a moment after a fork
        self._waiting: SimpleQueue[int] = SimpleQueue()  # orders that no thread has yet; `put` takes no lock
        self._due: float | None = None  # monotonic time of the next look, which a fork does not put off
        self._running: dict[int, Any] = {}  # {0: True} while one runs, and only for that one; setdefault is one C call
        self._looked: Bell | None = None  # rings at the end of an immediate look
        self._holds: list[None] = []  # one item for each fork that is under way

    @property
    def began(self) -> bool:
        """True if this process has opened a handle, or has used one that it inherited."""
        return self._due is not None

    @property
    def ticks(self) -> bool:
        """True if the ticking thread runs."""
        return bool(self._threads) and not self._holds

    def ensure(self) -> None:
        """Start the ticking thread unless it runs. Each opening calls this in the user's thread."""
        running = self._running
        if 0 in running or self._holds or running.setdefault(0, real_ident()) != real_ident():
            return
        running[0] = True
        if self._due is None:
            self._due = monotonic() + min(GATHER_S, self._watch.limits.every)
        orders, self._waiting = self._waiting, SimpleQueue()
        self._threads[orders] = thread = RealThread(partial(self._run, orders, running), NAME)
        try:
            thread.start()
        except RuntimeError:  # there can be no threads (as in uWSGI without threads), or the interpreter ends
            self._threads.pop(orders, None)

    def wake(self) -> None:
        """Order a look in `GATHER_S` at most. Called in the user's thread; never blocks."""
        self._order(_SOON)

    def wake_at_once(self) -> None:
        """Order a look now. The first call in a process waits for the look, for `AT_ONCE_S` at most.

        A child calls this in the user's thread when it uses a connection of its parent: it may be ended at its next
        statement (`Pool.terminate`). This is the only wait in the user's thread.
        """
        if self._looked is not None or not self._threads or self._is_here():
            self._order(_NOW)
            return
        self._looked = Bell()
        self._order(_NOW)
        self._looked.wait(AT_ONCE_S)

    def stop(self) -> None:
        """Stop the thread, waiting at most `WAIT_S`. The next opening starts it again."""
        if self.hold():
            self.go_on()

    def hold(self) -> bool:
        """Stop the thread until `go_on`. True if it ran. An order that it has not carried out is kept."""
        if not self._running or self._is_here():
            return False  # an output forks in the ticking thread, which cannot wait for itself
        self._holds.append(None)
        try:
            for orders, thread in list(self._threads.items()):
                orders.put(_CHECK)
                thread.join(WAIT_S)
        except BaseException:  # a signal's handler raised: nobody will end this hold
            self.go_on()
            raise
        return True

    def go_on(self) -> None:
        """End one `hold`. After the last one, the next opening starts the thread again."""
        self._holds.pop()
        if not self._holds:
            self._running = {}
            for orders in list(self._threads):  # of a thread that was about to start when this one held
                orders.put(_CHECK)

    def _is_here(self) -> bool:
        return any(thread.ident == real_ident() for thread in list(self._threads.values()))

    def _order(self, order: int) -> None:
        for orders in list(self._threads) or (self._waiting,):
            orders.put(order)

    def _run(self, orders: SimpleQueue[int], running: dict[int, Any]) -> None:
        """Tick until a `hold`, or until others have forked meanwhile and started a thread of their own."""
        self._watch.ticker_ident = real_ident()
        self._tick(orders, running)
        self._threads.pop(orders, None)
        while not orders.empty():
            order = orders.get_nowait()
            if order != _CHECK:
                self._waiting.put(order)

    def _tick(self, orders: SimpleQueue[int], running: dict[int, Any]) -> None:
        at_once = False
        while self._running is running and not self._holds:
            wait = (self._due or 0) - monotonic()
            if wait > 0:
                try:
                    order = next_of(orders, min(wait, self._watch.limits.every, LONGEST_S))
                except Empty:
                    if monotonic() < (self._due or 0):  # a rest after a long look
                        self._glance()
                    continue
                if order == _CHECK:
                    continue
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
                self._looked.ring()

    def _pause(self) -> None:
        """Let other threads run in the middle of a look, unless one of them waits for its end: to fork, or to exit."""
        if not self._holds:
            pause(PAUSE_S)

    def _glance(self) -> None:
        """Answer whoever asks from outside; of several watches, the one that began last."""
        if self._answer is not None and current() is self._watch:
            self._answer()
