"""The `log` output: standard logging; where that has no handler, the whole text on stderr.

The logger is looked up at the first finding, after the program's own `dictConfig`.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from whoholds.analysis.finding import INFO
from whoholds.reporting.records import finding_record
from whoholds.reporting.summary import headline, run_of
from whoholds.reporting.wording import first_line
from whoholds.text.streams import say

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding, Look

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def log(look: Look) -> None:
    """Say each finding above info (under `whoholds run -v` info too), and at the end of the process a summary."""
    run = os.environ.get("_WHOHOLDS_RUN", "")
    for finding in look.findings:
        if finding.severity != INFO or run == "verbose":
            _say(finding, source=look.source)
    ending = look.snapshot.ending
    if ending is not None and ending.kind == "process":
        whole = run_of(look)
        if whole.severities and not run:  # `whoholds run` says its own
            say("\n".join([headline(whole), *(f"whoholds:   {line}" for line in whole.busiest)]))
        for remark in look.remarks:
            say(f"whoholds:   {remark}")


def _say(finding: Finding, *, source: bool) -> None:
    logger = logging.getLogger("whoholds")
    record = finding_record(finding, source=source)
    if not logger.hasHandlers():
        # said before: the first line tells what is new
        say(f"whoholds: {record['message']}" if finding.since else record["report"])
        return
    template, arguments = first_line(finding)
    extra = {_free(name): value for name, value in record.items()}
    before = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
    said = f"whoholds: {template}"  # a template still: what fills it is in the arguments
    logger.log(LEVELS[finding.severity], said, *arguments, extra=extra)
    if before is None:  # a log record made a Thread object for the thread that ticks: the program must not see it
        threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]


def _free(name: str) -> str:
    """A name that a log record does not use itself."""
    return f"finding_{name}" if name in _TAKEN else name
