"""Signals that would end this process by their default action, and the signal that a setting asks to listen to.

No handler may be installed unless a setting asks for it, and none may take the place of one of the program's.
"""

from __future__ import annotations

import os
import sys

from whoholds.hooks.seams import stays_ours
from whoholds.hooks.stand_ins import StandIn, stand
from whoholds.hooks.threads import RealThread

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Signals whose default action does not end the process: signal(7), and BSD's SIGINFO.
_HARMLESS = frozenset("SIGCHLD SIGCONT SIGINFO SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGWINCH".split())
_STATUS = "/proc/self/status"
_DEFAULT = _SIGTERM, _SIG_DFL = 15, 0  # the numbers are the same on every system that has them


def to_itself(system: Any, look: Callable[[], bool]) -> dict[Any, StandIn]:
    """Stand-ins, by the functions they replace, that call `look` before a signal from this process to itself ends it.

    `system` is the module `posix` or `nt`.
    """
    signals: Any = sys.modules["_signal"]
    kill, raised = system.kill, signals.raise_signal
    places = {
        kill: _StandIn(kill, look, lambda to, number, /: _means_us(to) and _ends_us(number, sent=True)),
        raised: _StandIn(raised, look, lambda number, /: _ends_us(number)),
        system.abort: _StandIn(system.abort, look, lambda: _ends_us(signals.SIGABRT)),
    }
    if hasattr(system, "killpg"):
        group = system.getpgrp
        places[system.killpg] = _StandIn(system.killpg, look, lambda to, number, /: to == group() and _ends_us(number))
    if hasattr(signals, "pthread_kill"):
        to_thread = signals.pthread_kill
        places[to_thread] = _StandIn(to_thread, look, lambda _, number, /: _ends_us(number))
    return places


def _StandIn(original: Any, look: Callable[[], bool], ends: Callable[..., bool]) -> StandIn:  # noqa: N802 - it gives one
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            ending = ends(*args, **kwargs)
        except (TypeError, ValueError, OverflowError, OSError):  # arguments that the function itself will refuse
            ending = False
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
            ending = False
        if ending:
            look()
        return original(*args, **kwargs)

    return StandIn(original, called)


def _means_us(to: Any) -> bool:
    """Whether `os.kill(to, …)` reaches this process, by its own number or its group's."""
    if not isinstance(to, int):
        return False
    return to == os.getpid() or (os.name == "posix" and to in (0, -1, -os.getpgrp()))


def _ends_us(number: Any, *, sent: bool = False) -> bool:
    """Whether the signal `number`, delivered to this process now, ends it by its default action.

    `sent` is true for `os.kill`, which on Windows ends the process whatever its handlers are.
    """
    signals: Any = sys.modules["_signal"]
    if os.name == "nt" and sent:
        return number not in (signals.CTRL_C_EVENT, signals.CTRL_BREAK_EVENT)
    if not isinstance(number, int) or not number or number in {getattr(signals, name, None) for name in _HARMLESS}:
        return False
    if number == getattr(signals, "SIGKILL", None):
        return True
    ends = _asked(number) in (_SIG_DFL, _terminated)
    return ends and not _blocked(number) and not _caught_in_c(number)


def _blocked(number: int) -> bool:
    """Whether this thread blocks the signal now, so that the signal stays pending."""
    signals: Any = sys.modules["_signal"]
    return hasattr(signals, "pthread_sigmask") and number in signals.pthread_sigmask(signals.SIG_BLOCK, ())


def _caught_in_c(number: int) -> bool:
    """Whether a library has a C handler for the signal that Python does not know: gevent, faulthandler, uWSGI."""
    try:
        with open(_STATUS, encoding="ascii", errors="replace") as status:  # noqa: PTH123 - pathlib is not imported
            masks = dict(line.split(":", 1) for line in status if line.startswith(("SigCgt:", "SigIgn:")))
        caught = int(masks["SigCgt"], 16) | int(masks["SigIgn"], 16)
    except (OSError, KeyError, ValueError):  # not Linux: only what Python knows can be used
        return False
    return bool(caught >> (number - 1) & 1)


# --- what the program sets and reads, where WHOHOLDS_SIGTERM=1 or WHOHOLDS_DUMP_SIGNAL asks for a handler ------------

_set: Any = sys.modules["_signal"].signal
_asked: Any = sys.modules["_signal"].getsignal
_give_back: list[Callable[[], None]] = []
_in_front: dict[int, Any] = {}  # signal → our handler, which stays there whatever the program sets
_behind: dict[int, Any] = {}  # the same signal → the program's handler


def _stand_in_for_both() -> None:
    """Stand in for `signal.signal` and `signal.getsignal` until `leave`."""
    if not _give_back:
        _give_back.append(stand({_set: StandIn(_set, _signal), _asked: StandIn(_asked, _getsignal)}))


def _signal(*args: Any, **kwargs: Any) -> Any:
    """Stands in for `signal.signal`: to set SIGTERM's default action installs our handler, if a look is asked for.

    A handler for a signal that we listen to is kept behind ours.
    """
    ours = len(args) == len(_DEFAULT) and all(type(one) is int for one in args) and args == _DEFAULT
    before = _set(_SIGTERM, _terminated) if ours and _looks and not kwargs else _set(*args, **kwargs)
    for number, handler in _in_front.items():
        now = _asked(number)
        if now is not handler:
            before, _behind[number] = _behind[number], now
            _set(number, handler)
    return _SIG_DFL if before is _terminated else before


def _getsignal(*args: Any, **kwargs: Any) -> Any:
    """Stands in for `signal.getsignal`: our handler is shown as what the program has set."""
    handler = _asked(*args, **kwargs)
    handler = next((_behind[number] for number, ours in _in_front.items() if ours is handler), handler)
    return _SIG_DFL if handler is _terminated else handler


def leave() -> None:
    """Give both functions back, and SIGTERM its default action."""
    while _give_back:
        _give_back.pop()()
    _leave_sigterm()


# --- the signal that WHOHOLDS_DUMP_SIGNAL names ---------------------------------------------------------------------


def listen(number: int, handler: Callable[[int, Any], None]) -> None:
    """Install `handler` in front of the program's, which the program may set and reads as if ours were not there.

    Raises ValueError in a thread that may not set handlers: only the main thread may.
    """
    _stand_in_for_both()
    before = _set(number, handler)
    if before is not _in_front.get(number):  # as after a stop in another thread, which could not take ours away
        _behind[number] = before
    _in_front[number] = handler


def behind(number: int) -> Any:
    """The program's handler of a signal that we listen to: a callable, a number (`SIG_DFL`, `SIG_IGN`) or None."""
    return _behind.get(number)


def listen_no_more(number: int) -> None:
    """Install the program's handler again, if ours is still there. Raises ValueError as `listen` does."""
    if number in _in_front and _asked(number) is _in_front[number] and _behind[number] is not None:
        _set(number, _behind[number])
        del _in_front[number]


# --- SIGTERM, where WHOHOLDS_SIGTERM=1 asks for it -----------------------------------------------------------------

_looks: list[Callable[[], bool]] = []
_put_off: list[int] = []  # [SIGTERM] if it came in the middle of a look


def look_at_sigterm(look: Callable[[], bool]) -> bool:
    """Call `look` before SIGTERM from outside ends this process by its default action, set now or later.

    `look` returns False where its thread is in the middle of a look. While our handler is installed, the program still
    reads that SIGTERM has its default action. Returns False in a thread that may not set handlers: only the main
    thread may.
    """
    if os.name != "posix":
        return True
    if not _looks:
        _looks[:] = [look]
    _stand_in_for_both()
    if _asked(_SIGTERM) == _SIG_DFL and not _caught_in_c(_SIGTERM):
        try:
            _set(_SIGTERM, _terminated)
        except ValueError:
            return False
    return True


def _leave_sigterm() -> None:
    """Give SIGTERM its default action back, if our handler is still installed and this is the main thread."""
    if _looks and _asked(_SIGTERM) is _terminated:
        try:
            _set(_SIGTERM, _SIG_DFL)
        except ValueError:
            return
    _looks.clear()


def stand_by(look: Callable[[], bool]) -> bool:
    """Let `look` run before SIGTERM's default action from now on. Returns whether our handler was installed.

    For a process that only takes its last look and ends. Python runs a handler between two bytecode instructions, so a
    signal that comes just before a blocking call is handled when that call returns.
    """
    if os.name != "posix" or _asked(_SIGTERM) != _SIG_DFL or _caught_in_c(_SIGTERM):
        return False
    _looks[:] = [look]
    try:
        _set(_SIGTERM, _terminated)
    except ValueError:  # not in the main thread
        return False
    return True


def held_through_fork() -> Any:
    """Block SIGTERM in the thread that forks. The result is for `let_through`, in the parent and in the child.

    Python drops a signal that reaches a child before the child is set up; a blocked signal is delivered afterwards.
    """
    signals: Any = sys.modules["_signal"]
    return signals.pthread_sigmask(signals.SIG_BLOCK, (_SIGTERM,)) if _give_back and _looks else None


def let_through(held: Any) -> None:
    """Restore the thread's signal mask to `held`, the result of `held_through_fork`."""
    signals: Any = sys.modules["_signal"]
    if held is not None:
        signals.pthread_sigmask(signals.SIG_SETMASK, held)


def _terminated(number: int, frame: Any) -> None:
    """The handler of SIGTERM: look, then end by the signal's default action. A second SIGTERM ends at once.

    Called in the main thread.
    """
    del frame
    signals: Any = sys.modules["_signal"]
    _set(number, _SIG_DFL)
    if all(look() for look in _looks):
        signals.raise_signal(number)
        return

    def wait_and_end() -> None:
        for look in _looks:
            look()
        os.kill(os.getpid(), number)

    _put_off.append(number)  # in case the look that it interrupted is the last
    try:
        RealThread(wait_and_end).start()
    except RuntimeError:  # the interpreter is ending: it was the last look
        pass


def after_last_look() -> None:
    """End by the signal that came in the middle of the last look."""
    if _put_off:
        signals: Any = sys.modules["_signal"]
        signals.raise_signal(_put_off.pop())
