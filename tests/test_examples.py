"""Runs every program of `examples/expected.toml` as a user does, watched by environment variable alone.

It compares what the journals say with what is written there, and must not import whoholds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests import example_texts
from tests.needs import lacking
from tests.servers import NotInstalledError, postgres_binaries

pytestmark = pytest.mark.once

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = example_texts.EXAMPLES
REWRITE = os.environ.get("WHOHOLDS_TEST_REWRITE") == "1"  # the reports beside the examples are written again
SECONDS = 90.0  # the slowest takes ten

EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((EXAMPLES / "expected.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Told:
    """One finding: the last that was said of it in one process."""

    rule: str
    severity: str
    count: int
    opened: str
    spawned: str
    message: str


@dataclass(frozen=True)
class Wanted:
    """One row of `findings`."""

    rules: tuple[str, ...]
    opened: str
    spawned: str | None
    count: int

    def is_met_by(self, told: Told) -> bool:
        """Whether a finding is of this rule and these lines; how many is judged over all processes."""
        return told.rule in self.rules and self.is_about(told) and self.spawned in {None, told.spawned}

    def is_about(self, told: Told) -> bool:
        """Whether its opening line is the row's; a notebook's cell is a file of any name: `*.py:cars_of`."""
        return fnmatch(told.opened, self.opened)


@pytest.mark.parametrize("program", EXPECTED)
def test_an_example_gets_exactly_the_findings_of_its_row(program: str, tmp_path: Path) -> None:
    """Each finding is there with its lines and count, a fixed program gets none, and the program runs as ever."""
    said = EXPECTED[program]
    skip_unless_it_can_run(said)
    output = run(program, said.get("settings", {}), tmp_path)
    told = findings(tmp_path)
    assert said.get("prints", "") in output, output
    heard = [each for each in told if each.severity != "info"]
    wrong = [f"missing: {each}" for each in wanted(said) if each.count > total(each, heard)]
    wrong += [f"too much: {each}" for each in heard if is_surplus(each, wanted(said), said.get("may", []))]
    if wrong:
        pytest.fail("\n".join([program, *wrong, "said:", *map(str, told), "printed:", output]), pytrace=False)
    compare_reports(program, said.get("shows", []), output)
    if program == "fan_out.py":
        compare_summary(output)


def compare_summary(output: str) -> None:
    """The summary that docs/report.md shows is printed word for word, but for the server's port."""
    page = (EXAMPLES.parent / "docs" / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"^  (whoholds: .*)", page[page.index("- **The summary.**") :], re.MULTILINE)
    printed = output[output.index("whoholds: 1 finding") :].splitlines()
    for like, line in zip(shown, printed[: len(shown)], strict=True):
        as_shown, as_printed = (re.sub(r":\d+/shop", "/shop", each) for each in (like, line))
        assert as_shown in (as_printed, as_printed[: len(as_shown) - 1] + "…")


def compare_reports(program: str, rules: list[str], output: str) -> None:
    """What the documentation shows is what was printed; a rule that timing kept away cannot be compared."""
    kept = example_texts.kept_beside(program)
    if not rules:
        assert not kept.exists(), f"{kept.name} is shown by no row of expected.toml"
        return
    printed = example_texts.reports_of(output, rules)
    whole = "\n\n".join(printed.values()) + "\n"
    is_kept = kept.exists() and example_texts.same(kept.read_text(encoding="utf-8"), whole)
    if REWRITE and list(printed) == rules and not is_kept:
        kept.write_text(whole, encoding="utf-8")
    shown = example_texts.reports_of(kept.read_text(encoding="utf-8"), rules)
    assert list(shown) == rules, f"{kept.name} has not the reports of {rules}"
    for rule, report in printed.items():
        as_shown, as_printed = example_texts.normalised(shown[rule]), example_texts.normalised(report)
        assert as_shown == as_printed, f"{kept.name} is out of date: WHOHOLDS_TEST_REWRITE=1 writes it again"


def test_every_program_is_expected_to_say_something() -> None:
    """No example is left out of the table, and each bug stands beside its cure."""
    beside = {path.name for path in EXAMPLES.glob("*.py")} - {"shop_database.py"}
    scenery = {"celery_settings", "gunicorn_settings", "lambda_runtime"}
    programs = {path.stem for path in (EXAMPLES / "frameworks").glob("*_*.py")} - scenery
    assert set(EXPECTED) >= beside
    assert {name.removeprefix("frameworks/run.py ") for name in EXPECTED if "run.py" in name} == programs
    bugs = {name for name in programs if EXPECTED[f"frameworks/run.py {name}"]["findings"]}
    assert bugs == {name for name in programs if name.endswith("_bug")}
    assert {name.replace("_bug", "_cure") for name in bugs} == programs - bugs


def skip_unless_it_can_run(said: dict[str, Any]) -> None:
    """Skip where a library is not installed or the Python is too old."""
    missing = [name for name in ("psycopg2", *said.get("needs", [])) if importlib.util.find_spec(name) is None]
    if missing:
        lacking(f"needs {', '.join(missing)}: pip install -r examples/requirements.txt")
    try:
        postgres_binaries()
    except NotInstalledError as missing_server:
        lacking(missing_server)
    oldest = tuple(int(part) for part in said.get("python", "3.10").split("."))
    if sys.version_info[:2] < oldest:
        pytest.skip(f"needs Python {said['python']}")


def run(program: str, settings: dict[str, str], folder: Path) -> str:
    """Give what the program printed; it must end by itself with exit code 0."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WHOHOLDS", "OTEL_", "COV_", "COVERAGE_", "PG"))
    }
    environment |= {f"WHOHOLDS_{name}": value for name, value in settings.items()}
    environment |= {"WHOHOLDS": "log", "WHOHOLDS_JOURNAL": str(folder / "{pid}.jsonl")}
    with (folder / "errors").open("w+") as errors:
        running = subprocess.Popen(
            [sys.executable, *f"examples/{program}".split()],
            cwd=EXAMPLES.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # so that its servers can be ended with it
        )
        try:
            output, _ = running.communicate(timeout=SECONDS)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
        errors.seek(0)
        everything = output + errors.read()
    assert running.returncode == 0, everything
    assert any(folder.glob("*.jsonl")), f"{program} was not watched: no journal\n{everything}"
    return everything


def findings(folder: Path) -> list[Told]:
    """Read the last telling of each finding from every process's journal."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for journal in sorted(folder.glob("*.jsonl")):
        for line in journal.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["type"] == "finding":
                last[journal.name, entry["id"]] = entry
    return [
        Told(
            each["rule"],
            each["severity"],
            each["count"],
            place(each["opened"]),
            place(each["spawned"]),
            each["message"],
        )
        for each in last.values()
    ]


def test_a_report_is_compared_without_what_differs_from_run_to_run() -> None:
    """Counts, times, ports and folders may differ; a rule, a line number or a word of advice may not."""
    output = (
        "user 31: refused\n"
        "[ERROR] whoholds: refused: /x/site-packages/flask/app.py:9 in a, to app@h:5432/shop (2 times)\n"
        "     2  opened   flask_bug.py:13 in database\n"
        "        held     for up to 0.1 s, by 2 threads; 1 idle in transaction\n"
        "  Close it.\n"
        "12 requests answered 200\n"
        "whoholds: refused: flask_bug.py:13 in database (×3 since)\n"
    )
    report = example_texts.reports_of(output, ["left-open", "refused"])["refused"]
    assert report.startswith("whoholds: refused: flask/app.py:9")
    assert report.endswith("  Close it.")
    later = report.replace("5432", "5433").replace("0.1 s", "0.25 s").replace("; 1 idle in transaction", "")
    assert example_texts.normalised(report) == example_texts.normalised(later)
    for wrong in (report.replace(":13", ":14"), report.replace("Close", "Open"), report.replace("held", "kept")):
        assert example_texts.normalised(report) != example_texts.normalised(wrong)


def test_a_server_says_of_the_shop_what_its_page_shows() -> None:
    """`whoholds server` asks a real one; but for numbers and times, ask.txt is the whole of what it prints."""
    skip_unless_it_can_run({})
    command = [sys.executable, "examples/server/ask.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "PG", "COV"))}
    ran = subprocess.run(
        command,
        cwd=EXAMPLES.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    kept = (EXAMPLES / "server" / "ask.txt").read_text(encoding="utf-8")
    others = re.compile(r"^\d+ of the \d+ watched processes of this machine did not answer, .*\n", re.MULTILINE)
    printed = example_texts.normalised(others.sub("", ran.stdout))  # those of other tests, stopped or busy
    assert example_texts.normalised(kept) == printed, f"python examples/server/ask.py 95 writes it again\n{ran.stderr}"


def place(line: dict[str, Any] | None) -> str:
    """Write a line of the journal as the table does: `file:function`, or `none`."""
    return f"{Path(line['file']).name}:{line['function']}" if line else "none"


def wanted(said: dict[str, Any]) -> list[Wanted]:
    """The rows of the table for one program."""
    return [
        Wanted(
            (row["rule"],) if isinstance(row["rule"], str) else tuple(row["rule"]),
            row["opened"],
            row.get("spawned"),
            row["count"],
        )
        for row in said["findings"]
    ]


def total(row: Wanted, heard: list[Told]) -> int:
    """Handles in the findings that meet a row, those of all processes together."""
    return sum(each.count for each in heard if row.is_met_by(each))


def is_surplus(told: Told, rows: list[Wanted], may: list[str]) -> bool:
    """Whether a finding meets no row and is none of those that timing decides, about the same line."""
    tolerated = told.rule in may and any(row.is_about(told) for row in rows)
    return not tolerated and not any(row.is_met_by(told) for row in rows)
