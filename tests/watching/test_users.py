"""One Watch for all who use it: `start`, blocks that overlap in threads, tasks and one thread, and a suite."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import warnings
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest

import whoholds
from whoholds import startup
from whoholds.ledger.scope import current as current_scope
from whoholds.settings.matching import Threshold
from whoholds.watching.running import watches
from whoholds.watching.users import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SETTINGS: Any = {"outputs": (), "every": 3600}
BARE = sqlite3.connect


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every name is given back, and no watch runs on."""
    monkeypatch.delenv("WHOHOLDS", raising=False)
    yield
    assert watches() == []
    assert sqlite3.connect is BARE


@contextmanager
def said() -> Iterator[list[str]]:
    """Give the warnings of the block, filled at its end."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(one.message) for one in caught]


def opened() -> sqlite3.Connection:
    """Give a connection that any thread may close."""
    return sqlite3.connect(":memory:", check_same_thread=False)


def in_threads(*functions: Callable[[], object]) -> None:
    """Run each function in a thread of its own."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_start_within_a_block_is_the_blocks_watch() -> None:
    """It lives until the stop, which comes after the block's end."""
    with said() as texts:
        with whoholds.watch(**SETTINGS) as watch:
            assert whoholds.start() is watch
            opened().close()
        assert whoholds.current() is watch
        kept = opened()
        assert [str(finding.rule) for finding in whoholds.stop()] == ["left-open"]
        kept.close()
    assert len(texts) == 1


def test_a_block_goes_on_after_a_stop_within_it() -> None:
    """The stop takes a look, and accuses nobody of what the block may still close."""
    with said() as texts, whoholds.watch(**SETTINGS) as watch:
        whoholds.start()
        connection = opened()
        assert whoholds.stop() == []
        assert whoholds.current() is watch
        connection.close()
    assert texts == []


def test_a_stop_in_another_thread_leaves_a_block_its_watch() -> None:
    """What the block leaks afterwards is seen."""
    whoholds.start(**SETTINGS)
    with said() as texts, whoholds.watch() as watch:
        in_threads(whoholds.stop)
        kept = opened()
        assert len(watch.handles) == 1
    kept.close()
    assert len(texts) == 1


def test_threads_that_begin_at_one_moment_share_a_watch() -> None:
    """By `start` and by blocks."""
    whoholds.start(**SETTINGS)  # the first one imports what all need, which takes long on a busy machine
    whoholds.stop()
    for _ in range(10):
        together, got = threading.Barrier(4), set[int]()

        def start(together: threading.Barrier = together, got: set[int] = got) -> None:
            together.wait()
            got.add(id(whoholds.start(**SETTINGS)))
            together.wait()

        def block(together: threading.Barrier = together, got: set[int] = got) -> None:
            together.wait()
            with whoholds.watch(**SETTINGS) as watch:
                got.add(id(watch))
                together.wait()

        in_threads(start, start, block, block)
        assert got == {id(watch) for watch in watches()}
        assert len(got) == 1
        whoholds.stop()
        assert watches() == []


def test_blocks_of_two_threads_are_judged_for_what_is_theirs() -> None:
    """The end of the first accuses nobody of the other's open connection, and the other's later leak is seen."""
    entered, is_open, is_over = threading.Event(), threading.Event(), threading.Event()
    kept: list[sqlite3.Connection] = []

    def first() -> None:
        with whoholds.watch(**SETTINGS):
            entered.set()
            is_open.wait()
            kept.append(opened())
        is_over.set()

    def second() -> None:
        entered.wait()
        with whoholds.watch() as watch:
            connection = opened()
            is_open.set()
            is_over.wait()
            before.extend(finding.count for finding in watch.findings)
            connection.close()
            kept.append(opened())
            kept.append(opened())

    before: list[int] = []
    with said() as texts:
        in_threads(first, second)
    assert before == [1]
    assert ["left open 1" in text for text in texts] == [True, False]
    assert "left open 2" in texts[1]
    for connection in kept:
        connection.close()


def test_blocks_of_tasks_are_judged_for_what_is_theirs() -> None:
    """Two tasks of one thread, of which the first to begin is the first to end."""
    kept: list[sqlite3.Connection] = []

    async def first() -> None:
        with whoholds.watch(**SETTINGS):
            await asyncio.sleep(0.01)

    async def second() -> None:
        await asyncio.sleep(0)
        with whoholds.watch():
            connection = opened()
            await asyncio.sleep(0.03)
            connection.close()
            kept.append(opened())

    async def both() -> None:
        await asyncio.gather(first(), second())

    with said() as texts:
        asyncio.run(both())
    assert len(texts) == 1
    assert "left open 1" in texts[0]
    kept.pop().close()


def test_blocks_of_one_thread_may_end_out_of_order() -> None:
    """The outer first: each has its settings as long as it lasts, and the inner one is judged at its own end."""
    outer, inner = ExitStack(), ExitStack()
    with said() as texts:
        watch = outer.enter_context(whoholds.watch(**SETTINGS, too_many=7))
        assert inner.enter_context(whoholds.watch(too_many=5, held_too_long=3)) is watch
        kept = opened()
        outer.close()
        assert texts == watch.findings == []
        assert watch.limits.too_many == Threshold(5)
        kept.close()
        kept = opened()
        inner.close()
    kept.close()
    assert len(texts) == 1
    assert current_scope() is None


def test_settings_go_with_whoever_has_given_them() -> None:
    """What two uses have set lasts until the later one has ended, and what nobody sets any more is as it was."""
    whoholds.start(**SETTINGS, too_many=9)
    first, second = ExitStack(), ExitStack()
    watch = first.enter_context(whoholds.watch(too_many=7, held_too_long=3))
    second.enter_context(whoholds.watch(too_many=5))
    first.close()
    assert watch.limits.too_many == Threshold(5)
    assert watch.limits.held_too_long != Threshold(3)
    second.close()
    assert watch.limits.too_many == Threshold(9)
    whoholds.stop()


def test_wrong_settings_leave_no_use_behind() -> None:
    """Of a block within a block, and of a start."""
    with whoholds.watch(**SETTINGS):
        with pytest.raises(whoholds.WrongSetting), whoholds.watch(too_many="few"):
            pass
        with pytest.raises(TypeError):
            whoholds.start(nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        whoholds.start(nonsense=1)  # type: ignore[call-arg]


def test_a_block_that_raises_ends_its_use() -> None:
    """Its own exception, and the outer block goes on."""
    with whoholds.watch(**SETTINGS) as watch:
        with pytest.raises(LookupError), whoholds.watch():
            raise LookupError
        assert whoholds.current() is watch


def test_a_suites_watch_outlives_the_stop_of_a_test() -> None:
    """A program under test starts and stops its own."""
    use, _ = startup.hold(**SETTINGS)
    assert whoholds.start() is use.watch
    whoholds.stop()
    assert whoholds.current() is use.watch
    assert startup.let_go(use) == startup.let_go(use) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_that_is_not_there() -> None:
    """The fork comes while another thread of the parent begins a watch."""
    inside, forked = threading.Event(), threading.Event()

    def begins() -> None:
        with turn():
            inside.set()
            forked.wait()

    thread = threading.Thread(target=begins)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        try:
            with whoholds.watch(**SETTINGS):
                os._exit(7)
        finally:
            os._exit(1)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


class Interrupter:
    """Raises KeyboardInterrupt at one line of ours, the so-manyeth that the traced thread comes to."""

    FILES = ("startup.py", "users.py", "assembling.py", "attending.py")

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/whoholds/" not in path or not path.endswith(self.FILES):
            return None
        if event == "line":
            self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


@pytest.mark.once
@pytest.mark.parametrize("begins", ["start", "block"])
def test_an_interrupt_at_any_line_leaves_nothing_behind(begins: str) -> None:
    """After each: a stop and one more block, and every name is given back."""
    tried, every = 0, int(os.environ.get("WHOHOLDS_TEST_EVERY_LINE", "13"))  # all of them take minutes
    while copy_context().run(is_interrupted, begins, tried):
        tried += every
    assert tried > 100


def is_interrupted(begins: str, number: int) -> bool:
    """Interrupt at that line; whether there is one. Afterwards all must be as before."""
    interrupter = Interrupter(number)
    before = sys.gettrace()
    with suppress(KeyboardInterrupt):
        try:
            sys.settrace(interrupter)
            if begins == "start":
                whoholds.start(**SETTINGS)
                whoholds.stop()
            else:
                with whoholds.watch(**SETTINGS):
                    pass
        finally:
            sys.settrace(before)
    whoholds.stop()
    with whoholds.watch(**SETTINGS) as watch:
        opened().close()
        assert watch.failed == [], number
    assert watches() == [], number
    assert sqlite3.connect is BARE, number
    return interrupter.left < 0


def ran(program: str) -> str:
    """What a program of WHOHOLDS=1 writes, which must be nothing on stderr."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WHOHOLDS")}
    start = "import whoholds.autostart\n"  # as the .pth line does where whoholds is installed
    done = subprocess.run(
        [sys.executable, "-c", start + program],
        env={**environ, "WHOHOLDS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_nothing_begins_by_itself_after_a_stop() -> None:
    """WHOHOLDS=1, and the program has stopped its watch before the first library comes; and without a start before."""
    for before in ("whoholds.start(); whoholds.stop()", "whoholds.stop()"):
        assert ran(f"import whoholds; {before}\nimport sqlite3; print(whoholds.current())") == "None\n"


def test_a_library_that_comes_within_a_block_makes_no_second_watch() -> None:
    """WHOHOLDS=1: the block's watch becomes that of the process."""
    program = """
import whoholds
with whoholds.watch() as watch:
    import sqlite3
    sqlite3.connect(":memory:").close()
print(whoholds.current() is watch, len(watch.failed))
"""
    assert ran(program) == "True 0\n"
