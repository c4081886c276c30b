"""What journals say becomes the data of a picture: exact, whole, and whatever the journal contains."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.journals import damaged_journals
from tests.picture.generated import EPOCH, finding, handles, line, write_journal
from whoholds.commands.cli import main
from whoholds.picture.gathering import MOST_STILL_HELD, Gathered
from whoholds.picture.page import page, page_of
from whoholds.picture.tables import shown_file
from whoholds.reporting.reading import Journal
from whoholds.reporting.records import iso

if TYPE_CHECKING:
    from pathlib import Path

    from tests.programs import Programs


def data_of(*paths: Path) -> dict[str, Any]:
    """The data for the journals at these paths, as a browser reads it."""
    read: dict[str, Any] = json.loads(json.dumps(Gathered(map(Journal, paths)).as_data()))
    return read


def spans(data: dict[str, Any]) -> list[tuple[int, int]]:
    """When each bar began and ended."""
    at = 0
    found = []
    for step, held in zip(data["bars"]["opened"], data["bars"]["held"], strict=True):
        at += step
        found.append((at, at + held))
    return found


def test_every_handle_is_a_bar(tmp_path: Path) -> None:
    """With its times and texts; a finding knows its own."""
    records = handles(50, over=10, held=2, lines=3)
    crowd = [record for record in records if record["opened"] == line(1)]
    data = data_of(write_journal(tmp_path / "run.jsonl", [*records, finding(crowd)]))
    assert len(data["bars"]["opened"]) == 50
    assert sorted(data["bars"]["key"]) == sorted(record["key"] for record in records)
    (found,) = data["findings"]
    keys = [data["bars"]["key"][bar] for bar in found["bars"]]
    assert sorted(keys) == sorted(record["key"] for record in crowd)
    owners = {data["strings"][owner] for owner in data["bars"]["owner"]}
    assert owners == {record["owner"] for record in records}


def test_the_order_is_that_of_the_stamps(tmp_path: Path) -> None:
    """One closes and the next opens within one tick of the clock: they are never two at once."""
    records = handles(3, over=0.001, held=1, lines=1)
    for number, record in enumerate(records):
        record.update(key=2 * number + 1, end_key=2 * number + 2, held_s=0.0)
        record["opened_at"] = record["closed_at"] = iso(EPOCH, "microseconds")
    times = spans(data_of(write_journal(tmp_path / "run.jsonl", records)))
    assert [began < ended for began, ended in times] == [True] * 3
    assert times[0][1] < times[1][0]
    assert times[1][1] < times[2][0]


def test_equal_texts_stand_once(tmp_path: Path) -> None:
    """So a hundred thousand handles make a small page."""
    data = data_of(write_journal(tmp_path / "run.jsonl", handles(100, over=10, held=2, lines=2)))
    assert len(data["strings"]) == len(set(data["strings"]))
    assert len(data["lines"]) == 3
    assert len(data["origins"]) == 2


def test_a_killed_process_shows_what_it_held_at_last(tmp_path: Path) -> None:
    """A bar for each handle of its last `open` record, to where its journal ends, and no more of them than can be seen."""
    held = {
        "type": "open",
        "time": iso(EPOCH + 5),
        "pid": 1,
        "count": 1003,
        "lines": [
            {
                "kind": "connection",
                "database": "postgresql://app@db/shop",
                "count": count,
                "opened": line(count),
                "since": iso(EPOCH + 2),
            }
            for count in (3, 1000)
        ],
    }
    path = write_journal(tmp_path / "killed.jsonl", [])
    run = path.read_text().splitlines()[0]
    path.write_text(f"{run}\n{json.dumps(held)}\n")
    data = data_of(path)
    assert spans(data) == [(2_000_000, 5_000_000)] * (3 + MOST_STILL_HELD)
    assert {data["strings"][how] for how in data["bars"]["how"]} == {"last seen"}
    assert data["processes"][0]["ended"] is None


def test_a_wait_of_less_than_nothing_is_none(tmp_path: Path) -> None:
    """A damaged journal may say so; nothing is drawn before it began."""
    path = write_journal(tmp_path / "run.jsonl", handles(4, over=1, held=1, lines=1))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line | {"connect_s": -1} if "kind" in line else line) + "\n" for line in lines))
    assert set(data_of(path)["bars"]["waited"]) == {0}


def test_the_bars_of_a_peak_are_those_of_its_last_report(tmp_path: Path) -> None:
    """What was closed before the last peak is none of its bars; counts that add up keep all that were named."""
    opened = handles(5, over=1, held=1, lines=1)
    peaks = [finding(opened[:2]), finding(opened[1:])]
    (drawn,) = data_of(write_journal(tmp_path / "peak.jsonl", opened + peaks))["findings"]
    assert len(drawn["bars"]) == drawn["count"] == 4
    leaks = [finding(opened[:2]), finding(opened[2:], count=5)]
    (drawn,) = data_of(write_journal(tmp_path / "leak.jsonl", opened + leaks))["findings"]
    assert len(drawn["bars"]) == drawn["count"] == 5


def test_equal_pids_in_two_journals_are_two_processes(tmp_path: Path) -> None:
    """Two containers both have a process 1, and both a handle 1."""
    paths = [write_journal(tmp_path / f"{name}.jsonl", handles(4, over=1, held=1, lines=1)) for name in "ab"]
    data = data_of(*paths)
    assert [process["pid"] for process in data["processes"]] == [1, 1]
    assert data["bars"]["process"].count(0) == data["bars"]["process"].count(1) == 4


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("/srv/shop/cars.py", "cars.py"),
        ("/srv/shopping/cars.py", "/srv/shopping/cars.py"),
        ("/v/lib/python3.12/site-packages/sqlalchemy/pool/base.py", "sqlalchemy/pool/base.py"),
        ("/usr/lib/python3.12/threading.py", "threading.py"),
        ("/srv/shop/lib/cars.py", "lib/cars.py"),
    ],
)
def test_paths_are_short(file: str, shown: str) -> None:
    """Relative to the run's working directory, or from the package on."""
    assert shown_file(file, "/srv/shop") == shown


def test_no_damaged_journal_stops_the_picture(tmp_path: Path) -> None:
    """Values of any type in any field. Each day damages another way."""
    for path in damaged_journals(tmp_path, "pictures", 300):
        assert page_of([Journal(path)]).startswith(b"<!DOCTYPE html>")


def test_no_text_can_end_the_data() -> None:
    """The data contains no character that HTML or a script could read."""
    hostile = "</script><!--<script>\u2028\u2029&lt;{{ data }}{{ style }}"
    made = page({"strings": [hostile]}).decode()
    empty = page({"strings": []}).decode()
    before = empty.index('{"strings":[')
    after = len(empty) - empty.index("]}", before) - 2
    data = made[before : len(made) - after]
    assert json.loads(data) == {"strings": [hostile]}
    assert not set("<>&\u2028\u2029") & set(data)
    assert data.isascii()


def test_a_command_draws_journals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`whoholds report --html` writes the page for its owner only, and prints the summary."""
    path = write_journal(tmp_path / "run.jsonl", handles(4, over=1, held=1, lines=1))
    drawn = tmp_path / "new folder" / "run.html"
    assert main(["report", str(path), "--html", str(drawn)]) == 0
    assert drawn.read_bytes().startswith(b"<!DOCTYPE html>")
    assert "4 connections opened" in capsys.readouterr().out
    if sys.platform != "win32":
        assert drawn.stat().st_mode & 0o777 == 0o600


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it takes; exit code 2."""
    path = write_journal(tmp_path / "run.jsonl", handles(4, over=1, held=1, lines=1))
    assert main(["report", str(path), "--html", str(tmp_path)]) == 2
    assert f"--html {tmp_path}: it takes the path of a file" in capsys.readouterr().err


def test_filters_and_the_picture_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """The picture filters by itself."""
    with pytest.raises(SystemExit, match="2"):
        main(["report", "run.jsonl", "--html", "run.html", "--rule", "refused"])
    assert "it takes no --rule" in capsys.readouterr().err


def test_a_run_is_drawn_at_its_end(program: Programs) -> None:
    """`whoholds run --html`, also without a journal of its own; the program's exit code stays."""
    program.write("import sqlite3; sqlite3.connect('a.db').close(); raise SystemExit(5)")
    ran = program.whoholds("run", "--html", "run.html", "app.py")
    assert (ran.code, "the picture is in run.html" in ran.err) == (5, True)
    assert b"a.db" in (program.folder / "run.html").read_bytes()


def test_a_picture_that_cannot_be_written_stops_the_run_at_once(program: Programs) -> None:
    """It stops before the program has run."""
    program.write("print('ran')")
    ran = program.whoholds("run", "--html", ".", "app.py")
    assert (ran.code, ran.out) == (2, "")
    assert "--html" in ran.err


def test_the_library_is_whole_and_of_the_version_that_is_named() -> None:
    """The file as published, with its licence in each page."""
    (folder,) = (file for file in files("whoholds.picture").joinpath("vendor").iterdir() if file.is_dir())
    library = folder.joinpath("uPlot.iife.min.js").read_bytes()
    assert folder.name == "uplot-1.6.32"
    assert b"(v1.6.32)" in library[:100]
    assert sha256(library).hexdigest() == "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    made = page({"strings": []})
    assert b"Copyright (c) 2022 Leon Sorokin" in made
    assert b"uPlot 1.6.32" in made


def test_a_watched_program_imports_nothing_of_it() -> None:
    """Nothing is imported before the program's end, with every output on."""
    code = (
        "import sqlite3, sys, whoholds; c = sqlite3.connect(':memory:'); c.execute('select 1'); whoholds.holders();"
        "whoholds.current().tick(); print([m for m in sys.modules if m.startswith('whoholds.picture')])"
    )
    command = [sys.executable, "-c", code]
    environ = {"WHOHOLDS": "log,warn,otel,journal", "WHOHOLDS_JOURNAL": "/dev/null", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    assert ran.stdout == "[]\n"
