"""How a leak fails a test: pytest gets a second report of the test's call, with the outcome "failed".

A failure at teardown would be an *error* in JUnit's XML and for plug-ins that annotate failed tests. Private names of
pytest may stand only in this module; they were seen with pytest 7 to 9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.analysis.finding import Finding


class Failure(ReprExceptionInfo):
    """The failure's text: its first line where pytest wants one line, the whole below the test's name; no frames."""

    def __init__(self, findings: Sequence[Finding], line: str, text: str) -> None:
        """`line` is the first line of the first of `findings`, and `text` the reports of all of them."""
        opened = findings[0].opened
        self._text = text
        super().__init__(
            ReprTraceback(reprentries=[ReprEntryNative([f"{text}\n"])], extraline=None, style="native"),
            ReprFileLocation(opened.file if opened else "", opened.line if opened else 0, f"whoholds: {line}"),
        )

    def toterminal(self, tw: Any) -> None:
        """Writes the reports to the terminal. Called by pytest."""
        for line in self._text.splitlines():
            tw.line(line, red=line.startswith("whoholds: "))

    def __str__(self) -> str:
        return self._text


def report_of_failure(item: pytest.Item, failure: Failure) -> pytest.TestReport:
    """A report that the call of `item` failed with `failure`."""
    call = pytest.CallInfo.from_call(lambda: None, when="call")
    report = pytest.TestReport.from_item_and_call(item, call)
    report.outcome = "failed"
    report.longrepr = failure
    return report


def passed_no_more(config: pytest.Config, nodeid: str) -> None:
    """Removes the test from those that passed, so that the terminal and JUnit's XML count it once, as failed.

    The first report of its call had said that it passed.
    """
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    passed = terminal.stats.get("passed", []) if terminal is not None else []
    for report in [one for one in passed if getattr(one, "when", "") == "call" and one.nodeid == nodeid]:
        passed.remove(report)
    try:
        from _pytest.junitxml import xml_key
    except ImportError:
        return
    stats = getattr(config.stash.get(xml_key, None), "stats", {})
    if stats.get("passed"):
        stats["passed"] -= 1
