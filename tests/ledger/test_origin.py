"""Which frames are kept of a call: of an opening, of a loan."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from whoholds.analysis.blame import kind_of
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import WATCHED, capture, capture_loan

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
