"""Every function of a look and of the outputs raises in turn: it stays ours, is said, and the next look looks again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.worlds import CARS, REPORT, SHOP, USERS, Program, task, thread
from whoholds.analysis.snapshot import Ending
from whoholds.ledger.scope import Scope
from whoholds.outputs.journal import JournalOutput
from whoholds.outputs.log import LogOutput
from whoholds.outputs.warn import warn
from whoholds.settings.limits import Limits
from whoholds.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import CodeType, FrameType

pytestmark = pytest.mark.once

assert VERSION  # imported here, as a running program has: what is imported in a look is not what is tried
OURS = "/whoholds/"
NOT_TRIED = (
    "tests",
    "watching/watch.py:tick",  # the guard itself,
    "watching/watch.py:stand_aside",  # what it says by,
    "watching/aside.py",
    "text/streams.py",
    "ledger/faults.py",
    "watching/watch.py:stop",  # and what a program calls by itself
    "watching/watch.py:end",
    "watching/watch.py:__init__",
)


class SlipError(Exception):
    """A fault of ours."""


def place(code: CodeType) -> str:
    """Give `detectors/left.py:left_open`."""
    return f"{code.co_filename.replace(chr(92), '/').rpartition(OURS)[2]}:{code.co_name}"


def is_tried(code: CodeType) -> bool:
    """Say whether it is a function of ours that a look may enter."""
    name = place(code)
    return "/src/whoholds/" in code.co_filename.replace("\\", "/") and not name.startswith(NOT_TRIED)


class Life:
    """A program that meets most of the rules, looked at three times: a full look, a leak's, the last."""

    def __init__(self, folder: Path, during: Callable[[], Any]) -> None:
        self.path = folder / "journal.jsonl"
        journal = JournalOutput(Limits().with_settings(journal=str(self.path)))
        self.program = program = Program(LogOutput(Limits(), logging=False), journal, warn, **LIMITS)
        program.watch.fallback = lambda: LogOutput(Limits(), logging=False)
        scope = Scope("GET /cars", "request")
        owners = [thread(f"Thread-{number}", REPORT) for number in range(3)] + [task("Task-1"), task("Task-2")]
        handles = [program.opens(CARS, by=owner, scope=scope) for owner in owners]
        program.opens(USERS, by=owners[0], in_transaction=True, ring=[("select 1", 0.0, 0.1)])
        program.looks()
        program.clock.advance(20)
        program.ledger.refused(OSError("too many clients"), SHOP, None)
        program.ledger.scope_over(scope)
        program.ledger.closed(handles[0])
        program.ledger.closed(handles[1], "collected")
        program.clock.advance(1)
        self.raised: list[str] = []
        for prepare, look in ((_nothing, program.watch.tick), (self._leaks, program.watch.tick), (_nothing, self._end)):
            prepare()
            before = sys.gettrace(), sys.getprofile()
            during()
            try:
                look()
            except SlipError as slip:
                self.raised.append(str(slip))
            finally:
                sys.settrace(before[0])
                sys.setprofile(before[1])

    def _leaks(self) -> None:
        self.program.ledger.closed(self.program.opens("/srv/shop/late.py:3 late"), "collected")
        self.program.clock.advance(1)

    def _end(self) -> None:
        self.program.watch.end(Ending("process"))

    def journal(self) -> str:
        """Give what it has written."""
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""


def _nothing() -> None:
    return None


LIMITS = {"exit_collect": False, "too_many": 4, "held_too_long": 5, "idle_in_transaction": 2, "owner_gone": 1}


def functions_of_a_look(folder: Path) -> dict[CodeType, set[int]]:
    """Give each function of ours that runs in one of the looks, with the numbers of those looks."""
    entered: dict[CodeType, set[int]] = {}
    looks: list[None] = []

    def profile(frame: FrameType, event: str, arg: object) -> None:
        del arg
        if event == "call" and is_tried(frame.f_code):
            entered.setdefault(frame.f_code, set()).add(len(looks))

    def during() -> None:
        looks.append(None)
        sys.setprofile(profile)

    Life(folder, during)
    return entered


def raising_in(wanted: CodeType, at_look: int, did: list[CodeType]) -> Callable[[], None]:
    """Give what lets the function raise at its first call in that look; `did` then has it."""
    looks: list[None] = []

    def trace(frame: FrameType, event: str, arg: object) -> None:
        del arg
        if frame.f_code is wanted and event == "call":
            sys.settrace(None)
            did.append(wanted)
            del frame  # a signal's handler is known by the frame that it was given
            raise SlipError(place(wanted))

    def during() -> None:
        looks.append(None)
        if len(looks) == at_look:
            sys.settrace(trace)

    return during


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::whoholds.HeldConnectionWarning")
def test_whatever_raises_in_a_look_stays_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It reaches nobody; it is said; the looks after it find and report; the end is told."""
    if sys.gettrace() is not None:
        pytest.skip("something else traces here: coverage, a debugger")
    folder = tmp_path / "whole"
    folder.mkdir()
    functions = functions_of_a_look(folder)
    assert len(functions) > 150
    reached, unsaid, blind, tried = [], [], [], 0
    capsys.readouterr()
    for number, (code, looks) in enumerate(functions.items()):
        for look in sorted({min(looks), max(looks)}):
            folder = tmp_path / f"{number}-{look}"
            folder.mkdir()
            did: list[CodeType] = []
            life = Life(folder, raising_in(code, look, did))
            tried += len(did)
            said = capsys.readouterr().err + life.journal()
            name = f"{place(code)} at look {look}"
            reached += [f"{name}: {one}" for one in life.raised]
            if did and not life.program.watch.failed:
                unsaid.append(name)
            blind += [name] * (look != 2 and "/late.py:3 in late" not in said)
            blind += [name] * (look != 3 and " at exit" not in said)
    assert tried > 200  # what is remembered, as the shape of a statement, is not asked for again
    assert reached == []
    assert blind == []
    assert unsaid == []
