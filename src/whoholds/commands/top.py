"""`whoholds top`: all watched processes of this machine, refreshed each second, in a terminal or as plain text."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from whoholds.remote.overview import text
from whoholds.remote.polling import EVERY_S, MOMENT_S, polling, settle
from whoholds.remote.processes import can_be_listed
from whoholds.text.streams import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.remote.polling import Poller

_NO_LIBRARY = "the screen needs textual: pip install 'whoholds[top]'; or use `whoholds top --once`"


def top(*, once: bool = False, wanted: str = "") -> int:
    """Show the watched processes until the user ends it, or once as text.

    In a pipe, and in a terminal that has no screen (TERM=dumb), it is text again and again. `wanted` is the filter to
    begin with. Returns 0, or 2 if it cannot be shown here.
    """
    if not can_be_listed():
        one = "`whoholds dump PID` asks one process"
        instead = one if hasattr(os, "geteuid") else "in the program: whoholds.holders()"
        say(f"whoholds: top reads /proc and works on Linux only; {instead}")
        return 2
    if once:
        return _once(wanted)
    dumb = os.environ.get("TERM") in ("dumb", "unknown")  # it would print the codes that place the screen's parts
    if dumb or not sys.stdout.isatty() or not sys.stdin.isatty():
        return _in_pipe(wanted)
    try:
        import textual  # noqa: F401 - an extra
    except ImportError:
        say(f"whoholds: {_NO_LIBRARY}")
        return 2
    return _on_screen(wanted)


def _once(wanted: str) -> int:
    try:
        with polling() as poller:
            sys.stdout.write(f"{text(settle(poller).overview(), wanted)}\n")
    except KeyboardInterrupt:
        return 130
    return 0


def _in_pipe(wanted: str) -> int:
    try:
        with polling() as poller:
            settle(poller)
            for _ in _seconds(poller):
                sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {text(poller.overview(), wanted)}\n\n")
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    return 0


def _seconds(poller: Poller) -> Iterator[None]:
    """One item a second; the poller steps meanwhile."""
    due = time.monotonic()
    while True:
        poller.step()
        if time.monotonic() >= due:
            due += EVERY_S
            yield
        time.sleep(MOMENT_S)


def _on_screen(wanted: str) -> int:
    """The screen, fed by a child that asks: it may fork for root, which a program with threads must not."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.close(reads)
        _gather(writes)
    os.close(writes)
    from whoholds.commands.screen import show

    try:
        return show(reads, wanted)
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def _gather(pipe: int) -> NoReturn:
    """Write the overview as a JSON line each second, until the screen ends."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with polling() as poller:
            for _ in _seconds(poller):
                if poller.settled:
                    _write(pipe, asdict(poller.overview()))
    except (SystemExit, BrokenPipeError):
        pass
    finally:
        os._exit(0)


def _write(pipe: int, overview: dict[str, Any]) -> None:
    data = f"{json.dumps(overview)}\n".encode()
    while data:
        data = data[os.write(pipe, data) :]
