"""`whoholds.testing` and what it stands on: blocks, the mixin, fakes, choices, intervals, the ratchet."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import subprocess
import sys
import threading
import unittest
import weakref
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from whoholds import startup
from whoholds.analysis.peaks import most_at_once
from whoholds.ledger.database import database
from whoholds.ledger.handle import Handle
from whoholds.ledger.ledger import Ledger
from whoholds.testing import (
    FakeClock,
    LeakError,
    NoLeaksMixin,
    assert_max_connects,
    assert_max_open,
    assert_no_leaks,
    baseline,
    fake_dbapi,
)
from whoholds.testing.policy import Policy, WrongPolicy
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

kept: list[Any] = []


@pytest.fixture(autouse=True)
def tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what the blocks found, and give every name back that the first of them took."""
    monkeypatch.chdir(tmp_path)
    watched = startup.current() is not None
    yield
    while kept:
        kept.pop().close()
    gc.collect()
    if not watched and startup.current() is not None:
        startup.stop()


def connect() -> sqlite3.Connection:
    return sqlite3.connect("cars.db", check_same_thread=False)


def leak() -> None:
    kept.append(connect())


# --- blocks ---------------------------------------------------------------------------------------------------------


def test_a_block_that_leaves_something_open_raises_the_whole_report() -> None:
    """With the line, and where the block stands; a clean one after it hears nothing of it."""
    with (
        pytest.raises(
            LeakError, match=r"left-open: .* left open 1 connection at the end of block assert_no_leaks\(\) at "
        ),
        assert_no_leaks(),
    ):
        leak()
    with assert_no_leaks(), closing(connect()):
        pass


def test_a_block_gives_what_it_opened() -> None:
    """To assert on inside and after it."""
    with assert_no_leaks() as opened:
        with closing(connect()), closing(connect()):
            assert len(opened.open) == 2
        connect().close()
    assert (opened.peak, opened.connects, opened.open) == (2, 3, [])


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # 3.13's own
def test_a_connection_in_a_cycle_was_freed_by_the_collector() -> None:
    """Dropped is not closed: that is said."""
    with pytest.raises(LeakError, match="collected-open: .* never closed 1 connection, freed by garbage collection"):
        _drops()


@assert_no_leaks()
def _drops() -> None:
    ring: list[Any] = [connect()]
    ring.append(ring)


def test_a_block_judges_its_threads_and_waits_for_those_about_to_close() -> None:
    """A thread that it started counts for it, also one that still has a moment to go."""
    go = threading.Event()

    def closes() -> None:
        connection = connect()
        go.wait()
        connection.close()

    thread = threading.Thread(target=closes)
    with assert_no_leaks() as opened:
        thread.start()
        while not opened.open:
            pass
        go.set()
    thread.join()
    with pytest.raises(LeakError, match="spawned at "), assert_no_leaks():
        thread = threading.Thread(target=leak)
        thread.start()
        thread.join()


def test_max_open_and_max_connects_hold_the_exact_numbers() -> None:
    """Three at once and three in all are different things."""
    with assert_max_open(1), assert_max_connects(3):
        for _ in range(3):
            connect().close()
    with (
        pytest.raises(LeakError, match="max-open: .* opened 2 connections at once, 1 allowed"),
        assert_max_open(1),
        closing(connect()),
        closing(connect()),
    ):
        pass
    with (
        pytest.raises(LeakError, match="max-connects: .* opened 3 connections in all, 2 allowed"),
        assert_max_connects(2),
    ):
        for _ in range(3):
            connect().close()


def test_what_is_meant_is_allowed() -> None:
    """By rule, by place or by a function; what does not exist is an error that names what does."""
    for allow in (
        "left-open",
        f"left-open@{__file__}:connect",
        lambda finding: finding.count == 1,
        ["collected-open", "left-open"],
    ):
        with assert_no_leaks(allow=allow):
            leak()
    with pytest.raises(WrongPolicy, match=r"allow takes a rule, .* got 'left-opn'; rules: .*did you mean left-open"):
        assert_no_leaks(allow="left-opn")


def test_an_exception_of_the_blocks_own_goes_on() -> None:
    """With the report as a note where exceptions take notes."""
    with pytest.raises(KeyError) as caught, assert_no_leaks():
        leak()
        raise KeyError
    if sys.version_info >= (3, 11):
        assert "left-open" in caught.value.__notes__[0]


def test_async_blocks_and_coroutine_functions() -> None:
    """A task that the block started gets its moment to end; one that leaks counts for the block."""

    async def works(leaks: bool) -> None:  # noqa: FBT001 - it is the test's own
        connection = connect()
        await asyncio.sleep(0)
        kept.append(connection) if leaks else connection.close()

    async def main(leaks: bool) -> None:  # noqa: FBT001 - it is the test's own
        async with assert_no_leaks():
            task = asyncio.create_task(works(leaks))
        await task

    asyncio.run(main(leaks=False))
    with pytest.raises(LeakError, match="left-open"):
        asyncio.run(main(leaks=True))
    with pytest.raises(LeakError, match="block assert_no_leaks.. of works"):
        asyncio.run(assert_no_leaks()(works)(leaks=True))


def test_a_block_decorates_functions_only() -> None:
    """A generator's or a class's end is not its call's."""

    def generator() -> Iterator[None]:
        yield

    for wrong in (generator, int, 3):
        with pytest.raises(TypeError, match="decorates a function or coroutine function"):
            assert_no_leaks()(wrong)  # type: ignore[type-var]


def test_a_block_inside_a_block_says_it_once() -> None:
    """Whoever catches the inner one's error has judged."""
    with assert_no_leaks(), pytest.raises(LeakError), assert_no_leaks():
        leak()


def test_a_block_keeps_nobodys_objects() -> None:
    """Not the connection, and not what it hangs on."""

    class Own(sqlite3.Connection):
        pass

    with assert_max_open(1) as opened:
        connection = sqlite3.connect("cars.db", factory=Own)
        reference = weakref.ref(connection)
        connection.close()
        del connection
        gc.collect()
        assert reference() is None
    assert opened.connects == 1


# --- unittest -------------------------------------------------------------------------------------------------------


def test_the_mixin_judges_after_tear_down_and_cleanups() -> None:
    """Failures are failures; one of the test's own stays the only one; the asynchronous class works the same."""

    class Plain(NoLeaksMixin, unittest.TestCase):
        max_open = 1

        def tearDown(self) -> None:
            if hasattr(self, "mine"):
                self.mine.close()

        def test_clean(self) -> None:
            self.mine = connect()

        def test_cleanup(self) -> None:
            self.addCleanup(connect().close)

        def test_leaks(self) -> None:
            leak()

        def test_own(self) -> None:
            leak()
            self.fail("a reason of its own")

        def test_two(self) -> None:
            with closing(connect()), closing(connect()):
                pass

    class Async(NoLeaksMixin, unittest.IsolatedAsyncioTestCase):
        allow_leaks = "collected-open"

        async def test_clean(self) -> None:
            self.addAsyncCleanup(asyncio.sleep, 0)
            self.addCleanup(connect().close)

        async def test_leaks(self) -> None:
            leak()

    assert _failures(Plain) == {
        "test_leaks": "left open 1 connection",
        "test_own": "a reason of its own",
        "test_two": "opened 2 connections at once",
    }
    assert _failures(Async) == {"test_leaks": "left open 1 connection"}


def test_the_mixin_adds_no_failure_to_one_of_the_tests_own() -> None:
    """Nor to that of a subtest; an expected failure stays expected, and an unexpected success that leaks has failed."""

    class Plain(NoLeaksMixin, unittest.TestCase):
        @unittest.expectedFailure
        def test_known_bug(self) -> None:
            leak()
            self.fail("a reason of its own")

        @unittest.expectedFailure
        def test_known_bug_that_is_gone(self) -> None:
            leak()

        def test_sub(self) -> None:
            with self.subTest(number=1):
                self.fail("a reason of its own")
            leak()

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Plain).run(result)
    assert [test.id().rpartition(".")[2] for test, _ in result.expectedFailures] == ["test_known_bug"]
    assert not result.errors
    said = [("own" if "a reason of its own" in text else "leak") for _, text in result.failures]
    assert sorted(said) == ["leak", "own"]
    assert not result.unexpectedSuccesses


def _failures(case: type[unittest.TestCase]) -> dict[str, str]:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert not result.errors
    said = ("left open 1 connection", "a reason of its own", "opened 2 connections at once")
    names = [test.id().rpartition(".")[2] for test, _ in result.failures]
    assert len(names) == len(set(names))
    return {
        name: next(one for one in said if one in text) for name, (_, text) in zip(names, result.failures, strict=True)
    }


# --- importing ------------------------------------------------------------------------------------------------------


def test_importing_it_patches_nothing() -> None:
    """Nor does it bring in what watches."""
    code = (
        "import whoholds.testing, sys, sqlite3\n"
        "assert type(sqlite3.connect).__name__ == 'builtin_function_or_method'\n"
        "assert 'whoholds.startup' not in sys.modules and 'wrapt' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- fakes ----------------------------------------------------------------------------------------------------------


def test_a_fake_clock_runs_forward_only() -> None:
    """It is told how far."""
    clock = FakeClock(5.0)
    assert clock.advance(31) == clock() == 36.0
    with pytest.raises(ValueError, match="a clock takes seconds that pass"):
        clock.advance(-1)


def test_a_fake_module_is_watched_as_any_other() -> None:
    """Its server counts, answers and refuses with the words of a real one."""
    from whoholds.drivers.generic import driver_for

    module = fake_dbapi(most=2, rows=[(1,), (2,)])
    watch = Watch(ledger=Ledger(clock=FakeClock()))
    with driver_for(module, "fakedb")(watch.ledger):
        first, second = module.connect(host="h"), module.connect()
        with pytest.raises(module.OperationalError, match="too many clients"):
            module.connect()
        cursor = first.cursor()
        cursor.execute("SELECT 1")
        assert list(cursor.fetchall()) == [(1,), (2,)]
        assert module.server.open == len(watch.handles) == 2
        second.close()
        with pytest.raises(module.InterfaceError, match="already closed"):
            second.cursor()
        assert module.server.statements == ["SELECT 1"]
    assert {finding.rule for finding in watch.tick()} == {"refused"}


# --- intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([(1, 2), (3, 4)], 1),
        ([(1, 4), (2, 3)], 2),
        ([(1, 4), (2, 5), (3, 6), (7, None)], 3),
        ([(1, None), (2, None), (3, 4), (5, 6)], 3),
    ],
)
def test_the_peak_is_exact(spans: list[tuple[int, int | None]], most: int) -> None:
    """From the stamps alone, which order everything."""
    handles = []
    for opened, closed in spans:
        handle = Handle("connection", "fake", database("fakedb"), None, ())
        handle.opened_stamp, handle.closed_stamp = opened, closed
        handles.append(handle)
    there = most_at_once(reversed(handles))
    assert len(there) == most
    assert list(there) == handles[:most]


# --- choices --------------------------------------------------------------------------------------------------------


def test_choices_of_a_marker_win_key_by_key() -> None:
    """What it does not name stays as it was."""
    choices = Policy("error", {"left-open": "report"}, max_open=5).marked(
        ("report",), {"max_connects": 2, "refused": "error"}
    )
    assert choices == Policy("report", {"left-open": "report", "refused": "error"}, 5, 2)
    assert choices.of("refused") == "error"
    assert choices.of("owner-gone") == choices.of("idle-in-transaction") == "report"
    assert Policy("error").of("connect-storm") == Policy("off", {"refused": "error"}).of("refused") == "off"
    assert not Policy().asks
    assert Policy(max_open=0).asks


# --- the ratchet ----------------------------------------------------------------------------------------------------


def record(fingerprint: str, count: int) -> dict[str, Any]:
    opened = {"file": "shop/cars.py", "line": 42, "function": "load", "source": ""}
    return {
        "fingerprint": fingerprint,
        "rule": "left-open",
        "count": count,
        "opened": opened,
        "spawned": None,
    }


def test_a_baseline_tells_new_grown_and_fewer(tmp_path: Path) -> None:
    """Several of one fingerprint are added up; the file is sorted and has no lines in it."""
    path = tmp_path / "deep" / "known.json"
    baseline.write(path, [record("b", 1), record("a", 2), record("a", 1)])
    assert [one["fingerprint"] for one in json.loads(path.read_text())["findings"]] == ["a", "b"]
    assert "42" not in path.read_text()
    known = baseline.load(path)
    assert known["a"].count == 3
    assert not baseline.compare(known, [record("a", 3), record("b", 1)]).lines()
    compared = baseline.compare(known, [record("a", 4), record("c", 1)])
    assert [one["fingerprint"] for one in compared.new] == ["c"]
    assert [one["fingerprint"] for one in compared.failing] == ["c", "a"]
    assert compared.lines() == [
        "new, not in the baseline: left-open: opened in shop/cars.py in load, 1 ×",
        "grown from 3 to 4: left-open: opened in shop/cars.py in load",
        "gone: left-open: opened in shop/cars.py in load "
        "(--update-baseline, in pytest --whoholds-update-baseline, keeps it so)",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", "version none, where this whoholds takes 1"),
        ('{"version": 9}', "version 9, where this whoholds takes 1"),
        ('{"version": 1, "findings": [{"rule": "x"}]}', "an entry has not fingerprint"),
    ],
)
def test_what_is_no_baseline_says_so(tmp_path: Path, text: str | None, complaint: str) -> None:
    """The file, what is wrong with it, and how a good one is made."""
    path = tmp_path / "known.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(baseline.WrongBaselineError, match=f"baseline .*known.json: {complaint}.*--update-baseline"):
        baseline.load(path)
