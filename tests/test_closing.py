"""The closing table of `python -m tests`: what it counts, from the files that pytest and the comparison write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests import servers
from tests.__main__ import Step
from tests.closing import Table

if TYPE_CHECKING:
    from pathlib import Path

JUNIT = '<testsuites><testsuite tests="{0}" failures="{1}" errors="{2}" skipped="{3}"/></testsuites>'


def report(folder: Path, *numbers: int) -> Path:
    """Give a file such as pytest writes."""
    path = folder / "r.xml"
    path.write_text(JUNIT.format(*numbers), encoding="utf-8")
    return path


def test_each_python_has_a_line(tmp_path: Path) -> None:
    """Passed, skipped and failed tests, foreign suites, minutes; and a sum."""
    table = Table()
    table.tested("3.10", report(tmp_path, 100, 1, 1, 8))
    table.took("3.10", 90)
    table.tested("3.11", report(tmp_path, 50, 0, 0, 0))
    table.tested("3.11", tmp_path / "never-written.xml")
    table.took("3.11", 30)
    summary = tmp_path / "foreign.json"
    summary.write_text(json.dumps([["sqlite3", "3.11", 436, 0], ["aiosqlite", "3.11", 30, 1]]))
    table.compared(summary)
    table.compared(tmp_path / "never-written.json")
    assert [line.split("  ") for line in table.text().replace("   ", "  ").splitlines()]
    assert [line.split() for line in table.text().splitlines()] == [
        ["Python", "passed", "skipped", "failed", "foreign", "suites", "minutes"],
        ["3.10", "90", "8", "2", "-", "1.5"],
        ["3.11", "50", "0", "0", "sqlite3", "436,", "aiosqlite", "30", "(1", "NEW)", "0.5"],
        ["all", "140", "8", "2", "2.0"],
    ]


def test_what_failed_and_then_passed_alone_has_passed(tmp_path: Path) -> None:
    """The second run counts what the first one could not."""
    table = Table()
    table.tested("3.10", report(tmp_path, 100, 3, 0, 8))
    table.tested("3.10", report(tmp_path, 3, 0, 0, 0), again=True)
    assert table.text().splitlines()[1].split()[:4] == ["3.10", "92", "8", "0"]


def test_a_step_that_runs_tests_knows_its_report() -> None:
    """And any other has none."""
    assert Step("tests", ["python", "--junitxml=/a/b.xml"]).report is not None
    assert Step("mypy", ["python", "-m", "mypy"]).report is None


@pytest.mark.parametrize(("server", "given"), [("mysql", True), ("mariadb", True), ("other", False)])
def test_mariadbs_tables_are_found_by_their_old_names_and_their_new(
    tmp_path: Path, server: str, *, given: bool
) -> None:
    """Debian 12 has mysql_…, later ones mariadb_… in another folder."""
    for name in ("system_tables", "performance_tables", "system_tables_data"):
        (tmp_path / f"{server}_{name}.sql").write_text(f"SELECT '{name}';")
    found = servers._mariadb_tables([tmp_path / "nowhere", tmp_path])
    assert (
        found is not None
        and found.endswith(b"'system_tables';\nSELECT 'performance_tables';\nSELECT 'system_tables_data';")
    ) == given
