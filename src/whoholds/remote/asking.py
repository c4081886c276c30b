"""Asks a watched process what it holds, and says in one line why there is no answer, if there is none."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Final

from whoholds.remote.as_user import UsersExchange
from whoholds.remote.exchange import Exchange, NoAnswer, answered
from whoholds.remote.processes import NoProcess, Process, process_of
from whoholds.switch import OFF
from whoholds.text.visible import visible

WAIT_S = 5.0  # until a process is said not to answer; at least so many of its looks:
LOOKS = 3
MOMENT_S = 1.5  # the same, if it does not seem to be watched
LATER_S = 1.0  # until a child that asks has said that there was no answer
LONGEST_S = 60.0  # unless more is asked for

# What may be raised where an answer is used that has another form than docs/dump.md says: another whoholds gave it, or
# somebody who means harm.
OTHER_FORM: Final = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)


def answer_of(pid: int, wait: float | None = None) -> dict[str, Any]:
    """What the process `pid` says that it holds: the object that docs/dump.md describes. Raises `NoAnswer`.

    `wait` is how many seconds to wait for it, by default `WAIT_S`, and longer if its looks are rarer.
    """
    process = known(pid)
    seconds = wait if wait is not None else _patience(process)
    began = time.monotonic()
    answer = answered(exchange_with(process, seconds), seconds + LATER_S * _needs_child(process))
    if answer is None:
        raise NoAnswer(_why_not(process, time.monotonic() - began))
    return checked(answer, pid)


def known(pid: int) -> Process:
    """The process `pid`, which this user may ask. Raises `NoAnswer`."""
    if not hasattr(os, "geteuid"):
        raise NoAnswer("whoholds dump works on Linux and other Unix systems only; in the program: whoholds.holders()")
    try:
        process = process_of(pid)
    except NoProcess as error:
        raise NoAnswer(str(error)) from None
    if os.geteuid() not in (0, process.uid):
        whose = f"process {pid} belongs to user {process.uid}"
        raise NoAnswer(f"{whose}: ask as that user or as root, with `sudo {sys.executable} -m whoholds dump {pid}`")
    return process


def exchange_with(process: Process, wait: float) -> Exchange | UsersExchange:
    """A question to the process, with the rights of its user. Raises `NoAnswer` if it cannot be asked."""
    if _needs_child(process):
        return UsersExchange(process, wait)
    return Exchange(process, process.root)


def _needs_child(process: Process) -> bool:
    return os.geteuid() == 0 and (process.uid != 0 or bool(process.root))


def _patience(process: Process) -> float:
    """How many seconds to wait: only a moment if the system shows no thread that could answer."""
    return MOMENT_S if process.watched is False else max(WAIT_S, LOOKS * _every(process))


def _every(process: Process) -> float:
    try:
        return min(float(process.environ.get("WHOHOLDS_EVERY", "1")), LONGEST_S / LOOKS)
    except ValueError:
        return 1.0


def checked(answer: bytes, pid: int) -> dict[str, Any]:
    """The answer as an object, with no control characters in its texts. Raises `NoAnswer` if it is none of ours."""
    try:
        said = _shown(json.loads(answer))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("type") not in ("holders", "fault"):
        raise NoAnswer(f"process {pid} gave an answer that is not whoholds's")
    if said["type"] == "fault":
        raise NoAnswer(f"process {pid} could not say what it holds: {said.get('reason')}; its log has more")
    return said


def _shown(value: Any, *, lines: bool = False) -> Any:
    """The same with each control character as an escape; a text may have several lines only where `lines` says so."""
    if isinstance(value, str):
        return visible(value, lines=lines)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {visible(name): _shown(item, lines=name == "report") for name, item in value.items()}


def _why_not(process: Process, waited: float) -> str:
    """Why the process did not answer, as far as that can be told, and what to do; in one line."""
    try:
        process = process_of(process.pid)
    except NoProcess:
        return f"process {process.pid} has ended meanwhile"
    return f"process {process.pid} did not answer in {waited:.1f} s: {_reason(process)}"


def _reason(process: Process) -> str:
    setting = process.environ.get("WHOHOLDS", "").strip().lower()
    if process.state:
        return f"it is {process.state}"
    if process.environ.get("WHOHOLDS_DUMP", "").strip().lower() in OFF[1:]:
        return "it was started with WHOHOLDS_DUMP=0, which switches this off"
    if process.watched:
        return (
            "it is watched, but C code may keep every Python thread from running, or its looks are rarer "
            "(WHOHOLDS_EVERY; --wait SECONDS waits longer), or its settings have dump=0. "
            f"`py-spy dump --pid {process.pid}` shows where it is"
        )
    if setting not in OFF:
        return "WHOHOLDS is set in it, but it has opened no connection yet, and whoholds looks from the first one on"
    unset = " (WHOHOLDS is not set in its environment)" if process.environ else ""
    attach = f", or, on Python 3.14 and later, use `whoholds attach {process.pid}`"
    return f"it is not watched{unset}, or has opened no connection yet. Start it with WHOHOLDS=1{attach}"
