"""Learned limits: a line that is far above its own habit, and nothing where none was learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.worlds import CARS, REPORT, USERS, World, job, said, thread
from whoholds.analysis.habits import HOLDS, LOOKS, MANY, RECENT, Habit, Habits
from whoholds.detectors.idle import held_too_long
from whoholds.detectors.too_many import too_many_at_once
from whoholds.reporting import habits as files
from whoholds.reporting.first_line import message
from whoholds.reporting.reading import Journal
from whoholds.testing import baseline

if TYPE_CHECKING:
    from pathlib import Path

PLACE = "/srv/shop/cars.py in load_cars"


class Learning(World):
    """A world that learns, and may know earlier runs."""

    def __init__(self, known: dict[str, Habit] | None = None) -> None:
        super().__init__()
        self.history.habits = Habits(known)

    def lends(self, times: int, seconds: float = 0.1) -> None:
        """Let the line open a connection and close it so many times."""
        for _ in range(times):
            handle = self.opens()
            self.clock.advance(seconds)
            self.closes(handle)
        self.look()

    def pair(self) -> None:
        """Open two in one thread, and leave them: one alone would be standing."""
        self.opens()
        self.opens()

    def crowd(self, count: int) -> None:
        """Let so many threads open one each."""
        for number in range(count):
            self.opens(by=thread(f"Thread-{number}", REPORT))


def test_a_line_that_holds_for_much_longer_than_ever_is_reported() -> None:
    """It is reported long before the limit for all lines, with what is usual for it."""
    world = Learning()
    world.lends(HOLDS, 1.5)
    world.pair()
    world.after(14)
    assert world.found(held_too_long) == []
    world.after(2)
    (finding,) = world.found(held_too_long)
    assert said([finding]) == [("warning", 2)]
    assert finding.why == ("This line usually holds a connection for at most 1.5 s; this time it is far longer.",)


def test_a_few_times_are_no_habit() -> None:
    """Nor is a line that always holds for long; nothing is learned unless it is asked for."""
    for times, seconds in ((HOLDS - 1, 0.1), (HOLDS, 5.0)):
        world = Learning()
        world.lends(times, seconds)
        world.pair()
        assert world.after(40).found(held_too_long) == []
    world = Learning()
    world.history.habits = None
    world.lends(HOLDS)
    world.pair()
    assert world.after(40).found(held_too_long) == []


def test_the_limit_for_all_lines_stays() -> None:
    """A habit of holding for long hides nothing, and is not given as the reason."""
    world = Learning({PLACE: Habit(1, 500.0, HOLDS)})
    world.pair()
    (finding,) = world.after(61).found(held_too_long)
    assert finding.why == ()


def test_a_line_that_opens_many_more_than_ever_is_reported() -> None:
    """Below the limit for all lines; the look that sees the rise does not make it a habit."""
    world = Learning()
    for line in (*[USERS] * 6, CARS, CARS):  # the program as a whole is used to eight
        world.opens(line)
    world.after(LOOKS + RECENT)
    world.crowd(10)
    (finding,) = world.found(too_many_at_once)
    assert said([finding]) == [("warning", 12)]
    assert "opened 12 connections at once, usually 2, " in message(finding)
    assert "This line usually has at most 2 open at once; now it has far more." in finding.why


@pytest.mark.parametrize(("looks", "count"), [(LOOKS - 2, 10), (LOOKS + RECENT, 5), (LOOKS + RECENT, 3)])
def test_few_looks_and_few_connections_are_no_crowd(looks: int, count: int) -> None:
    """Three times the usual number, and eight at least."""
    world = Learning()
    for _ in range(2):
        world.opens()
    world.after(looks)
    world.crowd(count)
    found = world.found(too_many_at_once)
    assert [finding for finding in found if "usually 2," in message(finding)] == []


def test_the_only_connection_of_each_worker_is_no_crowd() -> None:
    """Its executor limits them, and a burst of requests is the load: as without learning."""
    world = Learning({PLACE: Habit(1, 0.2, 1000)})
    for number in range(12):
        world.opens(by=job(thread(f"ThreadPoolExecutor-0_{number}", worker=True), width=12))
    assert world.found(too_many_at_once) == []


def test_earlier_runs_are_known_from_the_first_look() -> None:
    """Lines are recognised by file and function, because lines move; what was usual is no crowd."""
    for most, expected in ((3, 1), (4, 0)):
        world = Learning({PLACE: Habit(most, 0.2, 1000)})
        world.crowd(10)
        assert len(world.found(too_many_at_once)) == expected
    world = Learning({PLACE: Habit(3, 0.2, 1000)})
    world.pair()
    assert len(world.after(11).found(held_too_long)) == 1


def test_what_is_remembered_is_bounded() -> None:
    """So many lines, whatever a program does."""
    world = Learning()
    habits = world.history.habits
    assert habits is not None
    for number in range(MANY + 10):
        world.closes(world.opens(f"/srv/shop/generated.py:{number + 1} make_{number}"))
    world.look()
    assert len(habits._lines) == MANY


def test_habits_are_read_from_a_journal_and_kept_in_a_baseline(tmp_path: Path) -> None:
    """The most that a look saw open, and the longest of those that were given back."""
    opened = {"file": "/srv/shop/cars.py", "line": 42, "function": "load_cars", "source": ""}
    handle = {"type": "handle", "kind": "connection", "database": "x", "opened": opened, "how": "closed", "held_s": 0.5}
    records = [
        {"type": "open", "pid": 1, "count": 3, "lines": [{"kind": "connection", "database": "x", "count": 3, "opened": opened}]},
        handle,
        {**handle, "held_s": 2.25},
        {**handle, "held_s": 99.0, "how": "freed"},
        {**handle, "kind": "cursor", "held_s": 99.0},
    ]  # fmt: skip
    journal = tmp_path / "run.jsonl"
    journal.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    found = files.of_journals([Journal(journal)])
    assert found == files.read(journal) == {PLACE: Habit(3, 2.25, 2)}
    path = tmp_path / "baseline.json"
    baseline.write(path, [], files.as_entries(found))
    assert baseline.load(path) == {}
    assert files.read(path) == found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "habits": [{"opened": "x"}]}', "no JSON"])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    """A file that is neither a baseline nor a journal; a baseline without habits is accepted, and knows none."""
    path = tmp_path / "habits.json"
    path.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - of JSON, or ours
        files.read(path)
    baseline.write(path, [])
    assert files.read(path) == {}
