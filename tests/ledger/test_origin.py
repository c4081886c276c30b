"""Which frames are kept of a call: of an opening, of a loan."""

from __future__ import annotations

import sys
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from whoholds.analysis.blame import kind_of
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import WATCHED, capture, capture_loan, capture_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.ledger.origin import Origin

OF_A_POOL = "<sqlalchemy generated pool>"  # a watched library's file, as if it had one
OF_A_LIBRARY = "/usr/lib/python3/site-packages/framework/routing.py"


def deep(count: int, call: Callable[[], Origin]) -> Origin:
    """`call`, so many frames of this file deeper."""
    return deep(count - 1, call) if count else call()


def through(file: str, count: int, call: Callable[[], Origin]) -> Origin:
    """`call`, through so many frames of `file`."""
    names: dict[str, Callable[[int, Callable[[], Origin]], Origin]] = {}
    source = "def step(left, call):\n    return step(left - 1, call) if left > 1 else call()"
    exec(compile(source, file, "exec"), names)
    return names["step"](count, call)


def files(origin: Origin) -> list[str]:
    return [code.co_filename for code in origin[::2]]  # type: ignore[union-attr]  # code objects at even places


@pytest.mark.parametrize("limit", [1, 5, 7, 8, 9, 12, 16, 31, 32, 500])
@pytest.mark.parametrize("depth", [0, 1, 7, 40])
def test_as_many_frames_as_there_are_up_to_the_limit(limit: int, depth: int) -> None:
    """Each with its code and its offset, innermost first."""
    expected: list[object] = []

    def walk() -> Origin:
        frame = sys._getframe(1)
        while frame is not None and len(expected) < 2 * limit:
            expected.extend((frame.f_code, frame.f_lasti))
            frame = frame.f_back  # type: ignore[assignment]
        return capture(sys._getframe(1), limit)

    assert list(deep(depth, walk)) == expected


@pytest.mark.parametrize("limit", [1, 3, 4, 8, 12, 32])
@pytest.mark.parametrize("depth", range(14))
def test_no_further_than_the_frame_it_ends_with(limit: int, depth: int) -> None:
    """Whether the stack ends there or goes on, and wherever in a turn of several frames that is."""

    def loop() -> Origin:
        return deep(depth, walk)

    def walk() -> Origin:
        frame, expected = sys._getframe(1), []
        while frame.f_code is not loop.__code__ and len(expected) < 2 * limit:
            expected += [frame.f_code, frame.f_lasti]
            frame = frame.f_back  # type: ignore[assignment]
        assert list(capture_until(sys._getframe(1), limit, loop.__code__)) == expected
        return capture(sys._getframe(1), limit)

    found = loop()
    assert found
    assert capture_until(None, limit, loop.__code__) == ()
    top = sys._getframe()
    assert len(capture_until(top, 500, loop.__code__)) == len(capture(top, 500))


@pytest.mark.parametrize("depth", range(14))
def test_a_stack_that_ends_anywhere_in_a_turn(depth: int) -> None:
    """A thread's stack is short: it ends before the limit, after any number of frames."""
    found: list[tuple[Origin, Origin, list[object]]] = []

    def walk() -> Origin:
        frame, expected = sys._getframe(1), []
        while frame is not None:
            expected += [frame.f_code, frame.f_lasti]
            frame = frame.f_back  # type: ignore[assignment]
        frame = sys._getframe(1)
        found.append((capture(frame, 32), capture_until(frame, 32, files.__code__), expected))
        return ()

    thread = Thread(target=deep, args=(depth, walk))
    thread.start()
    thread.join()
    [(whole, until, expected)] = found
    assert list(whole) == list(until) == expected


def test_of_a_loan_the_pools_own_frames_do_not_count() -> None:
    """Twelve beyond those, also where a pool's library goes deep."""
    from whoholds.analysis.blame import never_blame

    never_blame("sqlalchemy")
    assert kind_of(OF_A_POOL) == WATCHED
    found = files(deep(30, lambda: through(OF_A_POOL, 20, lambda: capture_loan(sys._getframe(1), 12))))
    assert found == [OF_A_POOL] * 20 + [__file__] * 12


def test_of_a_loan_the_programs_own_line_is_kept_behind_any_number_of_libraries() -> None:
    """With its callers, as of an opening."""
    found = files(deep(30, lambda: through(OF_A_LIBRARY, 40, lambda: capture_loan(sys._getframe(1), 12))))
    assert found == [OF_A_LIBRARY] * 12 + [__file__] * 8


@pytest.mark.parametrize(("frames", "of_a_loan"), [(5, 5), (12, 12), (32, 12), (64, 24)])
def test_more_frames_of_openings_are_more_of_loans(frames: int, of_a_loan: int) -> None:
    """Three eighths as many, and twelve at least where there are so many."""
    ledger = Ledger(frames=frames)
    assert len(deep(100, lambda: ledger.asks(None, sys._getframe(1)).origin)) == 2 * of_a_loan
