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
from whoholds.reporting.summary import counted
from whoholds.reporting.wording import first_line, text
from whoholds.text.streams import say

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding, Look
    from whoholds.analysis.snapshot import Snapshot

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
        found = [finding for finding in look.told if finding.severity != INFO]
        if found and not run:  # `whoholds run` says its own
            say(_summary(found, look.snapshot))
        if found or look.remarks:
            for remark in look.remarks:
                say(f"whoholds:   {remark}")


def _summary(found: list[Finding], snapshot: Snapshot) -> str:
    """Findings, peak and busiest opening lines, in up to five short lines."""
    history = snapshot.history
    trend = max(history.trends.values(), key=lambda one: one.highest.count, default=None)
    most = (
        f", at most {trend.highest.count} at once to {trend.database.text}"
        if trend is not None and trend.highest.count
        else ""
    )
    opened = f"{history.connections} connection{'s' * (history.connections != 1)} opened{most}"
    lines = [f"whoholds: {counted(finding.severity for finding in found)}: {opened}"]
    for site in sorted(history.sites, key=lambda one: -one.opened)[:3]:
        if site.opened:
            verb = "borrowed" if site.borrows else "opened"
            lines.append(f"whoholds:   {site.frame.place} in {site.frame.function} {verb} {site.opened}")
    return "\n".join(lines)


def _say(finding: Finding, *, source: bool) -> None:
    logger = logging.getLogger("whoholds")
    report = text(finding, source=source)
    if not logger.hasHandlers():
        say(report)
        return
    template, arguments = first_line(finding)
    extra = {_free(name): value for name, value in finding_record(finding, source=source).items()}
    before = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
    said = f"whoholds: {template}"  # a template still: what fills it is in the arguments
    logger.log(LEVELS[finding.severity], said, *arguments, extra={**extra, "report": report})
    if before is None:  # a log record made a Thread object for the thread that ticks: the program must not see it
        threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]


def _free(name: str) -> str:
    """A name that a log record does not use itself."""
    return f"finding_{name}" if name in _TAKEN else name
