"""The `log` output: standard logging; where that has no handler, the whole text on stderr.

The logger is looked up at the first finding, after the program's own `dictConfig`.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import INFO
from whoholds.reporting.records import finding_record
from whoholds.reporting.summary import headline, run_of
from whoholds.reporting.wording import first_line
from whoholds.text.streams import say

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding, Look
    from whoholds.limits import Limits

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class LogOutput:
    """Says each finding above info (under `whoholds run -v` info too), and at the end of the process a summary.

    With `logging=False` it goes to stderr at once: the fallback where no other output works any more.
    """

    name = "log"
    quiet_in_blocks = True

    def __init__(self, limits: Limits, *, logging: bool = True) -> None:
        del limits
        self._run = os.environ.get("_WHOHOLDS_RUN", "")  # `whoholds run` says its own summary
        self._logging = logging

    def __call__(self, look: Look) -> None:
        """Say what is new in `look`. Called by the thread that ticks."""
        for finding in look.findings:
            if finding.severity != INFO or self._run == "verbose":
                self._say(finding, source=look.source)
        ending = look.snapshot.ending
        if ending is not None and ending.kind == "process":
            whole = run_of(look)
            if whole.severities and not self._run:
                say("\n".join([headline(whole), *(f"whoholds:   {line}" for line in whole.busiest)]))
            for remark in look.remarks:
                say(f"whoholds:   {remark}")

    def _say(self, finding: Finding, *, source: bool) -> None:
        record = finding_record(finding, source=source)
        logger = logging.getLogger("whoholds")
        if self._logging and logger.hasHandlers():
            try:
                _log(logger, finding, record)
            except Exception as error:  # noqa: BLE001 - a handler of the program's: stderr is still there
                self._logging = False
                reason = f"{type(error).__name__}: {error}"
                say(f"whoholds: logging raised {reason}; findings go to stderr from here on [logging-failed]")
            else:
                return
        # said before: the first line tells what is new
        say(f"whoholds: {record['message']}" if finding.since else record["report"])


def _log(logger: logging.Logger, finding: Finding, record: dict[str, Any]) -> None:
    """One log record; raises what a handler of the program's raises."""
    template, arguments = first_line(finding)
    extra = {_free(name): value for name, value in record.items()}
    before = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
    said = f"whoholds: {template}"  # a template still: what fills it is in the arguments
    try:
        logger.log(LEVELS[finding.severity], said, *arguments, extra=extra)
    finally:
        if before is None:  # a log record made a Thread object for the thread that ticks: the program must not see it
            threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]


def _free(name: str) -> str:
    """A name that a log record does not use itself."""
    return f"finding_{name}" if name in _TAKEN else name
