"""The program that `whoholds run` starts: its command, and its process from its start to its end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGWINCH", "SIGCONT")


def command_of(options: argparse.Namespace) -> list[str]:
    """The command that runs the target: with this Python, or with that of a console script."""
    if options.module or options.code:
        return [sys.executable, "-m" if options.module else "-c", options.target, *options.args]
    script = script_of(options.target) or options.target
    return [_interpreter_of(script) if script != options.target else sys.executable, script, *options.args]


def script_of(target: str) -> str | None:
    """The path of the script that `target` names, itself a path or a Python console script on the PATH; else None."""
    if Path(target).exists():
        return target
    script = None if os.path.dirname(target) else shutil.which(target)
    return script if script and _interpreter_of(script) else None


def _interpreter_of(script: str) -> str:
    """The Python that a console script's first lines name; "" if it is no Python script, or may not be read."""
    try:
        with open(script, "rb") as file:  # noqa: PTH123 - only two lines are read
            first, second = (file.readline(500).decode("utf-8", "replace").strip() for _ in range(2))
    except OSError:
        return ""
    if not first.startswith("#!"):
        return ""
    program, _, argument = first[2:].strip().partition(" ")
    if program == "/bin/sh" and second.startswith("'''exec'"):  # pip's form for a path too long for a first line
        program = shlex.split(second)[1]
    if argument in ("python3", "python"):  # the argument of /usr/bin/env
        return sys.executable
    return program if "python" in Path(program).name else ""


def exit_code_of(command: list[str], environ: dict[str, str]) -> int:
    """Start the program, wait for it and return its exit code, negative if a signal ended it.

    Signals that reach only this process are passed on; Ctrl-C and Ctrl-Break reach both by themselves.
    """
    program: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(received: int, _: Any) -> None:
        if program:
            program[0].send_signal(received)
        else:
            early.append(received)

    handlers: dict[int, Any] = {getattr(signal, name): forward for name in _FORWARDED if hasattr(signal, name)}
    for name in ("SIGINT", "SIGBREAK"):  # Ctrl-Break, on Windows
        if hasattr(signal, name):
            handlers[getattr(signal, name)] = lambda *_: None
    # a signal ignored here, as under nohup, must stay ignored in the program; a handler of ours would be reset there
    heard = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    try:
        program.append(subprocess.Popen(command, env=environ))  # noqa: S603 - what was asked for
        while early:
            forward(early.pop(0), None)
        return program[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def signal_name(number: int) -> str:
    """The name of a signal, such as `SIGTERM`; most real-time signals have only a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def die_of(number: int) -> int:
    """End this process by the signal that ended the program, so that a caller who waits for it sees the signal.

    Returns 128 + n where the signal cannot end it.
    """
    if os.name == "posix":
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), number)
    return 128 + number
