"""Findings for code hosts: GitHub's annotations, SARIF by its published schema, and GitLab's code quality report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.journals import damaged_journals
from tests.needs import needed
from tests.picture.generated import finding, handles, line, write_journal
from tests.programs import Programs
from whoholds.commands.cli import main
from whoholds.reporting.ci import code_quality, github_lines, sarif
from whoholds.reporting.reading import Journal
from whoholds.reporting.summary import Contents

if TYPE_CHECKING:
    from tests.inner import Suite

# As published by OASIS, from the npm package @microsoft/jest-sarif 1.0.0-beta.0 (MIT), without white space.
SCHEMA = json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text())
GITLAB = {"description", "check_name", "fingerprint", "severity", "location"}


def crowd(**fields: Any) -> dict[str, Any]:
    """A finding about five handles."""
    return finding(handles(5, over=1, held=1, lines=1), fingerprint="0123456789abcdef", **fields)


def valid(log: bytes) -> dict[str, Any]:
    """The log, which the schema has nothing against."""
    read: dict[str, Any] = json.loads(log)
    needed("jsonschema").Draft4Validator(SCHEMA).validate(read)
    return read


def test_an_annotation_stands_at_the_opening_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative to the repository, with the whole report; its level is the severity."""
    monkeypatch.chdir(tmp_path)
    opened = {**line(0), "file": str(tmp_path / "shop" / "cars.py")}
    records = [crowd(opened=opened, report="first, 100 %\nsecond: line", severity=one) for one in ("error", "info")]
    place = "file=shop/cars.py,line=10,title=whoholds%3A too-many-at-once"
    said = "first, 100 %25%0Asecond: line"
    assert github_lines(records) == [f"::error {place}::{said}", f"::notice {place}::{said}"]
    assert github_lines([crowd(opened=None, report="x")]) == ["::warning title=whoholds%3A too-many-at-once::x"]


def test_no_text_becomes_a_command_of_its_own() -> None:
    """Whatever a file, a rule or a report contains: one line, with its own properties."""
    hostile = "a\r\n::error::owned\n::set-output name=x::y,line=1:\x1b[0m\u2028"
    record = crowd(opened={**line(0), "file": hostile, "function": hostile}, rule=hostile, report=hostile)
    (said,) = github_lines([record])
    assert len(said.splitlines()) == 1
    properties = said.removeprefix("::warning ").partition("::")[0].split(",")
    assert [one.partition("=")[0] for one in properties] == ["file", "line", "title"]


def test_the_log_is_as_the_schema_asks() -> None:
    """With place, spawn line, level, count, and a fingerprint."""
    result = valid(sarif([crowd()]))["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 10}
    assert result["relatedLocations"][0]["physicalLocation"]["region"] == {"startLine": 17}
    assert (result["level"], result["ruleId"], result["occurrenceCount"]) == ("warning", "too-many-at-once", 5)
    assert valid(sarif([]))["runs"][0]["results"] == []


def test_a_fingerprint_stays_when_lines_move() -> None:
    """It stays the same in both reports."""
    moved = crowd(opened={**line(0), "line": 999})
    for make in (sarif, code_quality):
        texts = [make([record]).decode() for record in (crowd(), moved)]
        found = [_fingerprints(json.loads(text)) for text in texts]
        assert texts[0] != texts[1]
        assert found[0] == found[1] != []


def _fingerprints(value: object) -> list[object]:
    if isinstance(value, list):
        return [found for one in value for found in _fingerprints(one)]
    if not isinstance(value, dict):
        return []
    own = [one for name, one in value.items() if name in ("fingerprint", "partialFingerprints")]
    return own + [found for one in value.values() for found in _fingerprints(one)]


def test_the_code_quality_report_is_as_gitlab_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every issue has its fields and its own fingerprint; what has no line is left out."""
    monkeypatch.chdir("/")
    other = crowd(opened={**line(0), "file": "/srv/other.py"}, severity="error")
    issues = json.loads(code_quality([crowd(), crowd(), other, crowd(opened=None)]))
    assert [set(issue) for issue in issues] == [GITLAB] * 2
    assert len({issue["fingerprint"] for issue in issues}) == 2
    assert [issue["severity"] for issue in issues] == ["minor", "critical"]
    assert issues[1]["location"] == {"path": "/srv/other.py", "lines": {"begin": 10}}


def test_no_damaged_journal_stops_them(tmp_path: Path) -> None:
    """Each day damages another way."""
    for path in damaged_journals(tmp_path, "hosts", 150):
        findings = Contents([Journal(path)]).findings
        valid(sarif(findings))
        assert all(set(issue) == GITLAB for issue in json.loads(code_quality(findings)))
        assert all(len(said.splitlines()) == 1 and said.startswith("::") for said in github_lines(findings))


def test_commands_write_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`report` and `run`; findings of severity info are left out."""
    path = write_journal(tmp_path / "run.jsonl", [crowd(), crowd(id="a-2", severity="info")])
    assert main(["report", str(path), "--github"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [said.partition(" ")[0] for said in printed if said.startswith("::")] == ["::warning"]
    for option, make in (("--sarif", lambda log: log["runs"][0]["results"]), ("--gitlab", list)):
        assert main(["report", str(path), option, str(tmp_path / "out.json")]) == 0
        assert len(make(json.loads((tmp_path / "out.json").read_bytes()))) == 1


def test_a_run_is_annotated_on_stderr(tmp_path: Path) -> None:
    """Its own output stays as it is."""
    program = Programs(tmp_path)
    program.write("import sqlite3; kept = [sqlite3.connect('a.db') for _ in range(30)]; print('own')")
    ran = program.whoholds("run", "--github", "--sarif", "a.sarif", "app.py")
    assert ran.out == "own\n"
    assert "::warning file=app.py,line=1,title=whoholds%3A too-many-at-once::" in ran.err
    assert valid((tmp_path / "a.sarif").read_bytes())["runs"][0]["results"]


def test_a_suite_is_annotated(suite: Suite) -> None:
    """What fails is an error, what is only reported a warning, each at its opening line."""
    tests = "def test_leaks():\n    leak()\n"
    for mode, level in (("error", "error"), ("report", "warning")):
        result = suite(tests, f"--whoholds={mode}", "--whoholds-github", "--whoholds-no-summary")
        result.stdout.fnmatch_lines([f"::{level} file=app.py,line=6,title=whoholds%3A left-open::*"])


@pytest.mark.skipif(os.name == "nt", reason="paths there have other forms")
def test_a_path_outside_of_the_repository_is_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The report does not say that it is below the root."""
    monkeypatch.chdir(tmp_path)
    artifact = valid(sarif([crowd()]))["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "/srv/shop/view_0.py"}
