"""A settings file and WHOHOLDS_WATCH in real programs; what `doctor` says of them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.processes.leaks import LEAK, NAMED

if TYPE_CHECKING:
    from tests.programs import Programs

if sys.version_info < (3, 11):
    needed("tomli")

DUCKDB = "import duckdb\nkept = [duckdb.connect() for _ in range(2)]\n"


def test_a_file_sets_and_never_switches_on(program: Programs) -> None:
    """With WHOHOLDS=1 its settings count; without, nothing of ours is imported."""
    program.write("[tool.whoholds]\nignore = ['left-open@app.py:load']\n", "pyproject.toml")
    ran = program.run(LEAK)
    assert (ran.code, ran.err) == (0, "")
    ran = program.run(LEAK + "import sys; print([name for name in sys.modules if 'whoholds' in name])", WHOHOLDS=None)
    assert (ran.code, ran.out, ran.err) == (0, f"{NAMED}\n", "")


@pytest.mark.parametrize(
    ("text", "config", "said"),
    [
        ("to_many = 5", None, "pyproject.toml: to_many=5: there is no such setting (did you mean too_many?)"),
        ("", "nowhere.toml", "WHOHOLDS_CONFIG=nowhere.toml: it takes the path of a TOML file that can be read"),
    ],
)
def test_a_wrong_file_leaves_the_program_unwatched(program: Programs, text: str, config: str | None, said: str) -> None:
    """One line on stderr; and the doctor says the same."""
    program.write(f"[tool.whoholds]\n{text}\n", "pyproject.toml")
    ran = program.run(LEAK, WHOHOLDS_CONFIG=config)
    assert ran.code == 0
    (line,) = ran.err.splitlines()
    assert line.startswith(f"whoholds: not watching: {said}")
    told = program.whoholds("doctor", WHOHOLDS="1", WHOHOLDS_CONFIG=config)
    assert (told.code, f"because {said}" in told.out) == (1, True)


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_module_without_a_driver_is_watched(program: Programs, where: str) -> None:
    """Its import starts the watch, and no line of the program changes."""
    needed("duckdb")
    if where == "file":
        program.write("[tool.whoholds]\nwatch = ['duckdb']\n", "pyproject.toml")
    ran = program.run(DUCKDB, WHOHOLDS_WATCH="duckdb" if where == "environment" else None)
    assert ran.code == 0
    assert ran.findings == [("left-open", "error", 2)]
    assert "left-open: app.py:2 in <listcomp>" in ran.err or "left-open: app.py:2 in <module>" in ran.err


def test_a_module_that_is_there_already_is_watched_at_once(program: Programs) -> None:
    """`start(watch=…)` after the import; and `watch_module` of the same module does nothing more."""
    needed("duckdb")
    ran = program.run(
        "import duckdb, whoholds\nwhoholds.start(outputs='log', watch='duckdb')\nwhoholds.watch_module(duckdb)\n"
        "kept = [duckdb.connect() for _ in range(2)]\nprint(len(whoholds.holders()))\n",
        WHOHOLDS=None,
        WHOHOLDS_JOURNAL=None,
    )
    assert (ran.code, ran.out) == (0, "2\n")


def test_a_name_that_is_imported_already_starts_nothing_within_an_import(program: Programs) -> None:
    """A library that whoholds itself needs is imported once: by the program, which was asked for it."""
    program.write("[tool.whoholds]\nwatch = ['json', 'duckdb']\n", "pyproject.toml")
    ran = program.run(
        "import json, sys, wrapt\nprint(sys.modules['wrapt'] is wrapt, 'whoholds.startup' in sys.modules)"
    )
    assert (ran.code, ran.out, ran.err) == (0, "True False\n", "")


def test_a_module_that_has_a_driver_is_refused(program: Programs) -> None:
    """Each of its connections would count twice."""
    ran = program.run(LEAK, WHOHOLDS_WATCH="sqlite3")
    assert ran.code == 0
    assert ran.err == (
        "whoholds: not watching: WHOHOLDS_WATCH=sqlite3: "
        "sqlite3 is watched already, by a driver of its own; leave it out\n"
    )


def test_a_module_that_is_not_installed_is_named(program: Programs) -> None:
    """Once, with the nearest of those that are known; the rest is watched."""
    ran = program.run(LEAK, WHOHOLDS_WATCH="duckbd")
    assert "WHOHOLDS_WATCH=duckbd: no such module is installed (did you mean duckdb?) [setting-not-applied]" in ran.err
    assert ran.findings == [("left-open", "error", 3)]


def test_a_file_may_name_modules_that_this_program_does_not_have(program: Programs) -> None:
    """It stands for several programs: a clean one says nothing."""
    program.write("[tool.whoholds]\nwatch = ['nosuch_module']\n", "pyproject.toml")
    assert program.run("import sqlite3\nsqlite3.connect(':memory:').close()").clean


@pytest.mark.parametrize("setting", [{"WHOHOLDS_TO_MANY": "5"}, {"WHOHOLDS_CONFIG": "nowhere.toml"}])
def test_run_refuses_wrong_settings(program: Programs, setting: dict[str, str]) -> None:
    """Unwatched, the program would look clean, and pass --fail."""
    program.write("print('ran')")
    ran = program.whoholds("run", "--fail", "app.py", **setting)
    assert (ran.code, ran.out) == (2, "")
    assert f"{next(iter(setting))}=" in ran.err


def test_a_module_without_connect_is_named(program: Programs) -> None:
    """It is no DB-API module; the program's import of it succeeds."""
    ran = program.run(LEAK + "import colorsys\nprint(colorsys.rgb_to_hsv(0, 0, 0))", WHOHOLDS_WATCH="colorsys")
    assert (ran.code, ran.out) == (0, "(0.0, 0.0, 0)\n")
    assert "colorsys is not watched: TypeError: " in ran.err


def test_the_doctor_says_where_each_setting_comes_from(program: Programs) -> None:
    """Exit code 0 where all is well, and `unknown` for what is unknown."""
    program.write("[tool.whoholds]\ntoo_many = 7\nwatch = ['nosuch_module']\n", "pyproject.toml")
    told = program.whoholds("doctor", WHOHOLDS="1", WHOHOLDS_EVERY="2")
    lines = {line.split()[0]: line.split(None, 1)[1] for line in told.out.splitlines() if line.startswith("  WHOHOLDS")}
    assert told.code == 0
    assert lines["WHOHOLDS_TOO_MANY"].split() == ["7", "(pyproject.toml)"]
    assert lines["WHOHOLDS_EVERY"].split() == ["2", "(environment)"]
    assert lines["WHOHOLDS_SERVER_LIMIT"] == "unknown"
    assert lines["WHOHOLDS_REPEAT"] == "600"
    assert lines["WHOHOLDS_WATCH"].split(None, 1) == ["nosuch_module", "(pyproject.toml; not installed here)"]
    assert lines["WHOHOLDS_CONFIG"].startswith("pyproject.toml")


def test_run_keeps_to_the_file(program: Programs) -> None:
    """Its journal is written, and the last look before SIGTERM is as it says."""
    program.write("[tool.whoholds]\njournal = 'kept.jsonl'\nsigterm = false\n", "pyproject.toml")
    program.write(LEAK)
    ran = program.whoholds("run", "app.py")
    assert "1 finding (1 error)" in ran.err
    first = json.loads((program.folder / "kept.jsonl").read_text().splitlines()[0])
    assert first["limits"]["WHOHOLDS_SIGTERM"] == "0"
