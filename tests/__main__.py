"""`python -m tests`: everything that has to pass, on this Python and on every other one found here.

First the tests on the other Pythons, then foreign suites with and without whoholds, and at last the
whole of our own on this one, so that what pytest says last is about the most.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests import interpreters

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
SERVERS = ROOT / ".ci" / "install-servers"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, stop at the first failure, and give its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--only-here", action="store_true", help="leave the other Pythons and foreign suites out")
    parser.add_argument("pytest", nargs="*", help="arguments for the last step, after --")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    steps: list[tuple[str, list[str | Path]]] = [("servers", [SERVERS])]
    if not options.only_here:
        for version, python in interpreters.found().items():
            if version != interpreters.here():
                program = CACHE / "venvs" / version / "bin" / "python"
                steps += [
                    (f"environment for {version}", [python, "-m", "venv", program.parents[1]]),
                    (
                        f"whoholds on {version}",
                        [program, "-m", "pip", "install", "-q", "-e", f"{ROOT}[test]"],
                    ),
                    (f"tests on {version}", [program, "-m", "pytest", "-q", "-n", "auto", "-m", "not once"]),
                ]
        steps.append(("foreign suites", [sys.executable, "-m", "tests.foreign", "--short"]))
    steps.append(("tests", [sys.executable, "-m", "pytest", "-q", "-n", "auto", *options.pytest]))
    for name, command in steps:
        code = _step(name, command)
        if code == 1 and "pytest" in command:
            # two at a time on a busy machine some look at the clock too late: what failed has to pass alone
            alone = [part for part in command if part not in ("-n", "auto")]
            code = _step(f"{name}: what failed, alone", [*alone, "--last-failed"])
        if code:
            return code
    return 0


def _step(name: str, command: list[str | Path]) -> int:
    """Run one step to its end, under a heading; its exit code."""
    print(f"== {name}", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        code = process.wait()
    except BaseException:
        # Interrupted or told to end: so is the step, but not killed, for it has servers to end.
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    if code:
        print(f"== {name} failed with {code} after {time.monotonic() - started:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
