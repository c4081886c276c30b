"""An exception comes in our code wherever CPython lets a signal's handler run, in turn, in a program's main thread.

After each: the exception has arrived, the ledger holds what is really open, nobody is inside a call, no request waits,
and whoever uses what is left is accused of nothing. `points` says at which instructions a handler may run.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.hostile import hosts, points
from tests.hostile.programs import World
from tests.hostile.stretches import STRETCHES, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

PATIENCE_S = 60.0  # for one trial; then the host is ended, and the next begins behind it


class InterruptedHereError(Exception):
    """What the signal's handler raises."""


@dataclass
class Trial:
    """What came of an exception at one instruction."""

    stretch: str
    number: int  # of the place, in the order in which the stretch comes to them
    at: str  # "ledger/ledger.py:140 opened +12"
    verdict: str  # "", or "lost", "inside", "wrong", "waits", "accused", "hung", each with what was seen
    detail: str = ""


class Interrupter:
    """Traces the instructions of ours in this thread, and lets the signal come at one of them."""

    def __init__(self, folder: str, number: int, swallow: tuple[str, ...]) -> None:
        self.folder = folder
        self.swallow = swallow
        self.entered = False  # it came where our function begins, before the library's own could
        self.swallowed = False  # it came where the library itself lets no exception pass
        self.left = number
        self.at = ""
        self.before: dict[FrameType, int] = {}  # where each frame of ours was last; -1: in an exception's handler

    def call(self, frame: FrameType, event: str, _: Any) -> Any:
        if event != "call" or not frame.f_code.co_filename.startswith(self.folder):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if points.at_the_beginning(frame):
            self.entered = not self.left
            self._come(frame)
        return self.step

    def step(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            before, self.before[frame] = self.before.get(frame), frame.f_lasti
            if before is not None and points.between(frame.f_code, before, frame.f_lasti):
                self._come(frame)
        elif event == "exception":
            self.before[frame] = points.RAISED
        elif event == "return":
            self.before.pop(frame, None)
        return self.step

    def _come(self, frame: FrameType) -> None:
        """Let the signal come, if it is the turn of this place."""
        if not self.left:
            sys.settrace(None)
            self.before.clear()
            code = frame.f_code
            file = code.co_filename.removeprefix(self.folder)
            self.at = f"{file}:{frame.f_lineno} {code.co_name} +{frame.f_lasti}"
            self.left -= 1
            self.swallowed = _is_swallowed(frame, self.swallow)
            signal.raise_signal(signal.SIGUSR1)
        self.left -= 1


def _is_swallowed(frame: FrameType | None, functions: tuple[str, ...]) -> bool:
    """Whether it comes below one of these functions, or in an event loop's callback that is no task: none lets it pass."""
    inner = None
    while frame is not None:
        original = frame.f_locals.get("original")  # what ours stands for
        if frame.f_code.co_name in functions or getattr(original, "__name__", "") in functions:
            return True
        if frame.f_code.co_name == "_run" and inner is not None and not inner.f_code.co_flags & inspect.CO_COROUTINE:
            return True
        inner, frame = frame, frame.f_back
    return False


def raise_here(*_: Any) -> None:
    raise InterruptedHereError("the harness interrupts here")


def trials(stretch: str, world: World, *, every: int = 1, at: int = -1) -> list[Trial]:
    """Interrupt the stretch at every so-manyeth instruction, or at one alone, each host going on behind what hung."""
    results: list[Trial] = []
    first = max(at, 0)
    while first >= 0:
        asked = json.dumps([stretch, every, first, at, {**asdict(world), "folder": ""}])
        host = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.interrupts", asked],
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("HOSTILE_LOUD") else subprocess.DEVNULL,  # libraries complain of half objects
            text=True,
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if not name.startswith("WHOHOLDS")},
        )
        done, last = _read(host, results)
        if done:
            break
        results.append(Trial(stretch, last, "", "hung"))
        first = last + every if at < 0 else -1
    return results


def _read(host: subprocess.Popen[str], results: list[Trial]) -> tuple[bool, int]:
    """Take what the host prints, a line for each trial; whether it came to the end, and the last it had begun."""
    last = 0
    assert host.stdout is not None
    watchdog = threading.Timer(PATIENCE_S, host.kill)
    watchdog.start()
    for line in host.stdout:
        watchdog.cancel()
        told = json.loads(line)
        if told == "end":
            host.stdout.close()
            host.wait()
            return True, last
        if isinstance(told, int):
            last = told
        else:
            results.append(Trial(**told))
        watchdog = threading.Timer(PATIENCE_S, host.kill)
        watchdog.start()
    watchdog.cancel()
    host.stdout.close()
    if host.wait() > 0:
        raise RuntimeError(f"{host.args} ended with {host.returncode}")
    return False, last


def _host(name: str, every: int, first: int, alone: int, world: World) -> None:
    stretch = STRETCHES[name]
    running = hosts.watch(spans=False)
    for need in stretch.needs:
        if need not in ("postgres", "mariadb"):
            __import__(need)
    folder = str(Path(sys.modules["whoholds"].__file__ or "").parent) + os.sep
    signal.signal(signal.SIGUSR1, raise_here)
    with suppress(Exception):  # a program's own class may be made anew: the second time there is no first time more
        for _ in range(3):
            stretch.run(world, [])
    gc.collect()
    gc.freeze()
    running.tick()
    number = first
    while True:
        _print(number)
        trial = _trial(name, stretch, number, world, running, folder)
        if trial is None:
            break
        _print(asdict(trial))
        if alone >= 0:
            break
        number += every
    _print("end")


def _print(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _trial(name: str, stretch: Stretch, number: int, world: World, running: Any, folder: str) -> Trial | None:
    """Interrupt at that instruction; None where the stretch has fewer."""
    kept: list[Any] = []
    arrived = False
    interrupter = Interrupter(folder, number, stretch.swallow)
    try:
        sys.settrace(interrupter.call)
        stretch.run(world, kept)
    except Exception as error:  # noqa: BLE001 - a library may raise its own over it, and Python keeps both
        arrived = _has_come(error)
    finally:
        sys.settrace(None)
    if not interrupter.at:
        return None
    gc.collect()
    verdict, detail = ("", "") if arrived or interrupter.swallowed else ("lost", "")
    verdict, detail = (verdict, detail) if verdict else _truth(stretch, kept, running)
    if verdict == "waits" and interrupter.entered and not _begun(kept):
        verdict = ""  # as without us: an executor's own `run` is Python, and may be interrupted where it begins
    for one in stretch.living():
        with suppress(Exception):
            stretch.close(one)
    kept.clear()
    gc.collect()
    for handle in running.handles:  # what is left is no trouble of the next
        running.ledger.closed(handle)
    running.tick()
    return Trial(name, number, interrupter.at, verdict, detail)


def _begun(kept: list[Any]) -> bool:
    return any(one.running() for one in kept if type(one).__name__ == "Future")


def _has_come(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, InterruptedHereError):
        error = error.__cause__ or error.__context__
    return error is not None


def _truth(stretch: Stretch, kept: list[Any], running: Any) -> tuple[str, str]:
    """Hold the ledger against what is true."""
    from whoholds.ledger import here

    running.tick()
    living = stretch.living()
    connections = [handle for handle in running.handles if handle.kind == "connection"]
    loans = [handle for handle in running.handles if handle.kind == "checkout"]
    inside = [handle for handle in running.handles if handle.caller > 0]
    if inside:
        return "inside", repr(inside)
    if len(connections) != len(living):
        return "wrong", f"open are {living}, the ledger has {connections}"
    if len(loans) > stretch.lent(kept):
        return "wrong", f"lent are {stretch.lent(kept)}, the ledger has {loans}"
    waiting = [pool for pool in running.ledger.take().pools if pool.pending]
    if waiting or here.starting:
        return "waits", f"{waiting} {here.starting}"
    for future in kept:
        if type(future).__name__ == "Future" and not future.done():
            return "waits", repr(future)
    return _accused(stretch, living, running)


def _accused(stretch: Stretch, living: list[Any], running: Any) -> tuple[str, str]:
    """Whether another thread that uses what is left is said to share it."""
    if not living:
        return "", ""

    def use() -> None:
        for one in living:
            with suppress(Exception):
                stretch.use(one)

    user = threading.Thread(target=use)
    user.start()
    user.join()
    running.tick()
    said = [finding for finding in running.findings if finding.rule == "shared-at-once"]
    return ("accused", repr(said)) if said else ("", "")


COLUMNS = ("tried", "lost", "inside", "wrong", "waits", "accused", "hung")


def table(results: Iterable[Trial]) -> list[str]:
    """Lines of text: of each stretch at how many instructions the exception came, and what came of it."""
    counts: dict[str, dict[str, int]] = {}
    for one in results:
        row = counts.setdefault(one.stretch, {})
        for column in ("tried", one.verdict):
            row[column] = row.get(column, 0) + 1
    counts["all"] = {column: sum(row.get(column, 0) for row in counts.values()) for column in COLUMNS}
    lines = [f"{'an exception at each instruction':<34}" + "".join(f"{column:>9}" for column in COLUMNS)]
    for name, row in counts.items():
        lines.append(f"{name:<34}" + "".join(f"{row.get(column, 0):>9}" for column in COLUMNS))
    return lines


def main(arguments: Sequence[str]) -> None:
    """The host's side."""
    stretch, every, first, alone, world = json.loads(arguments[0])
    with tempfile.TemporaryDirectory() as folder:
        _host(stretch, every, first, alone, World(**{**world, "folder": Path(folder)}))


if __name__ == "__main__":
    main(sys.argv[1:])
