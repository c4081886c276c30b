"""What happens to the watches and their tickers at a fork and at the end of the process.

The ticking threads are stopped before a fork and go on once the call of fork has returned. The hooks cannot be removed,
so they are installed once and use the watches of the moment.
"""

from __future__ import annotations

import _thread
from functools import partial
from typing import TYPE_CHECKING, Any

from whoholds.analysis.snapshot import Ending
from whoholds.hooks import exits, forks, signals
from whoholds.hooks.threads import RealThread, real_ident
from whoholds.ledger import here
from whoholds.ledger.cpython import interpreter
from whoholds.ledger.origin import capture
from whoholds.ledger.owner import Spawn
from whoholds.watching.answering import answering
from whoholds.watching.aside import failure
from whoholds.watching.running import attended
from whoholds.watching.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.watching.watch import Watch

END_S = 5.0  # longest wait for the last look of a process that ends without its normal exit

_after: list[Callable[[], None]] = []
_looks_aside: list[RealThread] = []  # takes the last look of a process that ends suddenly; a second signal waits for it


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


def rest(watch: Watch) -> None:
    """Stop the ticking thread of `watch` until the next opening."""
    for entry in [entry for entry in attended if entry[0] is watch]:
        entry[1].stop()


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


def sudden_end() -> bool:
    """Take the last look before `os._exit` or a signal ends the process. The thread that ends the process calls this.

    The look runs in a thread of its own, with a wait of `END_S` at most: the calling thread may hold any lock that an
    output needs. A process that opened nothing is not delayed. False if the calling thread is in the middle of a look.
    """
    if not any(ticker.began for _, ticker in attended):
        return True
    if any(watch.ledger.quiet_ident == _thread.get_ident() for watch, _ in attended):
        return False
    if not _looks_aside:
        look = RealThread(_look_aside)
        _looks_aside.append(look)
        try:
            look.start()
        except RuntimeError:  # the interpreter ends: no thread can be started, and no other holds a lock
            _look_aside()
    for look in _looks_aside.copy():
        look.join(END_S)
    return True


def _look_aside() -> None:
    try:
        last_look()
    finally:
        _looks_aside.clear()


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
    _looks_aside.clear()
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
