"""Settings from a TOML file: which file is read, what wins, and errors that name file, key, what it got and takes."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from whoholds.settings.config import limits_from, settings_file, sources
from whoholds.settings.limits import Limits
from whoholds.settings.matching import IgnoreRule, Threshold, WrongSetting
from whoholds.settings.toml_files import names_to_watch

if TYPE_CHECKING:
    from pathlib import Path

if sys.version_info < (3, 11):
    needed("tomli")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the working directory, in which `pyproject.toml` is written."""
    folder = tmp_path / "shop" / "src"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("WHOHOLDS")]:
        monkeypatch.delenv(name)
    return folder


def written(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    """Give the path of a file with this text in the folder."""
    path = folder / name
    path.write_text(text)
    return path


def test_the_table_of_the_nearest_pyproject_counts(here: Path) -> None:
    """Here or above; a file without the table is passed over, also where it mentions us."""
    written(here.parents[1], "[tool.whoholds]\ntoo_many = 9\n")
    path = written(here.parent, "[tool.whoholds]\ntoo_many = 7\n")
    written(here, '[project.scripts]\nwhoholds = "shop:main"\n[project]\ndependencies = ["whoholds"]\n')
    limits = limits_from({})
    assert (limits.too_many, limits.config) == (Threshold(7), str(path))


@pytest.mark.parametrize(
    "text",
    [
        "[tool.whoholds]\nevery = 3",
        "[ tool . 'whoholds' ]\nevery = 3",
        "tool.whoholds.every = 3",
        "[tool]\nwhoholds = {every = 3}",
        "[tool]\nwhoholds.every = 3",
    ],
)
def test_the_table_may_be_written_as_toml_allows(here: Path, text: str) -> None:
    """Quoted, dotted, in line."""
    written(here, text)
    assert limits_from({}).every == 3


def test_code_wins_over_the_environment_and_the_environment_over_the_file(here: Path) -> None:
    """Setting by setting."""
    written(here, '[tool.whoholds]\ntoo_many = 7\nevery = 3\nlog = "line"\n')
    limits = limits_from({"WHOHOLDS_TOO_MANY": "8", "WHOHOLDS_EVERY": "4", "WHOHOLDS_LOG": " "}, every=5)
    assert (limits.too_many, limits.every, limits.log) == (Threshold(8), 5, "line")


def test_every_kind_of_value(here: Path) -> None:
    """Numbers, flags, texts and lists; paths are seen from the folder of the file."""
    written(here.parent, "growing@jobs/*.py\n", "ours.txt")
    written(
        here.parent,
        """
        [tool.whoholds]
        outputs = ["log", "warn"]
        source = false
        frames = 8
        held_too_long = [60, "600@jobs/*.py"]
        idle_in_transaction = "5,50@jobs/*.py"
        journal = "runs/{pid}.jsonl"
        watch = ["duckdb"]
        ignore = ["left-open@legacy.py", "@ours.txt"]
        """,
    )
    limits = limits_from({"WHOHOLDS": "1"})
    assert limits.outputs == ("log", "warn", "journal")
    assert (limits.source, limits.frames, limits.watch) == (False, 8, ("duckdb",))
    assert limits.held_too_long == Threshold(60, ((600, "jobs/*.py"),))
    assert limits.idle_in_transaction == Threshold(5, ((50, "jobs/*.py"),))
    assert limits.journal == str(here.parent / "runs" / "{pid}.jsonl")
    assert limits.ignore == (IgnoreRule("left-open", "legacy.py"), IgnoreRule("growing", "jobs/*.py"))
    assert limits_from({"WHOHOLDS": "otel", "WHOHOLDS_JOURNAL": "x"}).outputs == ("otel", "journal")


def test_a_file_that_is_named_holds_the_settings_at_its_top(here: Path) -> None:
    """Or in `[tool.whoholds]`; no other file is looked for. By the variable, and by the argument of `start`."""
    written(here, "[tool.whoholds]\ntoo_many = 7\n")
    path = written(here.parent, "every = 3\n", "whoholds.toml")
    for limits in (limits_from({"WHOHOLDS_CONFIG": "../whoholds.toml"}), limits_from({}, config=path)):
        assert (limits.every, limits.too_many, limits.config) == (3, Threshold(20), str(path))
    assert limits_from({"WHOHOLDS_CONFIG": "pyproject.toml"}).too_many == Threshold(7)


# text of pyproject.toml, what the error says
BAD = [
    ("too_many = 'a few'", "pyproject.toml: too_many=a few: it takes a number and, if wanted, others for some files"),
    ("too_many = -1", "pyproject.toml: too_many=-1: it takes a number"),
    ("to_many = 5", "pyproject.toml: to_many=5: there is no such setting (did you mean too_many?)"),
    ("too-many = 5", "pyproject.toml: too-many=5: there is no such setting (did you mean too_many?)"),
    ("WHOHOLDS_TOO_MANY = 5", "there is no such setting (did you mean too_many?)"),
    ("log = 'reports'", "pyproject.toml: log=reports: it takes one of report, line (did you mean report?)"),
    ("outputs = ['lgo']", "pyproject.toml: outputs=lgo: it takes 1, 0 or a comma list of outputs"),
    ("outputs = [['log']]", "pyproject.toml: outputs=[['log']]: it takes"),
    ("every = 2026-11-26", "pyproject.toml: every=2026-11-26: it takes seconds"),
    ("source = 2", "pyproject.toml: source=2: it takes 1 or 0"),
    ("journal = {path = 'x'}", "pyproject.toml: journal={'path': 'x'}: it takes a path"),
    ("whoholds = true", "whoholds=True: a file cannot switch whoholds on or off; set WHOHOLDS=1 in the environment"),
    ("config = 'x'", "pyproject.toml: config=x: a settings file names no other"),
    ("ignore = ['@nowhere']", "nowhere: it takes a file that can be read after @ (No such file or directory)"),
    ("too_many = true", "pyproject.toml: too_many=True: it takes a number"),
    ("every = true", "pyproject.toml: every=True: it takes seconds"),
    ("frames = true", "pyproject.toml: frames=True: it takes a number"),
    ("journal = true", "pyproject.toml: journal=True: it takes a path"),
    ("every = ", "pyproject.toml: this is no TOML: Invalid value (at line 2, column"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=range(len(BAD)))
def test_a_wrong_file_is_one_line_that_names_it(here: Path, text: str, said: str) -> None:
    """File, key, what it got, and what it takes or the nearest name."""
    written(here, f"[tool.whoholds]\n{text}\n")
    with pytest.raises(WrongSetting) as wrong:
        limits_from({})
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_named_file_that_cannot_be_read_is_an_error_of_its_variable(here: Path) -> None:
    """Missing, a folder, too large, no UTF-8; and a pyproject.toml without the table."""
    (here / "huge").write_bytes(b"#" * 1_000_001)
    (here / "binary").write_bytes(bytes(range(256)))
    written(here, "")
    for name, said in (
        ("nowhere.toml", "it takes the path of a TOML file that can be read (No such file or directory)"),
        (".", "it takes the path of a TOML file, and this is no regular file"),
        ("huge", "it takes the path of a TOML file, of 1000000 bytes at most"),
        ("binary", "it takes the path of a TOML file, in UTF-8"),
    ):
        with pytest.raises(WrongSetting) as wrong:
            settings_file(name)
        assert str(wrong.value).startswith(f"WHOHOLDS_CONFIG={name}: {said}")
    with pytest.raises(WrongSetting, match=r"pyproject.toml: there is no table \[tool.whoholds\] in it"):
        settings_file("pyproject.toml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
def test_a_search_is_never_held_up(here: Path) -> None:
    """A FIFO of that name, or a folder, does not hold it up."""
    os.mkfifo(here / "pyproject.toml")
    (here.parent / "pyproject.toml").mkdir()
    written(here.parents[1], "[tool.whoholds]\nevery = 3")
    assert limits_from({}).every == 3


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_a_file_of_somebody_else_in_a_folder_of_everybodys_is_passed_over(here: Path) -> None:
    """Anybody can put a file into /tmp; one that is named is read all the same."""
    path = written(here.parent, "[tool.whoholds]\nevery = 3")
    here.parent.chmod(0o777)
    os.chown(path, 12345, -1)
    assert limits_from({}).every == 1
    assert limits_from({"WHOHOLDS_CONFIG": "../pyproject.toml"}).every == 3
    here.parent.chmod(0o755)
    assert limits_from({}).every == 3
    here.parent.chmod(0o777)
    link = path.rename(here.parents[1] / "ours.toml")
    os.chown(link, 0, -1)
    path.symlink_to(link)
    os.lchown(path, 12345, -1)
    assert limits_from({}).every == 1


def test_an_error_is_one_line_without_control_characters(here: Path) -> None:
    """Whatever stands in the file; passwords are redacted."""
    for text in (
        '"\\u001b[2J" = 1',
        'every = "\\u001b[2J"',
        'every = "postgresql://u:hunter2@h"',
        f"{'k' * 5000} = 1",
        "e\x01y = 2",
    ):
        written(here, f"[tool.whoholds]\n{text}\n")
        with pytest.raises(WrongSetting) as wrong:
            limits_from({})
        said = str(wrong.value)
        assert said.isprintable()
        assert len(said) < 500
        assert "hunter2" not in said


def test_where_each_setting_comes_from(here: Path) -> None:
    """By its variable; what is not set is not there."""
    written(here, "[tool.whoholds]\ntoo_many = 7\nevery = 3\n")
    assert sources({"WHOHOLDS_EVERY": "4", "WHOHOLDS": "1", "WHOHOLDS_LOG": ""}) == {
        "WHOHOLDS_TOO_MANY": "pyproject.toml",
        "WHOHOLDS_EVERY": "environment",
        "WHOHOLDS": "environment",
    }


@pytest.mark.parametrize(
    "text",
    [
        'watch = ["duckdb", "snowflake.connector"]  # both',
        'watch = [\n  "duckdb",\n  "snowflake.connector",\n]\nevery = 3',
        "watch='duckdb, snowflake.connector'",
        'watch = [\n  "duckdb",  # for [analytics]\n  # and, for the warehouse:\n  "snowflake.connector",\n]',
        '# watch = [\nwatch = ["duckdb", "snowflake.connector"]',
        '[tool]\nwhoholds.watch = ["duckdb", "snowflake.connector"]',
        '[tool]\nwhoholds = { every = 3, watch = ["duckdb", "snowflake.connector"] }',
    ],
)
def test_the_modules_that_a_file_names_are_waited_for(here: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Before the file is parsed; WHOHOLDS_WATCH wins."""
    written(here, text if text.startswith("[tool]") else f"[tool.whoholds]\n{text}\n")
    wanted = {"duckdb", "snowflake.connector"}
    assert set(names_to_watch()) == wanted == set(limits_from({}).watch)
    monkeypatch.setenv("WHOHOLDS_WATCH", "pyodbc")
    assert names_to_watch() == []


def test_the_watch_of_another_table_hides_none(here: Path) -> None:
    """Its value is waited for in vain."""
    written(here, '[tool.tasks]\nwatch = "ptw"\n[tool.whoholds]\nwatch = ["duckdb"]\n')
    assert names_to_watch() == ["ptw", "duckdb"]


def test_every_setting_but_the_file_itself_may_stand_in_a_file(here: Path) -> None:
    """By the name of its field, as the environment writes it."""
    for one in fields(Limits):
        if one.name != "config":
            text = Limits().with_settings(dump_signal="SIGINT", ignore="*@a.py", watch="a").as_text()
            written(here, f"[tool.whoholds]\n{one.name} = '{text[one.metadata['variable']]}'\n")
            limits_from({})
