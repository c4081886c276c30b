"""The `warn` output: a Python warning at the opening line, in a category that is shown by default."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from whoholds.analysis.finding import INFO
from whoholds.reporting.wording import message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.finding import Finding, Look
    from whoholds.limits import Limits
    from whoholds.plugins import Output


class HeldConnectionWarning(UserWarning):
    """Something whoholds found. A UserWarning, because ResourceWarning is ignored by default."""


def maker(limits: Limits) -> Output:
    """The output; it has no settings."""
    del limits
    return warn


def warn(look: Look) -> None:
    """Warn of each finding above info; an `error` filter turns none into an exception here."""
    for finding in _above_info(look.findings):
        try:
            _warn_at_opening_line(finding)
        except HeldConnectionWarning as error:
            import logging

            logging.getLogger("whoholds").error("%s", error)  # noqa: TRY400 - its traceback is ours


def warn_caller(findings: Iterable[Finding]) -> None:
    """In the calling thread, where the program itself ended a watch or scope: filters work as anywhere, and raise."""
    for finding in _above_info(findings):
        _warn_at_opening_line(finding)


def _above_info(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != INFO]


def _warn_at_opening_line(finding: Finding) -> None:
    opened = finding.opened
    file, line = (opened.file, opened.line) if opened else ("<unknown>", 1)
    warnings.warn_explicit(message(finding), HeldConnectionWarning, file, line, module="whoholds")
