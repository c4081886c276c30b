"""The journal: private, whole lines, rotated once, read up to a cut; its lines are a contract."""

from __future__ import annotations

import json
import os
import stat
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.worlds import CARS, REPORT, SHOP, Program, thread
from whoholds.commands.report import report
from whoholds.outputs.journal import JournalOutput
from whoholds.reporting.handle_records import WITH_STATEMENTS
from whoholds.reporting.journal import Writer
from whoholds.reporting.reading import Journal
from whoholds.reporting.records import HOST
from whoholds.reporting.summary import Contents, headline
from whoholds.settings.limits import Limits
from whoholds.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

MB = 1_000_000


def run(path: Path, **limits: object) -> tuple[Program, JournalOutput]:
    """Give a program that writes its journal to `path`."""
    settings = Limits().with_settings(journal=str(path), **limits)
    output = JournalOutput(settings)
    return Program(output, **limits), output


def all_records(path: Path) -> list[dict[str, object]]:
    """Give every line of a whole journal, the file it was rotated to first, of whatever type."""
    files = [file for file in (path.with_name(f"{path.name}.1"), path) if file.exists()]
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def records(path: Path, kind: str) -> list[dict[str, object]]:
    """Give the journal's lines of one type."""
    return [record for record in all_records(path) if record["type"] == kind]


# --- the file ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, also after rotation; folders are made."""
    path = tmp_path / "logs" / "run.jsonl"
    before = os.umask(0)
    try:
        writer = Writer(path, most=50)
        for _ in range(3):
            writer.write([{"type": "run", "text": "x" * 30}])
    finally:
        os.umask(before)
    writer.close()
    modes = [stat.S_IMODE(file.stat().st_mode) for file in (path, path.with_name("run.jsonl.1"))]
    assert modes == [0o600, 0o600]


def test_it_is_rotated_once_and_then_full(tmp_path: Path) -> None:
    """At its size to `.1`; beyond that again it drops, and counts what it drops."""
    path = tmp_path / "run.jsonl"
    writer = Writer(path, most=100)
    for number in range(10):
        writer.write([{"type": "t", "n": number, "pad": "x" * 15}])
    writer.close()
    numbers = [record["n"] for record in all_records(path)]
    assert numbers == list(range(len(numbers)))
    assert (len(numbers), writer.dropped) == (4, 6)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.jsonl", "run.jsonl.1"]


def test_what_is_dropped_is_said(tmp_path: Path) -> None:
    """At the end, by the watch."""
    program, _ = run(tmp_path / "run.jsonl", journal_mb=0.001)
    told = []
    program.watch.outputs.append(told.append)
    for number in range(20):
        program.ledger.closed(program.opens(f"/srv/shop/cars.py:{number + 1} load"), "collected")
        program.looks()
    program.exits()
    assert [remark for remark in told[-1].remarks if "journal" in remark and "dropped" in remark]


def test_a_full_journal_keeps_the_findings_and_is_never_called_clean(tmp_path: Path) -> None:
    """Its `end` says how many lines were dropped, and whoever reads it that the result is not known."""
    path = tmp_path / "run.jsonl"
    writer = Writer(path, most=300)
    for number in range(10):
        writer.write([{"type": "handle", "n": number, "pad": "x" * 60}])
    writer.write([{"type": "finding", "id": "1-1"}, {"type": "handle", "pad": "x" * 60}])
    writer.write([{"type": "end", "pid": 7}])
    writer.close()
    end = all_records(path)[-1]
    assert [record["type"] for record in all_records(path)].count("finding") == 1
    assert end == {"type": "end", "pid": 7, "dropped": writer.dropped}
    assert writer.dropped > 1

    program, _ = run(tmp_path / "full.jsonl", journal_mb=0.001)
    for number in range(20):
        handle = program.opens(f"/srv/shop/cars.py:{number + 1} load")
        program.looks()
        program.ledger.closed(handle)
        program.looks()
    program.exits()
    contents = Contents([Journal(tmp_path / "full.jsonl")])
    assert contents.lost
    assert "clean" not in headline(contents.run)


def test_its_file_is_closed_at_the_end(tmp_path: Path) -> None:
    """A program that starts and stops watching again and again keeps no descriptor."""
    path = tmp_path / "run.jsonl"
    descriptors = []
    for _ in range(3):
        program, _output = run(path)
        program.looks()
        program.exits()
        descriptors.append(os.open(path, os.O_RDONLY))
        os.close(descriptors[-1])
    assert len(set(descriptors)) == 1
    assert len(records(path, "end")) == 3


@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "ends"])
def test_a_number_that_the_program_has_by_now_is_the_programs(tmp_path: Path, *, ends: bool) -> None:
    """A daemon closes descriptors that it does not know: its own file gets the number, and keeps its text."""
    writer = Writer(tmp_path / "j.jsonl", MB)
    writer.write([{"type": "a"}])
    os.close(writer._file)
    with (tmp_path / "data.csv").open("w") as data:
        assert data.fileno() == writer._file
        data.write("id,amount")
        data.flush()
        if ends:
            writer.close()
        else:
            writer.write([{"type": "b"}])
            writer.close()
        data.write("\n1,10\n")
    assert (tmp_path / "data.csv").read_text() == "id,amount\n1,10\n"
    assert [record["type"] for record in all_records(tmp_path / "j.jsonl")] == ["a"] + ["b"] * (not ends)


def test_one_record_larger_than_all_is_written(tmp_path: Path) -> None:
    """Into an empty file: better one line too long than none."""
    path = tmp_path / "run.jsonl"
    Writer(path, most=10).write([{"type": "t", "pad": "x" * 1000}])
    assert len(all_records(path)) == 1


def test_processes_that_share_a_journal_rotate_it_once(tmp_path: Path) -> None:
    """Whoever comes second finds that it was done, and goes on in the new file: nothing is lost."""
    path = tmp_path / "run.jsonl"
    one, two = Writer(path, most=200), Writer(path, most=200)
    for number in range(6):
        for name, writer in (("one", one), ("two", two)):
            writer.write([{"type": "t", "of": name, "n": number, "pad": "x" * 8}])
    one.close()
    two.close()
    found = [(record["of"], record["n"]) for record in all_records(path)]
    assert len(found) + one.dropped + two.dropped == 12
    assert found == [(name, number) for number in range(6) for name in ("one", "two")][: len(found)]
    assert len(found) >= 6


def test_lines_of_two_processes_do_not_mix(tmp_path: Path) -> None:
    """Each look is one write to a file opened for appending."""
    path = tmp_path / "run.jsonl"
    writers = [Writer(path, most=MB) for _ in range(2)]
    for number in range(50):
        writers[number % 2].write([{"type": "t", "n": number}, {"type": "t", "n": -number}])
    assert [record["n"] for record in all_records(path)[::2]] == list(range(50))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no RLIMIT_FSIZE")
def test_a_line_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Also where the disk is full in the middle of one."""
    import resource
    import signal

    path = tmp_path / "run.jsonl"
    writer = Writer(path, most=MB)
    writer.write([{"type": "t", "n": 1}])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            writer.write([{"type": "t", "n": 2, "pad": "x" * 100}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    writer.write([{"type": "t", "n": 3}])
    assert [record["n"] for record in all_records(path)] == [1, 3]


DAMAGE = [
    b'{"type":"end","pid":',
    b"[1,2]\n",
    b"\xff\xfe\n",
    b'{"no":"type"}\n',
    b'{"type":"end","pid":1}',
    b"[" * 200_000 + b"\n",
]
DAMAGE += [
    b'{"type":"end","pid":"1"}\n',
    b'{"type":"end","pid":' + b"9" * 5000 + b"}\n",
    b'{"type":7}\n',
    b"\0" * 9_000_000 + b"\n",
]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_what_is_damaged_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    """And that is said, with the file and the line; what follows is read."""
    path = tmp_path / "run.jsonl"
    end = b'{"type":"end","pid":1}\n'
    path.write_bytes(end + end + damage + (end if damage.endswith(b"\n") else b""))
    journal = Journal(path)
    assert len(list(journal)) == 2 + damage.endswith(b"\n")
    assert journal.remarks == [f"{path}: line 3 is cut or damaged, and passed over (1 in all)"]


def test_the_first_few_damaged_lines_are_named(tmp_path: Path) -> None:
    """Not all of a thousand."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"x\n" * 1000)
    journal = Journal(path)
    assert list(journal) == []
    assert journal.remarks == [f"{path}: lines 1, 2, 3, 4, 5, … are cut or damaged, and passed over (1000 in all)"]


def test_records_of_a_later_version_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a type that is not known; fields that are not known are nothing to speak of."""
    path = tmp_path / "run.jsonl"
    known = '{"type":"run","pid":1,"new":{"a":[1]}}\n{"type":"end","pid":1,"reason":"exit"}\n'
    path.write_text(known + '{"type":"weather","pid":1}\n' * 3)
    assert report([str(path)]) == 0
    assert "clean: 0 connections opened" in (said := capsys.readouterr().out)
    assert "3 records of a type that this version does not know, passed over" in said


def test_the_report_says_that_a_journal_was_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After what it could read."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    for _ in range(2):
        program.opens()
    program.exits()
    with path.open("ab") as file:
        file.write(b'{"type":"fin')
    assert report([str(path)]) == 0
    out = capsys.readouterr().out
    assert "left open 2 connections" in out
    assert "is cut or damaged, and passed over (1 in all)" in out


def test_a_journal_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what `report` takes; exit code 2."""
    path = str(tmp_path / "nowhere.jsonl")
    assert report([path]) == 2
    assert f"whoholds: {path}: No such file or directory; it takes a journal" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "import sqlite3\n", "[1, 2]\n"])
def test_a_file_that_is_no_journal_is_not_clean(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a wrong argument: nothing is known of a run."""
    path = tmp_path / "app.py"
    path.write_text(content, encoding="utf-8")
    assert report([str(path)]) == 2
    said = capsys.readouterr()
    assert (said.out, f"whoholds: {path}: not a line of a journal in it; it takes a journal" in said.err) == ("", True)


@pytest.mark.parametrize("content", ["", "import sqlite3\n", None])
def test_what_cannot_be_read_hides_no_other(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk leaves an empty file, and another process's journal stands beside it."""
    program, _ = run(tmp_path / "run.jsonl")
    program.fans_out(20)
    program.looks()
    program.exits()
    bad = tmp_path / "bad.jsonl"
    if content is not None:
        bad.write_text(content, encoding="utf-8")
    assert report([str(bad), str(tmp_path / "run.jsonl")]) == 2
    said = capsys.readouterr()
    assert "too-many-at-once" in said.out
    assert f"whoholds: {bad}: " in said.err
    assert report([str(bad), str(tmp_path / "run.jsonl")], as_json=True) == 2
    assert json.loads(capsys.readouterr().out)["findings"]


# --- its lines --------------------------------------------------------------------------------------------------

FIELDS = {
    "type", "id", "fingerprint", "rule", "severity", "message", "time", "count", "database", "opened", "spawned",
    "owners", "stack", "spawn_stack", "pid", "host", "held_s", "idle_s",
}  # fmt: skip


def test_a_finding_has_its_fields(tmp_path: Path) -> None:
    """The contract, field by field."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    for handle in program.fans_out(20):
        handle.backend_pid = 4711
    program.looks()
    (found,) = records(path, "finding")
    assert set(found) >= FIELDS | {"parts", "backend_pid"}
    assert (found["rule"], found["severity"], found["count"]) == ("too-many-at-once", "warning", 20)
    assert found["database"] == str(SHOP)
    assert found["opened"] == {"file": "/srv/shop/cars.py", "line": 42, "function": "load_cars", "source": ""}
    assert found["spawned"] == {"file": "/srv/shop/report.py", "line": 17, "function": "build", "source": ""}
    assert found["owners"] == [f"Thread-{number}" for number in range(10)]
    assert (found["stack"], found["spawn_stack"]) == ([found["opened"]], [found["spawned"]])
    assert [(part["count"], part["opened"]["line"], part["spawned"]["line"]) for part in found["parts"]] == [
        (20, 42, 17)
    ]
    assert (found["held_s"], found["idle_s"], found["backend_pid"]) == (1.0, 1.0, 4711)
    assert (found["pid"], found["host"]) == (os.getpid(), HOST)
    assert found["time"].endswith("Z")
    assert datetime.fromisoformat(found["time"][:-1]).year == 2023


def test_the_main_thread_was_spawned_by_nobody(tmp_path: Path) -> None:
    """`spawned` is null."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    program.ledger.closed(program.opens(), "collected")
    program.looks()
    (found,) = records(path, "finding")
    assert (found["spawned"], found["spawn_stack"], found["owners"]) == (None, [], ["MainThread"])


def test_the_last_word_of_an_id_counts(tmp_path: Path) -> None:
    """Said at 2, and once more at the end with all; two processes may have the same id."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    for count in (2, 1):
        for _ in range(count):
            program.ledger.closed(program.opens(), "collected")
        program.looks()
    program.exits()
    assert [record["count"] for record in records(path, "finding")] == [2, 3]
    assert [record["count"] for record in Contents([Journal(path)]).findings] == [3]
    (last,) = [line for line in path.read_text().splitlines() if '"count":3' in line and '"finding"' in line]
    with path.open("a") as file:
        for pid in (1, 2, 1):
            file.write(json.dumps({**json.loads(last), "pid": pid}) + "\n")
    assert len(Contents([Journal(path)]).findings) == 3


def test_the_run_comes_first(tmp_path: Path) -> None:
    """Version, argv, pid, python, limits; nothing secret of the command line."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path, too_many=7)
    before = sys.orig_argv
    sys.orig_argv = ["python", "app.py", "--password", "hunter2", "postgresql://app:hunter2@db/shop"]
    try:
        program.looks()
        program.looks()
    finally:
        sys.orig_argv = before
    first = all_records(path)[0]
    assert (first["type"], first["version"], first["pid"]) == ("run", VERSION, os.getpid())
    assert first["python"] == sys.version.split()[0]
    assert first["limits"]["WHOHOLDS_TOO_MANY"] == "7"
    assert first["argv"][:2] == ["python", "app.py"]
    assert "hunter2" not in path.read_text()
    assert len(records(path, "run")) == 1


def test_each_handle_has_a_line_when_it_closes_or_at_the_end(tmp_path: Path) -> None:
    """Enough to draw its bar."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    closed = program.opens(by=thread("Thread-1", REPORT))
    program.clock.advance(2.5)
    program.ledger.closed(closed)
    program.opens(by=thread("Thread-2", REPORT))
    program.looks()
    assert [one["how"] for one in records(path, "handle")] == ["closed"]
    program.exits()
    first, second = records(path, "handle")
    assert (first["held_s"], first["owner"], first["opened"]["line"], first["spawned"]["line"]) == (
        2.5,
        "Thread-1",
        42,
        17,
    )
    assert (second["how"], second["closed_at"]) == ("open", None)
    lasted = datetime.fromisoformat(first["closed_at"][:-1]) - datetime.fromisoformat(first["opened_at"][:-1])
    assert lasted.total_seconds() == 2.5


def test_peaks_are_new_highs(tmp_path: Path) -> None:
    """Two, then five; the fall between and the five again are no news; one open is no crowd."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    for count in (1, 2, 1, 5, 5):
        held = [program.opens() for _ in range(count)]
        program.looks()
        for handle in held:
            program.ledger.closed(handle)
        program.looks()
    assert [(one["count"], one["database"]) for one in records(path, "peak")] == [
        (2, str(SHOP)),
        (5, str(SHOP)),
    ]


def test_pid_and_host_are_filled_in(tmp_path: Path) -> None:
    """A file of its own for each process."""
    program, _ = run(tmp_path / "{host}-{pid}.jsonl")
    program.looks()
    assert [file.name for file in tmp_path.iterdir()] == [f"{HOST}-{os.getpid()}.jsonl"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_its_own_run_its_own_peaks_and_no_descriptor_of_the_parents(
    tmp_path: Path,
) -> None:
    """In its own file, from the first line on."""
    program, output = run(tmp_path / "{pid}.jsonl")
    held = [program.opens() for _ in range(4)]
    program.looks()
    parents = output._writer._file
    del held
    child = os.fork()
    if child == 0:
        try:
            program.watch.in_child()
            for _ in range(3):
                program.opens(CARS)
            program.looks()
            try:
                kept = os.fstat(parents).st_ino == os.stat(tmp_path / f"{os.getppid()}.jsonl").st_ino  # noqa: PTH116 - one C call where Path makes ten
            except OSError:
                kept = False
            os._exit(7 if kept else 0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    path = tmp_path / f"{child}.jsonl"
    assert [record["pid"] for record in records(path, "run")] == [child]
    assert [record["count"] for record in records(path, "peak")] == [3]


def test_every_line_is_json_that_others_can_read(tmp_path: Path) -> None:
    """Nothing that only Python's json reads: no NaN, no bare objects."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    program.fans_out(20)
    program.looks()
    program.exits()

    def refuse(constant: str) -> None:
        pytest.fail(constant)

    for line in path.read_text(encoding="utf-8").splitlines():
        assert isinstance(json.loads(line, parse_constant=refuse), dict)


def test_a_handle_tells_its_order_its_last_calls_and_what_owns_it(tmp_path: Path) -> None:
    """Stamps order what clocks cannot; literals are gone; the first handle of a line has its stack."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    first, second = (program.opens(by=thread(f"Thread-{number}", REPORT)) for number in range(2))
    first.ring, first.calls, first.in_transaction = [("select 'hunter2'", program.clock() + 1, 0.5)], 1, True
    first.used_at += 1.5
    program.clock.advance(2.5)
    program.ledger.closed(second)
    program.ledger.closed(first)
    program.looks()
    one, other = sorted(records(path, "handle"), key=lambda record: record["key"])
    assert one["key"] < other["key"] < other["end_key"] < one["end_key"]
    assert (one["statements"], one["in_transaction"], one["idle_s"]) == ([["select ?", 1.0, 0.5]], True, 1.0)
    assert not {"statements", "in_transaction"} & set(other)
    (stacks,) = (record for record in (one, other) if "stack" in record)
    assert (stacks["stack"][0]["line"], stacks["spawn_stack"][0]["line"]) == (42, 17)


def test_a_finding_names_its_handles_by_their_keys(tmp_path: Path) -> None:
    """So that whoever draws them knows which."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path, too_many=5)
    program.fans_out(6)
    program.looks()
    program.exits()
    (crowd,) = (record for record in records(path, "finding") if record["rule"] == "too-many-at-once")
    assert crowd["handles"] == [record["key"] for record in records(path, "handle")]


def test_a_refused_request_has_a_line(tmp_path: Path) -> None:
    """With who asked, and where."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path)
    program.line, program.owner = CARS, thread("Thread-1", REPORT)
    program.ledger.refused(OSError("too many clients"), SHOP, None)
    program.looks()
    (record,) = records(path, "refused")
    assert (record["asked"]["line"], record["spawned"]["line"], record["owner"]) == (42, 17, "Thread-1")
    assert (record["database"], record["pool"]) == (str(SHOP), None)
    assert record["began_at"] == record["refused_at"]


def test_statements_are_added_to_a_limited_number_of_handles(tmp_path: Path) -> None:
    """A look at very many closings must not become long, but what a finding names always has them."""
    path = tmp_path / "run.jsonl"
    program, _ = run(path, too_many=1000, storm=1000)
    handles = [program.opens() for _ in range(WITH_STATEMENTS + 5)]
    for handle in handles:
        handle.ring = [("select 1", program.clock(), 0.0)]
        program.ledger.closed(handle)
    handles[-1].told = 1
    program.looks()
    with_statements = [record["key"] for record in records(path, "handle") if "statements" in record]
    assert with_statements == [handle.opened_stamp for handle in [*handles[:WITH_STATEMENTS], handles[-1]]]
