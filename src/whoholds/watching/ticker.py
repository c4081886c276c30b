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
        self._looked: Bell | None = None  # rings at the end of an immediate look
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
        self._looked = Bell()
        self._orders.put(_NOW)
        self._looked.wait(AT_ONCE_S)

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
                    order = next_of(orders, min(wait, self._watch.limits.every, LONGEST_S))
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
                self._looked.ring()

    def _pause(self) -> None:
        """Let other threads run in the middle of a look, unless one of them waits for its end: to fork, or to exit."""
        if not self._holds:
            pause(PAUSE_S)

    def _glance(self) -> None:
        """Answer whoever asks from outside; of several watches, the one that began last."""
        if self._answer is not None and current() is self._watch:
            self._answer()
