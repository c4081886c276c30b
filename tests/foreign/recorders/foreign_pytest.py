"""A pytest plug-in that records outcomes and warnings, and runs only the tests it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import foreign_lines
import pytest

if TYPE_CHECKING:
    import warnings

_outcomes: dict[str, tuple[str, str]] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run is not to run."""
    out = [item for item in items if not foreign_lines.wanted(item.nodeid)]
    items[:] = [item for item in items if foreign_lines.wanted(item.nodeid)]
    config.hook.pytest_deselected(items=out)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Count a file that cannot be collected as a test in error."""
    if report.failed:
        foreign_lines.end(f"collect {report.nodeid}", "error", report.longreprtext)


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note which test runs now."""
    foreign_lines.begin(nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst of a test's three phases."""
    if report.failed:
        outcome = "failed" if report.when == "call" else "error"
        if getattr(report, "wasxfail", None) is None and "XPASS" in report.longreprtext[:20]:
            outcome = "xpassed"
    elif report.skipped:
        outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"
    elif report.when == "call":
        outcome = "xpassed" if hasattr(report, "wasxfail") else "passed"
    else:
        return
    if report.failed or report.nodeid not in _outcomes:
        _outcomes[report.nodeid] = (outcome, report.longreprtext)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Write the outcome when all phases are over."""
    outcome, text = _outcomes.pop(nodeid, ("error", "it reported nothing"))
    foreign_lines.end(nodeid, outcome, text)


def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """Record a warning; pytest itself turns unraisable and thread exceptions into warnings."""
    foreign_lines.see(warning_message)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Say that only the exit is left."""
    foreign_lines.done()
