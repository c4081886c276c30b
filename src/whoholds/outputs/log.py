"""The `log` output: findings as records of standard logging, or as text on stderr if logging has no handler.

It must not look up the logger before a finding, so that the program's own `dictConfig` has run.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import INFO, SEVERITIES
from whoholds.ledger.cpython import interpreter
from whoholds.ledger.faults import is_the_programs
from whoholds.reporting.first_line import first_line
from whoholds.reporting.losses import RUN
from whoholds.reporting.matters import matters, report_of
from whoholds.reporting.records import finding_record
from whoholds.reporting.report import stamped, text
from whoholds.reporting.summary import busiest_lines, headline, left_out_remarks, run_of, worst_line
from whoholds.text.streams import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from whoholds.analysis.finding import Finding, Look
    from whoholds.analysis.frames import Frame
    from whoholds.settings.limits import Limits

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_REASON = ("id", "rule", "severity", "message")  # fields of the other findings of a matter


@dataclass
class Logged:
    """What has been logged of one matter: the ids and rules of its findings, and the sentences of their reports."""

    ids: set[str] = field(default_factory=set)
    rules: dict[str, None] = field(default_factory=dict)
    sentences: set[str] = field(default_factory=set)

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Remember these records as logged."""
        for record in records:
            self.ids.add(record["id"])
            self.rules[record["rule"]] = None
            self.sentences.update(record.get("why") or ())


class LogOutput:
    """Logs each finding above info, with `WHOHOLDS_VERBOSE=1` also info, and at the end of the process a summary.

    With `logging=False` it writes to stderr in any case: the fallback when no other output works any more.
    """

    name = "log"
    quiet_in_blocks = True

    def __init__(self, limits: Limits, *, logging: bool = True) -> None:
        self._limits = limits
        self._in_run = bool(os.environ.get(RUN))  # `whoholds run` prints the summary itself
        self._logging = logging
        self._logged: dict[str, Logged] = {}  # by matter; the watch bounds their number

    def __call__(self, look: Look) -> None:
        """Log the new findings of `look`. The ticking thread calls this."""
        for group in matters(filter(self._is_shown, look.findings)):
            self._say_matter(group, source=look.source)
        ending = look.snapshot.ending
        if ending is not None and ending.kind == "process":
            whole = run_of(look, self._logged)
            remarks = [f"whoholds:   {remark}" for remark in look.remarks]
            if whole.severities and not self._in_run:
                left_out = [f"whoholds:   {remark}" for remark in left_out_remarks(look.left_out)]
                lines = [headline(whole), *left_out, *busiest_lines(whole), *remarks, *worst_line(whole)]
            else:
                lines = remarks
            if lines:
                level = LEVELS[max(whole.severities, key=SEVERITIES.index, default=INFO)]
                self._say(level, "%s", (lines[0],), "\n".join(lines), {}, None)

    def _is_shown(self, finding: Finding) -> bool:
        return finding.aloud and (finding.severity != INFO or self._limits.verbose)

    def _say_matter(self, group: list[Finding], *, source: bool) -> None:
        """Log the findings of one matter: together if it is new, else each new one with what it adds, or one repeat."""
        logged = self._logged.setdefault(group[0].matter, Logged())
        new = [finding for finding in group if finding.id not in logged.ids]
        records = [finding_record(finding, source=source) for finding in new]
        if not logged.ids:
            self._say_finding(new[0], records[0], report_of(records), reasons=records[1:])
        else:
            for finding, record in zip(new, records, strict=True):
                first, known = record["message"], frozenset(logged.sentences)
                brief = text(finding, source=source, first=first, before=tuple(logged.rules), known=known)
                self._say_finding(finding, record, brief)
        if not new:  # the first line of the worst has all that is new
            record = finding_record(group[0], source=source)
            self._say_finding(group[0], record, f"whoholds: {record['message']}")
        logged.add(records)

    def _say_finding(
        self, finding: Finding, record: dict[str, Any], said: str, *, reasons: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Log one finding with the text `said`; `reasons` are the records of other findings that this text has."""
        template, arguments = first_line(finding)
        # the report comes first, because Sentry keeps ten fields of a record
        extra = {"report": record["report"], **{_free(name): value for name, value in record.items()}}
        if reasons:
            extra["report"] = said
            extra["reasons"] = [{name: record.get(name) for name in _REASON} for record in reasons]
        self._say(LEVELS[finding.severity], f"whoholds: {template}", arguments, said, extra, finding, stamp=True)

    def _say(
        self,
        level: int,
        template: str,
        arguments: tuple[object, ...],
        text: str,
        extra: dict[str, Any],
        finding: Finding | None,
        *,
        stamp: bool = False,
    ) -> None:
        """Emit one log record, whose `stack_info` is `text` without its first line; or print `text` on stderr."""
        logger = logging.getLogger("whoholds")
        # disabled: by a dictConfig that came after the first finding, which disables the loggers that are there already
        if self._logging and logger.hasHandlers() and not logger.disabled:
            below = text.partition("\n")[2] if self._limits.log == "report" else ""
            try:
                _log(logger, level, template, arguments, below, extra, finding.opened if finding else None)
            except (Exception, SystemExit) as error:  # a handler of the program's: stderr is still there
                if is_the_programs(error):
                    raise
                self._logging = False
                reason = f"{type(error).__name__}: {error}"
                say(f"whoholds: logging raised {reason}; findings go to stderr from here on [logging-failed]")
            else:
                return
        text = stamped(text, finding.time, os.getpid(), interpreter()) if finding and stamp else text
        say(text, finding.severity if finding else "")


def _log(
    logger: logging.Logger,
    level: int,
    template: str,
    arguments: tuple[object, ...],
    below: str,
    extra: dict[str, Any],
    opened: Frame | None,
) -> None:
    """Emit one log record whose file and line are the opening line's. Raises what a handler of the program raises."""
    if not logger.isEnabledFor(level):
        return
    file, line, function = (opened.file, opened.line, opened.function) if opened else ("(whoholds)", 0, "")
    before = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
    try:
        record = logger.makeRecord(
            logger.name, level, file, line, template, arguments, None, function, extra, below or None
        )
        logger.handle(record)
    finally:
        if before is None:  # the record made a Thread object for the ticking thread, which the program must not see
            threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]


def _free(name: str) -> str:
    """`name`, with the prefix `finding_` if a log record has an attribute of that name already."""
    return f"finding_{name}" if name in _TAKEN else name
