"""Write what each test of a foreign suite did, as JSON lines, at the moment it happened.

A suite that hangs or dies leaves no report of its own, but these lines: the last test begun is the
culprit. This and its neighbours run inside the foreign suite's interpreter, so they import the
standard library only and change nothing that a suite could see, but for the two hooks below.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import warnings

TEXT = 6000  # characters kept of a failure: its end, where the exception stands

_FILE = Path(os.environ["FOREIGN_RECORD"]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 (for life)
_PID = os.getpid()


def _chosen(variable: str) -> frozenset[str] | None:
    """Give the test ids listed in the file that a variable names; None where it is unset."""
    path = os.environ.get(variable)
    return frozenset(Path(path).read_text(encoding="utf-8").splitlines()) if path else None


_ONLY = _chosen("FOREIGN_ONLY")
_SKIP = _chosen("FOREIGN_SKIP") or frozenset()


def wanted(test: str) -> bool:
    """Tell whether this run is to run that test."""
    return test not in _SKIP and (_ONLY is None or test in _ONLY)


def begin(test: str) -> None:
    """Say that a test starts."""
    _write({"begin": test})


def end(test: str, outcome: str, text: str = "") -> None:
    """Say how a test ended: passed, failed, error, skipped, xfailed or xpassed."""
    _write({"end": test, "outcome": outcome, "text": text[-TEXT:]})


def done() -> None:
    """Say that all tests have run, watched or not, and what of whoholds stood aside; what comes now is the exit.

    pytest captures what is said on stderr while a test runs, and forgets it where the test passes.
    """
    running = sys.modules.get("whoholds.watching.running")
    aside = [reason for watch in running.watches() for reason in watch.failed] if running else []
    _write({"done": True, "watched": "whoholds.ledger.ledger" in sys.modules, "aside": aside})


def warn(category: str, message: str, filename: str) -> None:
    """Say that a warning was shown, in words that are the same from run to run."""
    said = re.sub(r"0x[0-9a-fA-F]+|\d+(\.\d+)?", "N", message.partition("\n")[0])
    place = "/".join(Path(filename).parts[-2:])
    _write({"warning": f"{category}: {said[:300]} [{place}]"})


def watch_hooks() -> None:
    """Record exceptions that Python could not raise, in finalizers and in threads, and show them as ever."""
    unraisable, in_thread = sys.unraisablehook, threading.excepthook

    def see_unraisable(seen: sys.UnraisableHookArgs) -> None:
        unraisable(seen)
        warn("unraisable", f"{seen.exc_type.__name__}: {seen.exc_value}", "")

    def see_thread(seen: threading.ExceptHookArgs) -> None:
        warn("in thread", f"{seen.exc_type.__name__}: {seen.exc_value}", "")
        in_thread(seen)

    sys.unraisablehook = see_unraisable
    threading.excepthook = see_thread


def show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """Stand in for `warnings.showwarning`."""
    del lineno, file, line
    warn(category.__name__, str(message), filename)


def see(message: warnings.WarningMessage) -> None:
    """Record a warning that a test runner has caught."""
    category = message.category
    warn(category.__name__, str(message.message), message.filename)


def _write(line: dict[str, object]) -> None:
    """Write one line; a forked child of a test has nothing to say, nor is there a file at the very end."""
    if _FILE is not None and os.getpid() == _PID:
        _FILE.write(json.dumps(line) + "\n")
