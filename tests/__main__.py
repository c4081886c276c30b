"""`python -m tests`: everything that has to pass, on this Python and on the oldest and the newest other one found here.

First what is soon told: ruff and mypy. Then the tests on the other Pythons, then foreign suites with and without
whoholds, and at last the whole of our own on this one, so that what pytest says last is about the most. A table of
what each Python came to closes it. With --every-python it brings the Pythons that the machine lacks
(.ci/install-pythons), and all tests run on each.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import interpreters
from tests.closing import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
FOREIGN = CACHE / "results" / "foreign.json"
SERVERS = ROOT / ".ci" / "install-servers"
INTERPRETERS = ROOT / ".ci" / "install-pythons"
PYTEST = ("-m", "pytest", "-q", "-n", "auto")
COMPILED = ("mysqlclient>=2.2", "mariadb>=1.1.10,<1.2")  # with what the servers' step brought

SQLALCHEMY = {
    "3.10": "sqlalchemy>=1.4,<2",
    "3.12": "sqlalchemy==2.0.20",
    "3.13": "sqlalchemy>=2.1,<2.2",
}  # beside the one that all others have


@dataclass(frozen=True)
class Step:
    """One command; where it is not `wanted`, the others go on without it."""

    name: str
    command: list[str | Path]
    version: str = ""  # of the Python to whose line in the table it counts; here, if not said
    wanted: bool = True

    @property
    def report(self) -> Path | None:
        """The JUnit file that it writes, where it runs tests."""
        given = [str(part) for part in self.command if str(part).startswith("--junitxml=")]
        return Path(given[0].partition("=")[2]) if given else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, stop at the first failure, and give its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only-here", action="store_true", help="leave the other Pythons and foreign suites out")
    which.add_argument("--every-python", action="store_true", help="all tests on each supported Python: some hours")
    parser.add_argument("pytest", nargs="*", help="arguments for the last step, after --")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    table = Table()
    if options.every_python and (code := _told(Step("the Pythons that this machine lacks", [INTERPRETERS]), table)):
        return code
    steps = [*_lint(), Step("servers", [SERVERS])]
    if not options.only_here:
        for version, python in interpreters.others(every=options.every_python).items():
            steps += _elsewhere(version, python, () if options.every_python else ("-m", "not once"))
        compare: list[str | Path] = [sys.executable, "-m", "tests.foreign", "--short", "--summary", FOREIGN]
        steps.append(Step("foreign suites", compare))
    steps += [
        Step("mysqlclient, mariadb", [*_pip(sys.executable), *COMPILED], wanted="CI" in os.environ),
        Step("tests", [sys.executable, *PYTEST, _junit("here"), *options.pytest]),
    ]
    FOREIGN.unlink(missing_ok=True)
    failed = 0
    for step in steps:
        code = _told(step, table)
        if code == 1 and "pytest" in step.command:
            # two at a time on a busy machine some look at the clock too late: what failed has to pass alone
            alone = [part for part in step.command if part not in ("-n", "auto")]
            again = Step(f"{step.name}: what failed, alone", [*alone, "--last-failed"], step.version)
            code = _told(again, table, again=True)
        if code and step.wanted:
            failed = code
            if not options.every_python:  # that takes hours: it tells of each Python what failed there
                break
    table.compared(FOREIGN)
    print(f"\n{table.text()}", flush=True)
    return failed


def _lint() -> list[Step]:
    """What reads the source and runs none of it: half a minute, and it fails first."""
    module = [sys.executable, "-m"]
    return [
        Step("ruff check", [*module, "ruff", "check", "--quiet", "."]),
        Step("ruff format", [*module, "ruff", "format", "--quiet", "--check", "."]),
        Step("mypy", [*module, "mypy"]),
        Step("mypy of accepted usage", [*module, "mypy", "--strict", "tests/typing"]),
    ]


def _told(step: Step, table: Table, *, again: bool = False) -> int:
    """Run one step and count it in the table; its exit code."""
    version = step.version or interpreters.here()
    if step.report is not None:
        step.report.unlink(missing_ok=True)
    started = time.monotonic()
    code = _run(step)
    table.took(version, time.monotonic() - started)
    if step.report is not None:
        table.tested(version, step.report, again=again)
    return code


def _junit(name: str) -> str:
    return f"--junitxml={CACHE / 'results' / name}.xml"


def _elsewhere(version: str, python: Path, selection: tuple[str, ...]) -> list[Step]:
    """The selected tests on another Python, in an environment of its own."""
    program = CACHE / "venvs" / version / "bin" / "python"
    steps = [
        Step(f"environment for {version}", [python, "-m", "venv", program.parents[1]], version),
        Step(f"whoholds on {version}", [*_pip(program), "-e", f"{ROOT}[test]"], version),
        Step(f"mysqlclient, mariadb on {version}", [*_pip(program), *COMPILED], version, wanted="CI" in os.environ),
        Step(f"tests on {version}", [program, *PYTEST, _junit(version), *selection], version),
    ]
    if wanted := SQLALCHEMY.get(version):
        alone = _junit(f"{version}-sqlalchemy")
        steps += [
            Step(f"{wanted} on {version}", [*_pip(program), wanted], version),
            Step(
                f"tests of {wanted} on {version}",
                [program, *PYTEST, alone, "tests/drivers/test_sqlalchemy.py"],
                version,
            ),
        ]
    return steps


def _pip(program: str | Path) -> list[str | Path]:
    return [program, "-m", "pip", "install", "--quiet"]


def _run(step: Step) -> int:
    """Run one step to its end, under a heading; its exit code."""
    print(f"== {step.name}", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(step.command, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        code = process.wait()
    except BaseException:
        # Interrupted or told to end: so is the step, but not killed, for it has servers to end.
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    if code:
        print(f"== {step.name} failed with {code} after {time.monotonic() - started:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
