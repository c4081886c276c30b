"""How a leak fails a test: pytest gets a second report of the test's call, with the outcome "failed".

A failure at teardown would be an *error* in JUnit's XML and for plug-ins that annotate failed tests. The report of the
teardown carries the failure until it is logged. Private names of pytest may stand only in this module; they were seen
with pytest 7 to 9.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from whoholds.reporting.first_line import message

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from whoholds.analysis.finding import Finding


SECTION = "whoholds at teardown"  # of a report: the findings that do not fail the test
_CARRIED = "whoholds_failure"  # of a teardown's report: the failure of its test's call, as plain data
_LEAK = "whoholds_failed"  # of the report of such a call


class Failure(ReprExceptionInfo):
    """The failure's text: its first line where pytest wants one line, the whole below the test's name; no frames."""

    def __init__(self, text: str, line: str, file: str, lineno: int) -> None:
        """`text` is the reports of all findings, and `line` the first line of the first, opened at `file`:`lineno`."""
        self._text = text
        super().__init__(
            ReprTraceback(reprentries=[ReprEntryNative([f"{text}\n"])], extraline=None, style="native"),
            ReprFileLocation(file, lineno, f"whoholds: {line}"),
        )

    def toterminal(self, tw: Any) -> None:
        """Writes the reports to the terminal. Called by pytest."""
        for line in self._text.splitlines():
            tw.line(line, red=line.startswith("whoholds: "))

    def __str__(self) -> str:
        return self._text


def failed(report: pytest.TestReport) -> bool:
    """Whether the test failed in this phase, also as expected."""
    return report.failed or (report.skipped and hasattr(report, "wasxfail"))


def fail(report: pytest.TestReport, findings: Sequence[Finding], text: str, *, of_the_call: bool) -> None:
    """Fail the call of the test that `report` is about, or else its teardown, which `report` is, for `findings`."""
    opened = findings[0].opened
    failure = (text, message(findings[0]), opened.file if opened else "", opened.line if opened else 0)
    if of_the_call:
        vars(report)[_CARRIED] = failure
    else:
        report.outcome = "failed"
        report.longrepr = Failure(*failure)


def failed_call_of(report: pytest.TestReport) -> pytest.TestReport | None:
    """The report of a failed call that `report` carried until now, or None."""
    failure = vars(report).pop(_CARRIED, None)
    if failure is None:
        return None
    call = copy(report)
    vars(call).pop("whoholds", None)
    vars(call)[_LEAK] = True
    call.when, call.outcome, call.duration = "call", "failed", 0.0
    call.longrepr = Failure(*failure)
    call.sections = [section for section in report.sections if "teardown" not in section[0]]
    return call


def is_a_leak(report: pytest.TestReport) -> bool:
    """Whether `report` is the second one of a call, which says that the test leaks."""
    return hasattr(report, _LEAK)


def count_once(config: pytest.Config, leak: pytest.TestReport) -> None:
    """Removes the test from those that passed or were skipped: the terminal and JUnit's XML count it once, as failed.

    An earlier report of its call or setup had said so.
    """
    for category in ("passed", "skipped", "xpassed"):
        for report in _in_terminal(config, category, leak.nodeid):
            if report.when != "teardown":
                _stats(config)[category].remove(report)
    try:
        from _pytest.junitxml import xml_key
    except ImportError:
        return
    xml: Any = config.stash.get(xml_key, None)
    if xml is None:
        return
    testcase = xml.node_reporter(leak)
    skipped = [node for node in testcase.nodes if node.tag == "skipped"]
    for node in skipped:
        testcase.nodes.remove(node)
    counted = "skipped" if skipped else "passed"
    if xml.stats.get(counted):
        xml.stats[counted] -= 1


def show_beside_error(config: pytest.Config, teardown: pytest.TestReport) -> None:
    """Show the findings of a test whose setup failed below that error; pytest does so below failed calls only."""
    sections = [section for section in teardown.sections if section[0] == SECTION]
    for report in _in_terminal(config, "error", teardown.nodeid) if sections and teardown.passed else ():
        report.sections += sections


def _in_terminal(config: pytest.Config, category: str, nodeid: str) -> list[Any]:
    """The reports of a test that the terminal will count or show in `category`."""
    return [report for report in _stats(config).get(category, ()) if getattr(report, "nodeid", "") == nodeid]


def _stats(config: pytest.Config) -> dict[str, list[Any]]:
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    return terminal.stats if terminal is not None else {}
