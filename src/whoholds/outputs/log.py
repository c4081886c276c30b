"""The `log` output: standard logging; where that has no handler, the whole text on stderr.

The logger is looked up at the first finding, after the program's own `dictConfig`.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from whoholds.finding import INFO
from whoholds.journal import finding_record
from whoholds.wording import first_line, text

if TYPE_CHECKING:
    from whoholds.finding import Finding, Look

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def log(look: Look, *, verbose: bool = False) -> None:
    """Say each finding above info; `verbose` says info too."""
    for finding in look.findings:
        if verbose or finding.severity != INFO:
            _say(finding, source=look.source)


def _say(finding: Finding, *, source: bool) -> None:
    logger = logging.getLogger("whoholds")
    report = text(finding, source=source)
    if not logger.hasHandlers():
        _to_stderr(report)
        return
    template, arguments = first_line(finding)
    extra = {_free(name): value for name, value in finding_record(finding, source=source).items()}
    before = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
    logger.log(LEVELS[finding.severity], f"whoholds: {template}", *arguments, extra={**extra, "report": report})
    if before is None:  # a log record made a Thread object for the thread that ticks: the program must not see it
        threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]


def _free(name: str) -> str:
    """A name that a log record does not use itself."""
    return f"finding_{name}" if name in _TAKEN else name


def _to_stderr(report: str) -> None:
    stream: Any = sys.stderr
    if stream is not None:
        try:
            stream.write(f"{report}\n")
            stream.flush()
        except ValueError:  # closed by the program
            pass
