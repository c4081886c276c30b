"""The versions that drivers know: one table, which the matrix runs and the documentation shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.versions.__main__ import main
from tests.versions.matrix import EVERY, MATRIX
from whoholds.commands.doctor import remarked
from whoholds.drivers import kit
from whoholds.drivers.table import DRIVERS
from whoholds.drivers.versions import LIBRARIES, Versions, numbers

PAGE = Path(__file__).parents[2] / "docs" / "libraries.md"
NAMES = {"MySQLdb": "mysqlclient", "mysql": "mysql-connector-python", "playhouse": "peewee"}
SHOP = Versions("2.5", "2.9.13", below="4")


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.8", (2, 8)), ("2.8.0 (dt dec pq3)", (2, 8)), ("3.0rc1", (3,)), ("1.4.2.post1", (1, 4, 2)), ("unknown", ())],
)
def test_the_numbers_of_a_release_are_compared(version: str, expected: tuple[int, ...]) -> None:
    """Zeros at the end and what follows the numbers make no difference."""
    assert numbers(version) == expected


def test_every_library_that_has_a_driver_has_its_versions() -> None:
    """The driver takes the oldest and the newest that were tested."""
    watched = {module.partition(".")[0] for module in DRIVERS} - {"sqlite3"}
    assert {NAMES.get(module, module).lower() for module in watched} == {name.lower() for name in LIBRARIES}
    for known in LIBRARIES.values():
        assert numbers(known.oldest) <= numbers(known.newest) < numbers(known.below)


def test_a_driver_of_whoholds_has_its_bounds_in_the_table() -> None:
    """Below the oldest and from the first that is not known, it stands aside."""
    known = LIBRARIES["psycopg2"]
    for version in (known.oldest, known.newest):
        kit.library("psycopg2", version)
    for version in ("2.7.7", known.below):
        with pytest.raises(kit.StandsAside, match=f"psycopg2 {version} is here; this driver knows psycopg2 from 2.8"):
            kit.library("psycopg2", version)


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ("2.5", "2.5"),
        ("2.9.13", "2.9.13"),
        ("2.9.14", "2.9.14, newer than tested (2.9.13)"),
        ("2.4.9", "2.4.9, not watched: its driver knows 2.5 to below 4"),
        ("4.0", "4.0, not watched: its driver knows 2.5 to below 4"),
    ],
)
def test_the_doctor_says_which_version_was_not_tested(installed: str, expected: str) -> None:
    """Such a version is watched all the same, unless the driver does not know it."""
    assert remarked(installed, SHOP) == expected


def test_the_matrix_tries_the_oldest_and_the_newest_of_each() -> None:
    """What whoholds itself is built on, too."""
    assert set(MATRIX) == set(EVERY)
    for library, row in MATRIX.items():
        tried = [trial.version for trial in row.trials()]
        assert (tried[0], tried[-1]) == (EVERY[library].oldest, EVERY[library].newest)


@pytest.mark.once
def test_the_documentation_shows_the_versions_that_were_tried() -> None:
    """The table of `python -m tests.versions` has one line for each, and no test failed."""
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^\| (\S+) \| ([\d.]+) \| (3\.\d+) \| [1-9]\d* \| \d+ \| 0 \|$", page, re.MULTILINE)
    expected = [(trial.library, trial.version) for row in MATRIX.values() for trial in row.trials()]
    assert [(library, version) for library, version, _ in shown] == expected


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_documentation_names_the_versions_that_a_driver_takes(library: str) -> None:
    """From the oldest that was tried to the last that it knows."""
    known = LIBRARIES[library]
    taken = f"{known.oldest} to {int(known.below) - 1}.x"
    assert re.search(rf"(?m)^\| .*\b{library}\b.*\b{re.escape(taken)}", PAGE.read_text(encoding="utf-8"))


def test_a_version_that_cannot_be_tried_counts_as_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the table says so, and why stands above."""
    assert main(["aiosqlite", "--oldest", "--python", "3.9"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("aiosqlite 0.17.0: no Python 3.9 here; there are ")
    assert said[-1] == "| aiosqlite | 0.17.0 | 3.9 | - | - | not run |"
