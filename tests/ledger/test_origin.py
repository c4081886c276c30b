"""Which frames are kept of a call: of an opening, of a loan."""

from __future__ import annotations

import sys
import types
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from whoholds.analysis.blame import kind_of, never_blame, user_index
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import (
    WATCHED,
    capture,
    capture_handing,
    capture_loan,
    capture_own,
    capture_until,
    nearest_own,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

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


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of a watched library."""
    never_blame("sqlalchemy")
    module = types.ModuleType("sqlalchemy.made_up")
    module.__file__ = "/usr/lib/python3/site-packages/sqlalchemy/made_up.py"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def compiled(source: str, names: dict[str, object], file: str = "<string>") -> Callable[..., Origin]:
    """The function `step` of a text: each has code of its own, as what is known is known by code."""
    exec(compile(source, file, "exec"), names)
    return names["step"]  # type: ignore[return-value]


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


POOL = "def step(left, call):\n    return step(left - 1, call) if left > 1 else call(_getframe())"
CAPTURES: dict[str, Callable[[FrameType], Origin]] = {
    "loan": lambda frame: capture_loan(frame, 12),
    "own": lambda frame: capture_own(frame, 12),
    "handing": lambda frame: capture_handing(frame, 12, compiled.__code__),
}


def named_by(origin: Origin) -> str:
    """The function of the line to name."""
    return origin[user_index(origin)].co_name  # type: ignore[union-attr]


def of_the_pool(count: int) -> Callable[..., Origin]:
    """A function of the watched library, which goes so many frames deep and then captures."""
    step = compiled(POOL, {"_getframe": sys._getframe}, OF_A_POOL)
    names: dict[str, object] = {"inner": step, "count": count}
    return compiled("def step(call):\n    return inner(count, call)", names, OF_A_POOL)


@pytest.mark.parametrize("file", ["<string>", "<unknown>", "<made-up 7>"])
@pytest.mark.parametrize("outside", [1, 20, 40])
@pytest.mark.parametrize("inside", [1, 5, 20])
@pytest.mark.parametrize("kind", CAPTURES)
def test_a_wrapper_that_a_library_compiled_is_the_librarys(
    kind: str, inside: int, outside: int, file: str, library: str
) -> None:
    """As SQLAlchemy's `<string>`: the program's own line is further out, however far."""
    wrapper = compiled(
        "def step(call):\n    return inner(call)", {"__name__": library, "inner": of_the_pool(inside)}, file
    )
    out = compiled(
        "def step(left, call):\n    return step(left - 1, call) if left > 1 else inner(call)",
        {"inner": wrapper},
        OF_A_POOL,
    )

    def programs() -> Origin:
        return out(outside, CAPTURES[kind])

    assert named_by(deep(40, programs)) == "programs"


@pytest.mark.parametrize("names", [{}, {"__name__": __name__}], ids=["bare", "named"])
@pytest.mark.parametrize("file", ["<string>", "<stdin>", "<ipython-input-3-a>", "<doctest shop[0]>", "<rules>"])
@pytest.mark.parametrize("inside", [1, 20])
@pytest.mark.parametrize("kind", CAPTURES)
def test_text_of_the_program_stays_the_programs(kind: str, inside: int, file: str, names: dict[str, object]) -> None:
    """`exec`, a prompt, a cell, a doctest: the innermost line is there."""
    never_blame("sqlalchemy")
    text = compiled(
        "def text(call):\n    return inner(call)\nstep = text", {**names, "inner": of_the_pool(inside)}, file
    )
    assert named_by(deep(40, lambda: text(CAPTURES[kind]))) == "text"


@pytest.mark.parametrize("file", ["<decorator-gen-3>", "<makefun-gen-0>", "<template>", "<boltons.funcutils.F-1>"])
def test_generated_code_that_only_carries_a_call(file: str) -> None:
    """The wrapper has the program's globals, and yet a name that tells nobody anything."""
    never_blame("sqlalchemy")
    wrapper = compiled("def step(call):\n    return inner(call)", {"__name__": __name__, "inner": of_the_pool(1)}, file)

    def programs() -> Origin:
        return wrapper(CAPTURES["loan"])

    assert named_by(programs()) == "programs"


def test_text_that_runs_in_a_librarys_module_is_the_programs(library: str) -> None:
    """`manage.py shell -c` runs it in the globals of a module of Django's."""
    names = vars(sys.modules[library])
    names["inner"] = of_the_pool(1)
    text = compiled("def text(call):\n    return inner(call)\nstep = text", names)
    assert named_by(text(CAPTURES["loan"])) == "text"


def test_a_session_made_through_a_wrapper_names_the_program(library: str) -> None:
    """`nearest_own` passes what a library compiled."""
    wrapper = compiled(
        "def step(call):\n    return call(_getframe())", {"__name__": library, "_getframe": sys._getframe}
    )

    def make() -> Origin:
        return wrapper(nearest_own)

    assert named_by(make()) == "make"


class Lazy(types.ModuleType):
    """A module whose attributes nobody may ask for."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(name)


def test_no_module_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lazy one would be imported by that."""
    monkeypatch.setitem(sys.modules, "lazy_made_up", Lazy("lazy_made_up"))
    names = {"__name__": "lazy_made_up", "inner": of_the_pool(1)}
    text = compiled("def text(call):\n    return inner(call)\nstep = text", names)
    assert named_by(text(CAPTURES["loan"])) == "text"
