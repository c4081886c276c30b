"""Live stacks: of so many holders some are looked at, and whoever reads is told of how many."""

from __future__ import annotations

from tests.needs import foreign_stacks
from tests.worlds import CARS, REPORT, Program, thread
from whoholds.reporting.held import description_text
from whoholds.reporting.records import finding_record
from whoholds.watching.holders import described
from whoholds.watching.stacks import HOLDERS
from whoholds.web.now import now_as_html

MORE = 3


def crowd() -> Program:
    """Give a program in which more threads hold a connection than are looked at."""
    program = Program()
    for number in range(HOLDERS + MORE):
        program.opens(CARS, thread(f"Thread-{number}", REPORT))
    return program


@foreign_stacks
def test_a_report_says_of_how_many_holders_the_lines_are_known() -> None:
    """And so does its record."""
    (found,) = (finding for finding in crowd().looks() if finding.rule == "too-many-at-once")
    assert f"        now      {HOLDERS} of {HOLDERS + MORE} threads at " in str(found)
    record = finding_record(found)
    assert (sum(place["count"] for place in record["now"]), record["not_looked_at"]) == (HOLDERS, MORE)


@foreign_stacks
def test_the_description_says_so_too() -> None:
    """As data, as text, and on the page."""
    description = described(crowd().watch)
    (group,) = description["databases"][0]["groups"]
    assert (sum(place["count"] for place in group["now"]), group["not_looked_at"]) == (HOLDERS, MORE)
    assert f"        now      {HOLDERS} of {HOLDERS + MORE} threads at " in description_text(description)
    assert f"{HOLDERS} of {HOLDERS + MORE} at <code>" in now_as_html(description)


@foreign_stacks
def test_where_all_are_looked_at_nothing_is_said_of_the_others() -> None:
    """A holder that has ended was looked at, too, and one that holds twice is one holder."""
    program, twice, gone = Program(too_many=3), thread("Thread-1", REPORT), thread("Thread-2", REPORT)
    gone.ident = -1
    for owner in (twice, twice, gone):
        program.opens(CARS, owner)
    (found,) = (finding for finding in program.looks() if finding.rule == "too-many-at-once")
    assert "        now      1 thread at " in str(found)
    record = finding_record(found)
    assert [(place["count"], place["owners"]) for place in record["now"]] == [(1, ["Thread-1"])]
    assert "not_looked_at" not in record
