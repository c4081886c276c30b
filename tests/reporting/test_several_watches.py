"""Several watches of one process, one after the other, with one journal: one process, and each finding once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.picture.reading import data_in
from tests.programs import Programs
from whoholds.reporting.document import Document
from whoholds.reporting.reading import Journal
from whoholds.reporting.summary import Contents, headline

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = """
import sqlite3, warnings, whoholds
warnings.simplefilter("ignore")
kept = []
def orders():
    kept.append(sqlite3.connect("orders.db"))
def users():
    kept.append(sqlite3.connect("users.db"))
for part in (orders, users):
    with whoholds.watch(journal="run.jsonl"):
        part()
"""
STARTS = """
import sqlite3, warnings, whoholds
warnings.simplefilter("ignore")
kept = []
for round in range(3):
    whoholds.start(journal="run.jsonl", log="line")
    for _ in range(round + 1):
        kept.append(sqlite3.connect("orders.db"))
    whoholds.stop()
"""


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Programs in a folder of this test's own."""
    return Programs(tmp_path)


def test_findings_of_two_watches_have_two_ids(programs: Programs, tmp_path: Path) -> None:
    """Both are in the report, of one process, and in the JSON and the picture beside the handles of their own watch."""
    assert programs.run(BLOCKS, WHOHOLDS=None).code == 0
    told = programs.whoholds("report", "run.jsonl", "--html", "run.html")
    assert told.code == 0
    assert "2 findings (2 errors): 2 connections opened, at most 1 at once" in told.out
    assert "processes" not in told.out
    document = Document([Journal(tmp_path / "run.jsonl")])
    data = document.as_data(document.findings)
    assert len({finding["id"] for finding in data["findings"]}) == 2
    (process,) = data["processes"]
    assert process["ended"]
    drawn = data_in(tmp_path / "run.html")
    assert len(drawn["processes"]) == 1
    bars = [finding["bars"] for finding in drawn["findings"]]
    assert sorted(bars) == [[0], [1]]
    assert len(set(drawn["bars"]["database"])) == 2


def test_adopted_connections_are_counted_once(programs: Programs, tmp_path: Path) -> None:
    """Each start finds what the starts before left open; the process has opened six."""
    assert programs.run(STARTS, WHOHOLDS=None).code == 0
    contents = Contents([Journal(tmp_path / "run.jsonl")])
    assert (contents.run.connections, contents.run.processes, contents.unended) == (6, 1, [])
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert sum(json.loads(line).get("adopted", False) for line in lines) == 1 + 3


def _journal(path: Path, *records: dict[str, Any]) -> Contents:
    path.write_text("".join(json.dumps({"pid": 7, **record}) + "\n" for record in records))
    return Contents([Journal(path)])


def _run(began: str) -> dict[str, Any]:
    return {"type": "run", "process_began": began}


FOUND = {"type": "finding", "id": "7-1", "severity": "error", "message": "left-open: 1 connection"}
END = {"type": "end"}


def test_a_pid_that_is_given_out_again_is_another_process(tmp_path: Path) -> None:
    """The same number and the same ids, and nothing of the first is lost."""
    path = tmp_path / "run.jsonl"
    contents = _journal(path, _run("monday"), FOUND, END, _run("friday"), FOUND, END)
    assert headline(contents.run).startswith("whoholds: 2 findings (2 errors): ")
    assert (contents.run.processes, len(contents.findings), contents.unended) == (2, 2, [])
    assert [found.get("process", 0) for found in contents.findings] == [0, 1]


def test_containers_that_share_a_journal_and_a_pid_all_end(tmp_path: Path) -> None:
    """Their records mix; each end is that of one of them."""
    contents = _journal(tmp_path / "run.jsonl", _run("a"), _run("b"), END, END)
    assert (contents.run.processes, contents.unended) == (2, [])


def test_a_process_that_is_watched_again_and_killed_has_no_end(tmp_path: Path) -> None:
    """What it held at last counts, but for what an earlier watch of it had left open."""
    line = {"kind": "connection", "database": "sqlite:///a.db"}
    held = {"type": "open", "count": 3, "lines": [{**line, "count": 3, "opened": None}]}
    left = {"type": "handle", "driver": "sqlite3", "how": "open", **line}
    contents = _journal(tmp_path / "run.jsonl", _run("a"), left, left, END, _run("a"), held)
    assert [process[1] for process in contents.unended] == [7]
    assert contents.run.connections == 3
