"""The `warn` output: Python warnings at the opening lines, in a category that is shown by default."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from whoholds.analysis.finding import INFO
from whoholds.reporting.first_line import message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.finding import Finding, Look
    from whoholds.plugins import Output
    from whoholds.settings.limits import Limits


class HeldConnectionWarning(UserWarning):
    """The category of whoholds's warnings. A UserWarning, because ResourceWarning is ignored by default."""


def maker(limits: Limits) -> Output:
    """The `warn` output, which has no settings."""
    del limits
    return warn


def warn(look: Look) -> None:
    """Warn of each finding above info. The ticking thread calls this.

    If an `error` filter turns a warning into an exception, it is logged as an error instead of raised.
    """
    for finding in _above_info(look.findings):
        try:
            _warn_at_opening_line(finding)
        except HeldConnectionWarning as error:
            import logging

            logging.getLogger("whoholds").error("%s", error)  # noqa: TRY400 - its traceback is ours


def warn_caller(findings: Iterable[Finding]) -> None:
    """Warn of each finding above info in the calling thread, in which the program ended a watch or a scope.

    Here an `error` filter raises, as for any warning.
    """
    for finding in _above_info(findings):
        _warn_at_opening_line(finding)


def _above_info(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != INFO and finding.aloud]


def _warn_at_opening_line(finding: Finding) -> None:
    opened = finding.opened
    file, line = (opened.file, opened.line) if opened else ("<unknown>", 1)
    warnings.warn_explicit(message(finding), HeldConnectionWarning, file, line, module="whoholds")
