"""`whoholds report` says of a run what the run said: one renderer, and one closing line."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.worlds import REPORT, SHOP, STOCK, USERS, Program, at, thread
from whoholds.commands.report import report
from whoholds.ledger.handle import Pool
from whoholds.outputs.journal import JournalOutput
from whoholds.outputs.log import LogOutput
from whoholds.settings.limits import Limits
from whoholds.watching.repeats import MOST

if TYPE_CHECKING:
    from pathlib import Path

    from whoholds.analysis.finding import Look


class _Unconfigured:
    """The log output as in a program without logging: pytest's own handlers stand aside."""

    def __init__(self) -> None:
        self.output = LogOutput(Limits())

    def __call__(self, look: Look) -> None:
        logger = logging.getLogger("whoholds")
        before = logger.propagate
        logger.propagate = False
        try:
            self.output(look)
        finally:
            logger.propagate = before


def test_the_report_prints_what_the_run_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word: threads, clocks, stacks, source lines, advice, the headline and the busiest lines.

    What came later about the same connections follows the report of the worst, as the run had reported the rest.
    """
    path = tmp_path / "journal.jsonl"
    limits = {"too_many": 8, "idle_in_transaction": 2, "owner_gone": 1}
    program = Program(_Unconfigured(), JournalOutput(Limits().with_settings(journal=str(path))), **limits)
    crowd = program.fans_out(9)
    program.ledger.refused(OSError("too many clients"), SHOP, None)
    program.looks()
    for handle in crowd[1:]:
        program.ledger.closed(handle)
    leaking = thread("Thread-y", REPORT)
    for _ in range(2):
        program.opens("/srv/shop/app.py:9 main", leaking)
    program.opens(USERS, thread("Thread-x", REPORT), in_transaction=True).ring = [("select 1", program.clock(), 0.25)]
    program.looks(5.0)
    program.exits()
    live = capsys.readouterr().err
    assert {"too-many-at-once", "refused", "idle-in-transaction", "left-open"} <= {
        re.split(": |Also ", line)[1] for line in live.splitlines() if line.startswith(("whoholds: ", "  Also "))
    }
    assert "idle in transaction" in live
    assert " now " in live
    assert report([str(path)]) == 0
    told = capsys.readouterr().out
    assert set(live.splitlines()) - set(told.splitlines()) <= {""}
    assert told.splitlines()[-4:] == live.splitlines()[-4:]


@pytest.mark.once
def test_findings_that_are_not_kept_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the summary of the run and in that of its journal, and nobody calls them dropped events."""
    path = tmp_path / "journal.jsonl"
    program = Program(_Unconfigured(), JournalOutput(Limits().with_settings(journal=str(path))), too_many=10_000)
    for number in range(2 * (MOST + 5)):
        program.opens(f"/srv/shop/leaks.py:{number // 2 + 1} leak")
    program.exits()
    assert program.watch.cost.dropped == 0
    live = capsys.readouterr().err
    first, second = live[live.index(f"whoholds: {MOST + 5} findings") :].splitlines()[:2]
    assert first.startswith(f"whoholds: {MOST + 5} findings ({MOST + 5} errors): ")
    assert second == "whoholds:   5 of these findings are not shown: a process keeps no more"
    report([str(path)])
    out = capsys.readouterr().out.splitlines()
    assert out[out.index(first) + 1] == second.replace("   ", " ")


def test_the_summary_counts_what_pools_have_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And names the database to which most was open at once, in the run and in its journal."""
    path = tmp_path / "journal.jsonl"
    program = Program(_Unconfigured(), JournalOutput(Limits().with_settings(journal=str(path))))
    pool = Pool(1, "pool", at(USERS), 5, "postgresql")
    for _ in range(5):
        program.opens(USERS, pool=pool)
    for _ in range(2):
        program.opens("/srv/shop/app.py:9 main", to=STOCK)
    program.exits()
    headline = "whoholds: 1 finding (1 error): 7 connections opened, at most 5 at once to app@127.0.0.1/shop"
    assert headline in capsys.readouterr().err.splitlines()
    report([str(path)])
    assert headline in capsys.readouterr().out.splitlines()


def test_what_was_found_in_several_processes_is_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The largest, and which other processes have the same; what one process alone has is printed for itself."""
    for worker in range(4):
        path = tmp_path / f"{worker}.jsonl"
        program = Program(_Unconfigured(), JournalOutput(Limits().with_settings(journal=str(path))))
        for _ in range(2 + worker):
            program.opens(USERS)
        for _ in range(3 * (worker == 2)):
            program.opens("/srv/shop/app.py:9 main")
        program.exits()
        path.write_text(path.read_text().replace(f'"pid":{os.getpid()}', f'"pid":{1000 + worker}'))
    capsys.readouterr()
    report([str(tmp_path / "*.jsonl")])
    printed = capsys.readouterr().out.splitlines()
    lines = [line for line in printed if re.match("whoholds: left-open: |  The same was found", line)]
    assert len(lines) == 3
    assert "left open 5 connections" in lines[0]
    assert lines[0].endswith("process 1003]")
    assert lines[1] == "  The same was found in 3 other processes: 1002, 1001 and 1000."
    assert "left open 3 connections" in lines[2]
    assert any(line.startswith("whoholds: 5 findings (5 errors): ") for line in printed)


def test_a_journal_of_an_older_version_has_first_lines_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its findings have no `report`."""
    path = tmp_path / "old.jsonl"
    path.write_text(
        '{"type":"run","pid":1}\n'
        '{"type":"finding","id":"1-1","pid":1,"severity":"error","message":"left-open: 1 connection"}\n'
        '{"type":"end","pid":1}\n'
    )
    assert report([str(path)]) == 0
    assert capsys.readouterr().out.startswith("whoholds: left-open: 1 connection\nwhoholds: 1 finding (1 error): ")
