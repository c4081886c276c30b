"""Where findings go: logging, stderr, Python warnings; and an output that fails, which costs nobody else theirs."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

import pytest

import whoholds
from tests.programs import Programs
from tests.worlds import CARS, REPORT, Program, thread
from whoholds.analysis.snapshot import Ending
from whoholds.outputs.log import LogOutput
from whoholds.outputs.warn import HeldConnectionWarning, warn
from whoholds.reporting.first_line import message
from whoholds.reporting.records import finding_record
from whoholds.reporting.report import stamped
from whoholds.scopes import Scope
from whoholds.settings.limits import Limits
from whoholds.testing.fakes import fake_dbapi
from whoholds.watching.watch import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Look

log = LogOutput(Limits())


class Kept(logging.Handler):
    """Keeps its records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Configured:
    """An output in a program that has configured logging with these handlers: pytest's own stand aside meanwhile."""

    def __init__(self, *handlers: logging.Handler, output: Callable[[Look], None] | None = None) -> None:
        self.handlers = list(handlers)
        self.output = output or LogOutput(Limits())

    def __call__(self, look: Look) -> None:
        logger = logging.getLogger("whoholds")
        before = logger.handlers, logger.propagate
        logger.handlers, logger.propagate = self.handlers, False
        try:
            self.output(look)
        finally:
            logger.handlers, logger.propagate = before


def leaks(program: Program, count: int = 3) -> None:
    """Let the collector free so many."""
    for _ in range(count):
        program.ledger.closed(program.opens(by=thread("Thread-1", REPORT)), "collected")


# --- log --------------------------------------------------------------------------------------------------------


def test_a_record_is_the_first_line_and_carries_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """The message alone for pipelines, the report and every journal field in `extra`; nothing on stderr."""
    program = Program(Configured(kept := Kept()))
    leaks(program)
    program.looks()
    (record,) = kept.records
    assert (record.levelname, record.name) == ("WARNING", "whoholds")
    assert record.getMessage() == (
        "whoholds: collected-open: /srv/shop/cars.py:42 in load_cars never closed 3 connections, freed by "
        "garbage collection, spawned at /srv/shop/report.py:17 in build, to app@127.0.0.1/shop"
    )
    assert record.msg.startswith("whoholds: collected-open: %s in load_cars never closed %d %s, freed")
    assert record.report == f"{record.getMessage()}\n{record.stack_info}"
    assert (record.pathname, record.lineno, record.funcName) == ("/srv/shop/cars.py", 42, "load_cars")
    assert (record.rule, record.count, record.severity, record.opened["line"]) == (
        "collected-open",
        3,
        "warning",
        42,
    )
    assert record.finding_message == record.getMessage().removeprefix("whoholds: ")
    assert record.fingerprint
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("severity", "level"), [("left-open", logging.ERROR), ("collected-open", logging.WARNING)])
def test_the_level_is_the_severity(severity: str, level: int) -> None:
    """Error and warning; info is not said unasked."""
    program = Program(Configured(kept := Kept()))
    leaks(program)
    for _ in range(2):
        program.opens("/srv/shop/a.py:3 load")
    program.opens("/srv/shop/b.py:3 single")
    program.exits()
    assert {record.levelno for record in kept.records if getattr(record, "rule", "") == severity} == {level}
    assert not any("single" in record.getMessage() for record in kept.records)


def test_a_record_keeps_no_secret() -> None:
    """Neither its message nor anything that travels with it; a request's name may hold one."""
    program = Program(Configured(kept := Kept()))
    request = Scope("GET /login?password=hunter2")
    program.opens(scope=request)
    program.clock.advance(1)
    program.watch.end(Ending("scope", request.name, request))
    (record,) = kept.records
    assert "at the end of scope GET /login?password=***" in record.getMessage()
    assert "hunter2" not in str(vars(record))


def test_without_a_handler_the_whole_text_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Not Python's last resort, which would print the first line only."""
    program = Program(Configured())
    leaks(program)
    program.looks()
    err = capsys.readouterr().err
    assert err.startswith("whoholds: collected-open: /srv/shop/cars.py:42 in load_cars never closed 3 connections")
    assert "3  opened   /srv/shop/cars.py:42 in load_cars" in err
    assert "Until the garbage collector runs" in err


def test_the_logger_is_looked_up_at_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that configures logging after its first finding has the second in its own log."""
    program = Program(configured := Configured())
    leaks(program)
    program.looks()
    assert capsys.readouterr().err
    configured.handlers.append(handler := Kept())
    leaks(program, 27)
    program.looks()
    assert len(handler.records) == 1
    assert capsys.readouterr().err == ""


def test_a_record_leaves_no_thread_behind() -> None:
    """logging asks for the current thread, which makes a Dummy of ours that the program would see for ever."""
    import _thread

    program = Program(Configured(kept := Kept()))
    leaks(program)
    before = set(threading.enumerate())
    done = _thread.allocate_lock()
    done.acquire()

    def tick() -> None:
        program.watch.tick()
        done.release()

    _thread.start_new_thread(tick, ())
    assert done.acquire(timeout=10)
    assert len(kept.records) == 1
    assert set(threading.enumerate()) == before


def test_a_record_from_a_thread_of_the_programs_leaves_that_thread() -> None:
    """Only a Dummy that we brought about is taken away."""
    program = Program(Configured(kept := Kept()))
    leaks(program)
    seen: list[bool] = []

    def tick() -> None:
        program.watch.tick()
        seen.append(threading.current_thread() in threading.enumerate())

    one = threading.Thread(target=tick)
    one.start()
    one.join()
    assert (seen, len(kept.records)) == ([True], 1)


def test_a_closed_stderr_is_no_ones_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that is not there, as under pythonw."""
    import io

    for stream in (io.StringIO(), None):
        if stream is not None:
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        program = Program(Configured())
        leaks(program)
        assert program.looks()
        assert program.watch.failed == []


def test_a_repeat_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Its story was told; the journal's record has the whole again, for whoever reads the last word only."""
    said = []
    program = Program(Configured(), lambda look: said.extend(look.findings), repeat=5)
    program.ledger.closed(program.opens(), "collected")
    program.looks()
    program.clock.advance(6)
    program.ledger.closed(program.opens(), "collected")
    capsys.readouterr()
    program.looks()
    assert capsys.readouterr().err == stamped(f"whoholds: {message(said[-1])}\n", said[-1].time, os.getpid())
    assert finding_record(said[-1])["report"].startswith(f"whoholds: {message(said[-1])}\n")


def test_rules_that_name_the_same_connections_are_one_matter(capsys: pytest.CaptureFixture[str]) -> None:
    """Findings that come together are reported together, a later one names the earlier, and the summary counts one."""
    program = Program(Configured(), idle_in_transaction=2, held_too_long=2, owner_gone=8)
    lost = thread("Thread-9", REPORT)
    for _ in range(2):
        program.opens(by=lost, in_transaction=True)
    program.looks(3.0)
    together = capsys.readouterr().err
    assert together.startswith(
        "whoholds: held-too-long: /srv/shop/cars.py:42 in load_cars opened 2 connections, idle for 3 of 3 s, "
    )
    assert "\n  Also idle-in-transaction: opened 2 connections, idle for 3 s.\n    " in together
    assert together.count("whoholds: ") == 1
    lost.ident = -1
    program.looks(1.0)
    program.looks(9.0)
    later = capsys.readouterr().err
    assert later.startswith(
        "whoholds: owner-gone: /srv/shop/cars.py:42 in load_cars opened 2 connections; owner thread ended 9.0 s ago"
    )
    assert "  Reported before, for the same connections: held-too-long, idle-in-transaction.\n" in later
    assert "how it was opened" not in later
    program.exits()
    *_, headline, _, worst = capsys.readouterr().err.splitlines()
    assert headline.startswith("whoholds: 1 finding (1 error): 2 connections opened, at most 2 at once to app@")
    assert worst.startswith("whoholds: worst: owner-gone: /srv/shop/cars.py:42 in load_cars")


def test_a_doubling_count_is_printed_when_it_is_ten_times_as_high(capsys: pytest.CaptureFixture[str]) -> None:
    """1, 2, 4, 8, …: records have each; a person reads of 1, of 16, and of the last count at the end."""
    looks: list[Look] = []
    program = Program(Configured(), looks.append)
    for count in (1, 1, 2, 4, 8, 16, 32):
        leaks(program, count)
        program.looks()
    printed = re.findall(r"never closed (\d+) connections?, .*", capsys.readouterr().err)
    assert printed == ["1", "16"]
    assert [finding.count for look in looks for finding in look.findings] == [1, 2, 4, 8, 16, 32, 64]
    program.exits()
    err = capsys.readouterr().err
    assert "never closed 64 connections" in err.splitlines()[0]
    assert err.splitlines()[0].partition(" [")[0].endswith("(×48 since)")


def test_the_worst_of_equal_findings_is_the_largest(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two leaks with the same rule and severity, that of three connections, though the other came first."""
    program = Program(Configured())
    for number, line in enumerate(("/srv/shop/app.py:9 main", CARS)):
        lost = thread(f"Thread-{number}", REPORT)
        for _ in range(2 + number):
            program.opens(line, by=lost)
        lost.ident = -1
        program.looks(1.0)
        program.looks(9.0)
    program.exits()
    worst = capsys.readouterr().err.splitlines()[-1]
    assert worst.startswith("whoholds: worst: owner-gone: /srv/shop/cars.py:42 in load_cars opened 3 connections")


def test_a_summary_at_the_exit(capsys: pytest.CaptureFixture[str]) -> None:
    """Findings, peak and the busiest opening lines; the last thing said."""
    program = Program(Configured())
    for handle in program.fans_out(25):
        program.ledger.closed(handle)
    program.opens("/srv/shop/app.py:9 main")
    program.looks()
    capsys.readouterr()
    program.exits()
    assert capsys.readouterr().err.splitlines() == [
        "whoholds: 1 finding (1 warning): 26 connections opened, at most 25 at once to app@127.0.0.1/shop",
        "whoholds:   /srv/shop/cars.py:42 in load_cars opened 25",
        "whoholds:   /srv/shop/app.py:9 in main opened 1",
        "whoholds: worst: too-many-at-once: /srv/shop/cars.py:42 in load_cars opened 25 connections at once, "
        "spawned at /srv/shop/report.py:17 in build, to app@127.0.0.1/shop",
    ]


def test_a_clean_program_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Not at its exit either; info is for the journal."""
    program = Program(Configured())
    program.opens()
    for _ in range(5):
        program.ledger.closed(program.opens("/srv/shop/a.py:3 load"))
        program.looks()
    program.exits()
    assert capsys.readouterr().err == ""


def test_an_ignore_rule_that_matched_nothing_is_said_at_the_exit(capsys: pytest.CaptureFixture[str]) -> None:
    """And one that did is not; what it matched is not said."""
    program = Program(Configured(), ignore="collected-open@shop/cars.py,growing@nowhere.py")
    leaks(program)
    program.exits()
    err = capsys.readouterr().err
    assert err == "whoholds:   ignore rule growing@nowhere.py matched nothing\n"


def test_what_was_dropped_is_said_at_the_exit(capsys: pytest.CaptureFixture[str]) -> None:
    """More handles than are remembered: also where nothing was found."""
    program = Program(Configured(), max_handles=5)
    program.ledger.most = 5
    held = [program.opens(f"/srv/shop/a.py:{number} load") for number in range(1, 9)]
    for handle in held:
        program.ledger.closed(handle)
    program.exits()
    assert "3 events were dropped: more than WHOHOLDS_MAX_HANDLES=5" in capsys.readouterr().err


# --- warn -------------------------------------------------------------------------------------------------------


def test_a_warning_stands_at_the_opening_line() -> None:
    """File and line of who opened, in a category that is shown by default."""
    program = Program(warn)
    leaks(program)
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        program.looks()
    (one,) = caught
    assert (one.filename, one.lineno, one.category) == ("/srv/shop/cars.py", 42, HeldConnectionWarning)
    assert str(one.message).startswith("collected-open: /srv/shop/cars.py:42 in load_cars never closed 3 connections")
    assert issubclass(HeldConnectionWarning, UserWarning)


def test_an_error_filter_does_not_switch_the_output_off() -> None:
    """It would raise in the thread that ticks; it is logged as an error there, each time."""
    program = Program(output := Configured(handler := Kept(), output=warn))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count in (3, 30):
            leaks(program, count)
            program.looks()
    assert [record.levelname for record in handler.records] == ["ERROR", "ERROR"]
    assert program.watch.outputs == [output]


def test_an_ignore_filter_silences_it() -> None:
    """As with any warning."""
    program = Program(warn)
    leaks(program)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", HeldConnectionWarning)
        program.looks()
    assert caught == []


def test_the_end_of_a_block_warns_in_the_calling_thread() -> None:
    """`with whoholds.watch():` and `with whoholds.scope():` work with `pytest.warns` as anywhere."""
    module = fake_dbapi("outputs_fakedb")
    with pytest.warns(HeldConnectionWarning, match="left open 1 connection"), whoholds.watch(outputs="0"):
        whoholds.watch_module(module)
        kept = module.connect()
        with (
            pytest.warns(HeldConnectionWarning, match="at the end of scope GET /cars"),
            whoholds.scope("GET /cars"),
        ):
            other = module.connect()
        other.close()
    kept.close()


# --- an output that fails ---------------------------------------------------------------------------------------


def test_an_output_that_raises_is_switched_off_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The next is told all the same, and the program hears one line."""
    looks: list[Look] = []

    def broken(look: Look) -> None:
        raise RuntimeError("no such collector")

    program = Program(broken, looks.append)
    program.watch.outputs[0].name = "trouble"
    for _ in range(3):
        leaks(program)
        program.looks()
    assert (len(looks), program.watch.outputs) == (3, [program.watch.outputs[0]])
    assert (
        capsys.readouterr().err
        == "whoholds: output trouble is switched off: RuntimeError: no such collector [output-failed]\n"
    )
    assert program.watch.failed == ["output trouble is switched off: RuntimeError: no such collector"]


EXITS_AT_AN_ERROR = """
import logging, sqlite3, sys

class Stop(logging.Handler):
    def emit(self, record):
        sys.exit(record.levelname)

logging.getLogger().addHandler(Stop())
kept = [sqlite3.connect("shop.db") for _ in range(2)]
"""


def test_a_log_handler_that_ends_the_program_ends_no_look(tmp_path: Path) -> None:
    """It is a recipe for tests: stop at the first error. The last look still writes all that it found."""
    ran = Programs(tmp_path).run(EXITS_AT_AN_ERROR)
    assert "whoholds: logging raised SystemExit: ERROR; findings go to stderr" in ran.err
    assert "Traceback" not in ran.err
    assert ran.findings == [("left-open", "error", 2)]
    assert ran.of("end")


def test_a_signal_that_comes_in_a_look_is_the_programs() -> None:
    """A look in the main thread, as at the end of a `with` block: what the signal's handler raises goes on."""

    def handler(number: int, frame: object) -> None:
        raise TimeoutError("time is over")

    before = signal.signal(signal.SIGINT, handler)
    program = Program(lambda look: signal.raise_signal(signal.SIGINT))
    try:
        leaks(program)
        with pytest.raises(TimeoutError, match="time is over"):
            program.looks()
        assert len(program.watch.outputs) == 1
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_an_output_opens_is_not_watched() -> None:
    """An exporter with a database of its own must not be told of itself for ever."""
    seen: list[int] = []

    def storing(look: Look) -> None:
        program.opens("/srv/shop/exporter.py:3 store")
        seen.append(len(look.snapshot.open))

    program = Program(storing)
    for _ in range(3):
        program.looks()
    assert (seen, program.watch.handles) == ([0, 0, 0], [])


def test_a_look_inside_a_look_finds_nothing() -> None:
    """An output that asks who holds what must not wait for itself."""
    inner: list[object] = []

    def asking(look: Look) -> None:
        inner.append(program.watch.tick())

    program = Program(asking)
    leaks(program)
    started = time.monotonic()
    assert len(program.looks()) == 1
    assert inner == [[]]
    assert time.monotonic() - started < PATIENCE_S


def test_a_predicate_that_says_so_makes_a_finding_meant() -> None:
    """Neither said nor remembered; given by a function instead of a rule."""
    program = Program()
    program.watch.predicates.append(lambda finding: finding.rule == "collected-open" and finding.count < 5)
    leaks(program, 3)
    assert program.looks() == []
    leaks(program, 6)
    assert [finding.count for finding in program.looks()] == [6]


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# whoholds: ignore", []),
        ("# whoholds: ignore[collected-open]", []),
        ("# whoholds: ignore[growing, collected-open]", []),
        ("# whoholds: ignore[growing]", ["collected-open"]),
        ("", ["collected-open"]),
    ],
)
def test_a_comment_on_the_opening_line_makes_it_meant(tmp_path: Path, comment: str, said: list[str]) -> None:
    """For one rule, for several, for all."""
    file = tmp_path / "cars.py"
    file.write_text(f"def load():\n    return connect()  {comment}\n")
    program = Program()
    program.ledger.closed(program.opens(f"{file}:2 load"), "collected")
    assert [finding.rule for finding in program.looks()] == said


def test_a_driver_that_fails_to_enter_or_leave_is_said_and_costs_nobody_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The others watch, and are undone."""
    from contextlib import contextmanager

    undone: list[str] = []

    @contextmanager
    def never(ledger: object) -> Iterator[None]:
        raise RuntimeError("version 99 is not known")
        yield

    @contextmanager
    def good(ledger: object) -> Iterator[None]:
        yield
        undone.append("good")

    @contextmanager
    def stuck(ledger: object) -> Iterator[None]:
        yield
        raise RuntimeError("cannot restore")

    program = Program()
    for driver in (never, good, stuck):
        program.watch.enter(driver, driver.__name__)
    assert program.watch.history.drivers == {"never": False, "good": True, "stuck": True}
    program.watch.stop()
    assert undone == ["good"]
    err = capsys.readouterr().err
    assert "is not watched: RuntimeError: version 99 is not known" in err
    assert "RuntimeError: cannot restore" in err
