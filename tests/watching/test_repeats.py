"""Which findings are said and when again: once, then as they double, worsen or the interval passes; the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.worlds import CARS, REPORT, SHOP, USERS, at, thread
from whoholds.analysis.finding import Also, Finding
from whoholds.analysis.sites import Sites
from whoholds.ledger.handle import CONNECTION, Handle
from whoholds.ledger.owner import Spawn
from whoholds.reporting.records import finding_record
from whoholds.watching.repeats import KEPT_HANDLES, MOST, Repeats

if TYPE_CHECKING:
    from whoholds.analysis.sites import Site

SITES = Sites()


def line(where: str) -> Site:
    """Give the one Site of a line."""
    return SITES.of(at(where))


def finding(count: int = 1, rule: str = "held-too-long", where: str = CARS, **about: object) -> Finding:
    """Give a finding as a detector makes it."""
    owners = about.pop("owners", [None] * count)
    assert isinstance(owners, list)
    handles = tuple(Handle(CONNECTION, "psycopg2", SHOP, owner, at(where)) for owner in owners)
    for number, handle in enumerate(handles):
        handle.opened_stamp = number
    values = {"severity": "warning", "phrase": "{n} to %s", "site": line(where), **about}
    return Finding(rule, values.pop("severity"), SHOP, handles, count, **values)


class Day:
    """Repeats, and a clock to say them by."""

    def __init__(self, repeat: float = 600.0) -> None:
        self.repeats = Repeats(repeat, pid=lambda: 0xABC)
        self.now = 0.0

    def hears(self, *findings: Finding, after: float = 1.0, last: bool = False) -> list[tuple[str, int, int]]:
        """Give what is said of these: severity, count, how many since."""
        self.now += after
        said = self.repeats.due(findings, self.now, 1e6 + self.now, last=last)
        return [(one.severity, one.count, one.since) for one in said]


def test_a_finding_is_said_when_it_is_found() -> None:
    """With an id, its time, and no "since"."""
    repeats = Repeats(600, pid=lambda: 0xABC)
    (said,) = repeats.due([finding(3)], 10.0, 1e6)
    assert (said.count, said.since, said.time, said.now) == (3, 0, 1e6, 10.0)
    assert said.id.startswith("abc-")


def test_more_of_the_same_is_held_back_until_it_doubles() -> None:
    """Three, then one more and another; the sixth doubles it, and says how many since."""
    day = Day()
    assert day.hears(finding(3)) == [("warning", 3, 0)]
    assert day.hears(finding(1)) == []
    assert day.hears(finding(1)) == []
    assert day.hears(finding(1)) == [("warning", 6, 3)]
    assert day.hears(finding(5)) == []
    assert day.hears(finding(1)) == [("warning", 12, 6)]


def test_what_one_look_finds_twice_is_said_once() -> None:
    """Two statements of one line that were locked out: the report does not name itself as another."""
    day = Day()
    locked = {"rule": "locked", "severity": "error", "adds_up": False}
    assert day.hears(finding(1, times=1, **locked), finding(2, times=1, **locked)) == [("error", 2, 0)]
    assert [one.times for one in day.repeats.findings()] == [2]
    assert day.hears(finding(2), finding(3, where=USERS)) == [("warning", 2, 0), ("warning", 3, 0)]
    assert day.hears(finding(1), finding(2)) == [("warning", 5, 3)]


def test_it_keeps_its_id() -> None:
    """Whoever reads takes the last word of an id; another line has another."""
    repeats = Repeats(600, pid=lambda: 1)
    (first,) = repeats.due([finding(1)], 0.0, 0.0)
    (again,) = repeats.due([finding(1)], 1.0, 1.0)
    (other,) = repeats.due([finding(1, where=USERS)], 2.0, 2.0)
    assert first.id == again.id != other.id


def test_it_is_said_again_when_it_worsens() -> None:
    """Also where nothing was added; and never falls back."""
    day = Day()
    assert day.hears(finding(10, severity="info")) == [("info", 10, 0)]
    assert day.hears(finding(1, severity="error")) == [("error", 11, 1)]
    assert day.hears(finding(1, severity="info")) == []
    assert day.hears(finding(20, severity="info")) == [("error", 32, 21)]


def test_it_is_said_again_when_the_interval_has_passed() -> None:
    """Once per WHOHOLDS_REPEAT, with ×N since; not where nothing came."""
    day = Day(repeat=600)
    day.hears(finding(100))
    assert day.hears(finding(1), after=599) == []
    assert day.hears(finding(1), after=1) == [("warning", 102, 2)]
    assert day.hears(finding(1), after=1) == []
    assert day.hears(after=2000) == []


def test_the_last_word_comes_at_the_end_for_what_has_grown_since() -> None:
    """And only for that."""
    day = Day()
    day.hears(finding(4), finding(4, where=USERS))
    day.hears(finding(1))
    assert day.hears(last=True) == [("warning", 5, 1)]
    assert day.hears(last=True) == []


def test_a_peak_is_not_added_up() -> None:
    """The higher one counts with all that belongs to it; a lower one changes nothing."""
    day = Day()
    day.hears(finding(20, "too-many-at-once", adds_up=False))
    assert day.hears(finding(30, "too-many-at-once", adds_up=False)) == []
    assert day.hears(finding(5, "too-many-at-once", adds_up=False)) == []
    assert [one.count for one in day.repeats.findings()] == [30]
    assert day.hears(finding(40, "too-many-at-once", adds_up=False)) == [("warning", 40, 3)]


def test_what_was_seen_again_with_the_same_words_is_recorded_at_the_end_and_not_printed() -> None:
    """Three threads are inside calls on one connection, now and again."""
    day = Day()
    shared = finding(3, "shared-at-once", adds_up=False)
    day.hears(shared), day.hears(shared)
    (last,) = day.repeats.due([], day.now, day.now, last=True)
    assert not last.aloud
    day.hears(shared, finding(5, "shared-at-once", adds_up=False))
    (last,) = day.repeats.due([], day.now, day.now, last=True)
    assert last.aloud


def test_bursts_of_refusals_add_their_requests() -> None:
    """Ten refused, then five: said at the end with the five."""
    day = Day()
    day.hears(finding(3, "refused", adds_up=False, times=10))
    day.hears(finding(3, "refused", adds_up=False, times=5))
    (told,) = day.repeats.findings()
    assert (told.count, told.times) == (3, 15)
    assert day.hears(last=True) == [("warning", 3, 5)]


@pytest.mark.parametrize(
    "about",
    [
        {"rule": "owner-gone"},
        {"where": USERS},
        {"spawn": "report"},
        {"scope": "GET /cars"},
        {"also": Also("first opened", line(USERS))},
    ],
)
def test_what_differs_in_rule_line_spawn_scope_or_second_line_is_another_finding(
    about: dict[str, object],
) -> None:
    """Each is said by itself."""
    if about.get("spawn"):
        spawn = Spawn(at(REPORT), None)
        spawn.site = line(REPORT)
        about = {"spawn": spawn}
    day = Day()
    day.hears(finding())
    assert day.hears(finding(**about)) == [("warning", 1, 0)]
    assert len(day.repeats.findings()) == 2


def test_beyond_so_many_lines_only_counts_are_kept() -> None:
    """The buffer is bounded, what it drops is counted, and the counters stay exact."""
    repeats = Repeats(600)
    many = [finding(scope=f"request {number}") for number in range(MOST + 10)]
    assert len(repeats.due(many, 0.0, 0.0)) == MOST
    assert (len(repeats.findings()), repeats.dropped) == (MOST, 10)
    assert repeats.counts == {("held-too-long", "warning"): MOST + 10}


def test_what_is_beyond_them_is_counted_once_and_by_matter() -> None:
    """Neither a finding that comes again nor a further reason for a matter is one more."""
    repeats = Repeats(600)
    many = [finding(scope=f"request {number}") for number in range(MOST + 10)]
    for stamp, each in enumerate(many):
        each.handles[0].opened_stamp = stamp
    reasons = [each.changed(rule="left-open", severity="error") for each in many]
    for found in (many, many, reasons):
        repeats.due(found, 0.0, 0.0)
    assert (repeats.dropped, repeats.left_out) == (10 + MOST + 10, {"warning": 10})
    repeats.forget()
    assert (repeats.dropped, repeats.left_out) == (0, {})


def test_a_finding_keeps_so_many_handles_and_the_whole_count() -> None:
    """A million leaks are one line in memory."""
    day = Day()
    for _ in range(5):
        day.hears(finding(KEPT_HANDLES))
    (told,) = day.repeats.findings()
    assert (told.count, len(told.handles)) == (5 * KEPT_HANDLES, KEPT_HANDLES)


def test_what_is_said_of_many_handles_has_the_whole_numbers() -> None:
    """At the first report every handle is known; later, the numbers say what is no longer known exactly."""
    repeats = Repeats(600)
    many = finding(KEPT_HANDLES + 50, phrase="{verb} {n}", owners=[thread(f"Thread-{at}") for at in range(150)])
    (said,) = repeats.due([many], 0.0, 0.0)
    assert "150  opened" in str(said)
    assert "by 150 threads, such as Thread-0" in str(said)
    assert len(finding_record(said)["handles"]) == KEPT_HANDLES + 50
    (kept,) = repeats.findings()
    assert (kept.count, len(kept.handles), kept.unkept) == (150, KEPT_HANDLES, 50)
    assert "150  opened" in str(kept)
    assert f"by at least {KEPT_HANDLES} threads, such as Thread-0" in str(kept)
    (more,) = repeats.due(
        [finding(KEPT_HANDLES + 50, phrase="{verb} {n}", owners=[thread("Thread-0")] * 150)], 1.0, 1.0
    )
    assert (more.count, len(more.handles), more.unkept) == (300, 2 * KEPT_HANDLES + 50, 50)
    assert "300  opened" in str(more)


def test_the_owners_of_handles_that_are_not_kept_are_known_if_they_are_the_same() -> None:
    """A loop that leaks is one owner, however many it has left behind, and the longest of them is remembered."""
    day, main = Day(), thread()
    for held_s in (1.0, 9.0, 2.0):
        loop = finding(KEPT_HANDLES, phrase="{verb} {n}", owners=[main] * KEPT_HANDLES)
        loop.handles[-1].opened_at = day.now - held_s
        for handle in loop.handles[:-1]:
            handle.opened_at = day.now
        day.hears(loop)
    (kept,) = day.repeats.findings()
    assert f"{3 * KEPT_HANDLES}  opened" in str(kept)
    assert str(kept).splitlines()[2] == "        held     for up to 11.0 s, by MainThread"


def test_two_watches_of_one_process_have_no_id_in_common() -> None:
    """One journal may have the findings of both; a child counts from 1."""
    pids = [0xA0]
    ids = []
    for pid in (0xA0, 0xA0, 0xA1):
        pids[0] = pid
        (said,) = Repeats(600, pid=lambda: pids[0]).due([finding()], 0.0, 0.0)
        ids.append(said.id)
    assert ids == ["a0-1", "a0-2", "a1-1"]


def test_a_forked_child_has_its_own_findings() -> None:
    """What the parent found is the parent's to say; the child says the same as its own, with an id of its own."""
    pids = [1]
    repeats = Repeats(600, pid=lambda: pids[0])
    (parents,) = repeats.due([finding()], 0.0, 0.0)
    pids[0] = 2
    repeats.forget()
    assert (repeats.findings(), repeats.counts) == ([], {})
    (childs,) = repeats.due([finding()], 0.0, 0.0)
    assert childs.id != parents.id


def test_what_is_kept_of_a_finding_has_the_moment_of_its_last_look() -> None:
    """Also when it has grown and was not said again: who shows it says when it was, and how long its handles were held."""
    day = Day()
    day.hears(finding(3))
    assert day.hears(finding(1), after=5) == []
    (kept,) = day.repeats.findings()
    assert (kept.count, kept.now, kept.time) == (4, day.now, 1e6 + day.now)
