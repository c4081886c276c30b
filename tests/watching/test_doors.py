"""Looking never stops: what a detector, a predicate, an output, a finding or a file of the program's does wrong."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import whoholds
from tests.worlds import CARS, REPORT, SHOP, USERS, Program, at, task, thread
from whoholds.analysis.finding import ERROR, Finding, parts_of
from whoholds.analysis.frames import frame_at
from whoholds.analysis.snapshot import Ending
from whoholds.analysis.source import line_of
from whoholds.detectors import ALL
from whoholds.ledger.handle import CONNECTION
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import capture, from_lines
from whoholds.outputs.journal import JournalOutput
from whoholds.outputs.log import LogOutput
from whoholds.reporting.first_line import message
from whoholds.reporting.records import finding_record
from whoholds.reporting.report import text
from whoholds.settings.limits import Limits
from whoholds.testing.policy import Policy
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Look
    from whoholds.analysis.snapshot import Snapshot


def leaks(program: Program, line: str = CARS) -> None:
    """Let the collector free a connection opened at `line`."""
    program.ledger.closed(program.opens(line, by=thread("Thread-1", REPORT)), "collected")


def asides(program: Program) -> list[str]:
    """Give the slugs of what stood aside."""
    return [aside.slug for aside in program.watch.asides.all]


# --- predicates ---------------------------------------------------------------------------------------------------


def test_a_predicate_that_raises_is_no_match_and_is_named_once_with_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every finding is said all the same, and the other predicates are asked."""

    def slip(finding: Finding) -> bool:
        return finding.site.frame.lineno == 3

    line = slip.__code__.co_firstlineno + 1
    program = Program()
    program.watch.predicates += [slip, lambda finding: finding.site.frame.function == "load_users"]
    for _ in range(3):
        leaks(program)
        leaks(program, USERS)
        program.looks()
    assert {finding.site.frame.function for finding in program.watch.findings} == {"load_cars"}
    said = [line for line in capsys.readouterr().err.splitlines() if "predicate" in line]
    assert len(said) == 1
    assert f"slip of whoholds.ignore raised at tests/watching/test_doors.py:{line}: AttributeError: " in said[0]
    assert said[0].endswith("; that counts as no match [predicate-failed]")


def test_how_often_a_predicate_raised_is_said_at_the_end() -> None:
    """In the remarks of the last look."""
    looks: list[Look] = []
    program = Program(looks.append)
    program.watch.predicates.append(lambda finding: 1 / 0)
    for line in (CARS, USERS):
        leaks(program, line)
    program.looks()
    program.exits()
    assert [remark for remark in looks[-1].remarks if "raised" in remark and remark.endswith("(2 times)")]


def test_a_function_that_a_test_allows_by_may_raise(capsys: pytest.CaptureFixture[str]) -> None:
    """It allows nothing then, and the finding is reported."""
    program = Program()
    leaks(program)
    (finding,) = program.looks()
    assert not Policy(allow=(lambda finding: finding.handle.open,)).allows(finding)
    assert "raised at tests/watching/test_doors.py:" in capsys.readouterr().err


class Refuser:
    """A predicate that is no function, and whose exception cannot say what it is."""

    def __call__(self, finding: Finding) -> bool:
        """Raise."""

        class UnspeakableError(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        raise UnspeakableError


def test_a_predicate_may_be_any_callable() -> None:
    """And its exception may refuse to be printed."""
    program = Program()
    program.watch.predicates += [Refuser(), int]
    leaks(program)
    assert len(program.looks()) == 1
    assert asides(program) == ["predicate-failed"] * 2
    assert "Refuser" in program.watch.failed[0]
    assert "UnspeakableError" in program.watch.failed[0]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Give a watch of this process, without outputs."""
    monkeypatch.delenv("WHOHOLDS", raising=False)
    watch = whoholds.start(outputs=(), every=3600)
    yield watch
    assert whoholds.stop() == []


class _nothing:  # noqa: N801 - a context manager
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_what_fails_in_a_look_reaches_nobody(watched: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not through `with scope()`, `holders()` or `stop()`: a predicate, an output, the look itself."""
    import sqlite3

    def fails(*_: object) -> Any:
        raise LookupError("a slip")

    watched.predicates.append(fails)
    watched.outputs.append(fails)
    whole = sqlite3.connect
    with pytest.warns(whoholds.HeldConnectionWarning, match="the end of scope a job"), whoholds.scope("a job"):
        kept = sqlite3.connect(":memory:")
    assert len(whoholds.holders()) == 1
    monkeypatch.setattr(watched.ledger, "take", fails)
    with whoholds.scope("another job"):
        more = sqlite3.connect(":memory:")
    assert str(whoholds.holders()).startswith("whoholds: ")
    assert whoholds.stop() == []
    watched.predicates.remove(fails)
    assert sqlite3.connect is not whole
    bare = sqlite3.connect(":memory:")
    assert type(bare) is sqlite3.Connection
    bare.close()
    kept.close()
    more.close()
    assert {aside.slug for aside in watched.asides.all} == {"output-failed", "predicate-failed", "look-failed"}


def test_each_holder_is_shown_with_its_line(watched: Watch) -> None:
    """Even if another thread opens a connection while `holders()` looks: it is in the next answer."""
    import sqlite3

    kept = [sqlite3.connect(":memory:")]

    def opens_meanwhile(_look: object) -> None:
        thread = threading.Thread(target=lambda: kept.append(sqlite3.connect(":memory:", check_same_thread=False)))
        thread.start()
        thread.join()
        watched.outputs.remove(opens_meanwhile)

    watched.outputs.append(opens_meanwhile)
    first, second = whoholds.holders(), whoholds.holders()
    assert [str(held).count("opened  ") for held in (first, second)] == [len(first), len(second)] == [1, 2]
    for connection in kept:
        connection.close()


def test_what_cannot_be_shown_of_holders_is_counted(watched: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is asked for by the program, or by a signal's thread: neither gets an exception of ours."""
    import sqlite3

    with sqlite3.connect(":memory:") as kept:
        held = whoholds.holders()
        held.handles.append(3)  # type: ignore[arg-type]
        assert str(held) == "whoholds: 2 held, which cannot be shown (AttributeError)"
        monkeypatch.setattr(watched.ledger, "peek", lambda: 1 / 0)
        assert len(whoholds.holders()) == 0
        with whoholds.scope("a job"):
            pass
        monkeypatch.undo()
    kept.close()
    watched.tick()
    assert [aside.slug for aside in watched.asides.all] == ["hook-failed"] * 3


# --- detectors and findings -----------------------------------------------------------------------------------------


def fails_after_one(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Find one, then raise."""
    del limits
    for part in parts_of(snapshot.open)[:1]:
        yield Finding.of(part, "fails-after-one", ERROR, "left {n} behind")
    raise ZeroDivisionError("a slip")


def test_a_detector_that_raises_takes_no_other_findings_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """What it found before counts; it is asked again at the next look, and named once."""
    program = Program(detectors={"fails-after-one": fails_after_one, **ALL})
    program.opens()
    leaks(program, USERS)
    assert {finding.rule for finding in program.looks()} == {"fails-after-one", "collected-open"}
    program.opens()
    program.looks()
    said = [line for line in capsys.readouterr().err.splitlines() if "detector" in line]
    assert len(said) == 1
    assert "detector fails-after-one is skipped for a look: ZeroDivisionError: a slip, at " in said[0]
    assert said[0].endswith("[detector-failed]")


@pytest.mark.parametrize("rule", list(ALL))
def test_each_detector_may_fail_and_the_last_look_comes(rule: str) -> None:
    """Whichever it is: at a look, and where the end asks whether anything would be accused."""

    def fails(snapshot: Snapshot, limits: Limits) -> Any:
        del snapshot, limits
        raise OverflowError

    program = Program(detectors={**ALL, rule: fails})
    for _ in range(2):
        leaks(program)
        program.opens(by=thread("Thread-2", REPORT))
    program.looks()
    said = program.exits()
    expected = {"left-open", "collected-open"} - {rule}
    assert expected <= {finding.rule for finding in [*said, *program.watch.findings]}


def unsayable(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Find something with a phrase whose places nobody fills, and a line that cannot be read."""
    del limits
    for part in parts_of(snapshot.open)[:1]:
        yield replace(Finding.of(part, "unsayable", ERROR, "{n} %d of %d"), parts=(3,))  # type: ignore[arg-type]


def test_a_finding_that_cannot_be_told_is_told_by_its_rule_and_count(tmp_path: Path) -> None:
    """In the log and the journal; the others stand whole, and no output is switched off."""
    path = tmp_path / "journal.jsonl"
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    journal = JournalOutput(Limits().with_settings(journal=str(path)))
    program = Program(LogOutput(Limits()), journal, detectors={"unsayable": unsayable, **ALL})
    program.opens()
    leaks(program)
    logging.getLogger("whoholds").addHandler(handler)
    try:
        program.looks()
    finally:
        logging.getLogger("whoholds").removeHandler(handler)
    assert len(program.watch.outputs) == 2
    broken, whole = [json.loads(line) for line in path.read_text().splitlines() if '"type":"finding"' in line]
    assert broken["rule"] == "unsayable"
    assert broken["message"].startswith("unsayable: 1 found, which cannot be shown (")
    assert broken["report"].startswith(f"whoholds: {broken['message']}\n")
    assert set(broken) >= {"id", "fingerprint", "severity", "time", "count", "database", "opened", "owners", "stack"}
    assert whole["rule"] == "collected-open"
    assert "cannot be shown" not in whole["report"]
    assert records[0].getMessage() == f"whoholds: {broken['message']}"
    program.looks()
    assert "hook-failed" in asides(program)


def test_a_task_class_of_the_programs_may_fail() -> None:
    """`done` and `get_stack` that raise: it counts as running, and where it is cannot be seen."""

    class Strange:
        def done(self) -> bool:
            raise RuntimeError("ask me later")

        def get_stack(self, limit: int) -> list[Any]:
            raise RuntimeError(limit)

    program = Program(owner_gone=1, held_too_long=2)
    kept = Strange()
    for _ in range(2):
        owner = task("Task-1")
        owner.ref = lambda: kept
        program.opens(by=owner)
    program.ledger.refused(OSError("too many clients"), SHOP, None)
    said = [finding.rule for _ in range(4) for finding in program.looks(2)]
    assert {"refused", "held-too-long"} <= set(said)
    assert asides(program) == []


# --- files and names ------------------------------------------------------------------------------------------------


def opened_by(file: str, function: str = "load") -> Finding:
    """Give the finding of a connection opened by code of that file."""
    ledger = Ledger(origin=lambda _, __: from_lines([(file, 3, function)]))
    watch = Watch(ledger=ledger)
    ledger.closed(ledger.opened(CONNECTION, "psycopg2", SHOP, None, None), "collected")
    (finding,) = watch.tick()
    assert watch.failed == []
    return finding


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs")
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "link to a device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    """A FIFO that nobody writes to would hold the look for ever, and /dev/zero fill the memory."""
    path = tmp_path / "code.py"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        path = type(path)("/dev/zero")
        assert stat.S_ISCHR(path.stat().st_mode)
    found: list[Finding] = []
    asking = threading.Thread(target=lambda: found.append(opened_by(str(path))), daemon=True)
    asking.start()
    asking.join(20)
    assert found, "the look waits for the file"
    assert found[0].opened is not None
    assert found[0].opened.source == ""


def test_a_file_that_is_found_on_the_path_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As linecache does for a relative name; what lies there may be no file."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "cars.py").write_text("import shop\nconn = connect()\n")
    os.mkfifo(tmp_path / "shop" / "pipe.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert line_of("shop/cars.py", 2) == "conn = connect()\n"
    assert line_of("shop/cars.py", 3) == line_of("shop/cars.py", 0) == line_of("shop/none.py", 1) == ""
    assert line_of("shop/pipe.py", 1) == ""


@pytest.mark.parametrize("name", ["lone \ud800 surrogate", "undecodable \udcff byte", "nul \0 byte", "new\nline", ""])
def test_any_name_of_a_file_or_function_can_be_told(name: str) -> None:
    """Nothing of it raises, and what is said can be encoded."""
    finding = opened_by(f"/srv/{name}.py", name or "f")
    for said in (message(finding), text(finding), json.dumps(finding_record(finding))):
        said.encode("utf-8")
    assert finding.count == 1


def test_a_frame_of_such_a_name_is_readable() -> None:
    """Its function with an escape where no encoding takes the character."""
    assert frame_at(from_lines([("a.py", 1, "f\ud800")]), 0).function == "f\\ud800"
    assert frame_at(capture(sys._getframe(), 1), 0).function == "test_a_frame_of_such_a_name_is_readable"
    assert frame_at(at(CARS), 0).place.endswith("cars.py:42")


# --- outputs ----------------------------------------------------------------------------------------------------------


def fallen_back(program: Program) -> None:
    """Let stderr take over where no other output reports, as `whoholds.start` does."""
    program.watch.fallback = lambda: LogOutput(Limits(), logging=False)


def test_findings_go_to_stderr_where_the_only_journal_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the look in which it failed, too, and the summary at the end."""
    program = Program(JournalOutput(Limits().with_settings(journal=str(tmp_path))))
    fallen_back(program)
    leaks(program)
    program.looks()
    first = capsys.readouterr().err
    assert first.startswith("whoholds: output journal is switched off: IsADirectoryError: ")
    assert "\nwhoholds: collected-open: " in first
    leaks(program, USERS)
    program.looks()
    assert capsys.readouterr().err.startswith("whoholds: collected-open: ")
    program.exits()
    assert "whoholds: 2 findings (2 warnings): 2 connections opened" in capsys.readouterr().err


def test_an_output_that_still_reports_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """OpenTelemetry's without an SDK reports to nobody; then stderr takes over."""

    class Silent:
        silent = True

        def __call__(self, look: Look) -> None:
            """Take it and tell nobody."""

    looks: list[Look] = []
    for others, expected in (([looks.append], 0), ([Silent()], 1), ([looks.append, Silent()], 0)):
        program = Program(lambda look: 1 / 0, *others)
        fallen_back(program)
        leaks(program)
        program.looks()
        assert capsys.readouterr().err.count("whoholds: collected-open: ") == expected


def test_a_logging_handler_that_raises_does_not_take_the_findings_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """They go to stderr from then on; the output stays, and that is said once."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ConnectionError(record.name)

    logger, broken = logging.getLogger("whoholds"), Broken()
    program = Program(LogOutput(Limits()))
    logger.addHandler(broken)
    try:
        for line in (CARS, USERS):
            leaks(program, line)
            program.looks()
    finally:
        logger.removeHandler(broken)
    said = capsys.readouterr().err
    assert said.count("whoholds: collected-open: ") == 2
    assert said.count("[logging-failed]") == 1
    assert "logging raised ConnectionError: whoholds" in said
    assert asides(program) == []
    assert threading.current_thread() is threading.main_thread()


def test_what_stands_aside_is_in_the_journal(tmp_path: Path) -> None:
    """With its slug, from the look on in which it did."""
    path = tmp_path / "journal.jsonl"
    program = Program(lambda look: 1 / 0, JournalOutput(Limits().with_settings(journal=str(path))))
    program.looks()
    program.looks()
    (record,) = [json.loads(line) for line in path.read_text().splitlines() if '"type":"aside"' in line]
    assert record["slug"] == "output-failed"
    assert "<lambda> is switched off: ZeroDivisionError: division by zero" in record["reason"]
    assert set(record) == {"type", "slug", "reason", "time", "pid"}


def test_a_journal_is_written_where_the_working_directory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that was replaced while the program ran in it."""
    gone = tmp_path / "release"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    program = Program(JournalOutput(Limits().with_settings(journal=str(tmp_path / "journal.jsonl"))))
    leaks(program)
    program.looks()
    assert asides(program) == []
    assert '"cwd":""' in (tmp_path / "journal.jsonl").read_text()


def test_an_output_listens_before_a_driver_stands() -> None:
    """`begin` gets the ledger once; one that raises there is switched off."""
    order: list[str] = []

    class Listens:
        name = "listens"

        def begin(self, ledger: object) -> None:
            """Note when, and on what."""
            order.append(f"begin {ledger is watch.ledger}")

        def __call__(self, look: Look) -> None:
            """Report to nobody."""

    class Fails(Listens):
        name = "fails"

        def begin(self, ledger: object) -> None:
            """Raise."""
            raise ValueError(ledger)

    def driver(ledger: object) -> Any:
        del ledger
        order.append("driver")
        return _nothing()

    watch = Watch(drivers=[driver], outputs=[Listens(), Fails()])
    watch.start().stop()
    assert order == ["begin True", "driver"]
    assert [aside.slug for aside in watch.asides.all] == ["output-failed"]


# --- the look ------------------------------------------------------------------------------------------------------


def test_a_look_that_fails_is_said_once_and_the_next_looks_again(capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger itself, here; the end of the process is looked at, too."""
    program = Program()
    take, fails = program.ledger.take, [True]
    program.ledger.take = lambda **given: take(**given) if not fails else 1 / 0  # type: ignore[method-assign]
    leaks(program)
    assert program.looks() == program.looks() == program.watch.stop(Ending("scope", "job")) == []
    assert not program.ledger.active
    program.ledger.active = True
    fails.clear()
    assert [finding.rule for finding in program.looks()] == ["collected-open"]
    assert capsys.readouterr().err.count("[look-failed]") == 1
