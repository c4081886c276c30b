"""Looking never stops, in real processes: a slip in `ignore`, files that never end, an interval without end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.processes.leaks import LEAK

if TYPE_CHECKING:
    from tests.programs import Programs

SLIP = """
import sqlite3, whoholds

whoholds.ignore(lambda finding: finding.site.frame.lineno == 3)

def load():
    with whoholds.scope("a job"):
        return "the block's own value", sqlite3.connect("x.db")

value, kept = load()
print(value)
more = [sqlite3.connect("x.db") for _ in range(3)]
said = whoholds.stop()
print(sqlite3.connect.__module__, type(sqlite3.connect("x.db")) is sqlite3.Connection, len(said) > 0)
"""


def test_a_slip_in_a_predicate_reaches_nobody_and_hides_nothing(program: Programs) -> None:
    """Not the value of `with scope()`, not `stop()`; every finding is said, and the slip once with its line."""
    ran = program.run(SLIP, within=60)
    assert ran.code == 0
    assert ran.out == "the block's own value\n_sqlite3 True True\n"
    assert ran.err.count("[predicate-failed]") == 1
    assert "predicate <lambda> of whoholds.ignore raised at app.py:4: AttributeError: " in ran.err
    assert "left open 1 connection at the end of scope a job" in ran.err
    assert {record["rule"] for record in ran.of("finding")} == {"left-open"}
    assert [record["slug"] for record in ran.of("aside")] == ["predicate-failed"]
    report = program.whoholds("report", *map(str, program.folder.glob("*.jsonl")))
    assert report.out.count("predicate <lambda> of whoholds.ignore raised at app.py:4: ") == 1


ENDLESS = """
import os, sys
if sys.argv[1] == "fifo":
    os.mkfifo("endless.py")
name = "/dev/zero" if sys.argv[1] == "device" else "lone\\ud800.py" if sys.argv[1] == "surrogate" else "endless.py"
there = {}
exec(compile("import sqlite3\\ndef load(): return sqlite3.connect('x.db')\\nkept = [load() for _ in range(3)]", name, "exec"), there)
print("done")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither")
@pytest.mark.parametrize("kind", ["fifo", "device", "surrogate"])
def test_a_file_that_never_ends_does_not_hold_the_exit(program: Programs, kind: str) -> None:
    """Nor does it hide the finding; a name that no encoding takes neither."""
    ran = program.run(ENDLESS, kind, within=60)
    assert (ran.code, ran.out) == (0, "done\n")
    assert ran.findings == [("left-open", "error", 3)]
    assert ran.of("aside") == []


def test_the_longest_interval_is_one(program: Programs) -> None:
    """The end is looked at, whatever WHOHOLDS_EVERY is."""
    ran = program.run(LEAK, WHOHOLDS_EVERY="1e9")
    assert ran.code == 0
    assert ran.findings == [("left-open", "error", 3)]
    assert "looking" not in ran.err
    assert "[" not in ran.err.partition("whoholds: left-open")[0]


def test_findings_go_to_stderr_where_the_only_journal_cannot_be_written(program: Programs) -> None:
    """One line for the journal, and then what it would have had."""
    ran = program.run(LEAK, WHOHOLDS="journal", WHOHOLDS_JOURNAL=program.folder)
    assert ran.code == 0
    assert ran.err.startswith("whoholds: output journal is switched off: ")
    assert "left open 3 connections" in ran.err


def test_a_working_directory_that_is_gone_stops_nothing(program: Programs) -> None:
    """The journal is written, and the end is told."""
    gone = "import os, tempfile; folder = tempfile.mkdtemp(); os.chdir(folder); os.rmdir(folder)\n"
    ran = program.run(gone + LEAK.replace('"shop.db"', '":memory:"'))
    assert ran.code == 0
    assert [finding[0] for finding in ran.findings] == ["left-open"]
    assert ran.of("aside") == []
    assert [record["cwd"] for record in ran.of("run")] == [""]
