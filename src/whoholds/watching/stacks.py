"""Live stacks: where an owner is now, as an origin. They are read on the tick, for findings that are reported."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from whoholds.analysis.finding import Doing
from whoholds.analysis.waiting import pools_waited_for
from whoholds.ledger import faults
from whoholds.ledger.callers import awaited
from whoholds.ledger.cpython import current_frames, has_gil, may_look_into
from whoholds.ledger.handle import CHECKOUT
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import CodeType, FrameType

    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

DEEPEST = 64  # innermost frames that are read of each stack
FRAMES = 16  # of them, those that a finding shows
HOLDERS = 200  # owners whose stacks are read for one finding
AT_ONCE = 16  # of them, those whose stacks are read as of one instant: more would have gone on before they are read

_owner = attrgetter("owner")
onlookers: set[CodeType] = set()  # functions that show who holds: a thread in one of them is at no line of the program


def stack_of(owner: Owner, frames: Mapping[int, FrameType]) -> Origin:
    """The innermost frames of a thread, or of a suspended task and what it awaits. `frames` are those of all threads.

    Empty if the owner has ended, is a greenlet, shows who holds, or its frames cannot be read.
    """
    if owner.kind == "task":
        task = owner.ref() if owner.ref is not None else None
        if task is None or not may_look_into(task):
            return ()
        try:
            return () if task.done() else awaited(task.get_coro(), DEEPEST)
        except Exception:  # noqa: BLE001 - a task class of the program's own: where it is cannot be seen
            return ()
    if owner.gone() or owner.kind == "greenlet":
        return ()
    origin = capture(frames.get(owner.ident), DEEPEST)
    return origin if onlookers.isdisjoint(origin) else ()


class Stacks:
    """The live stacks that one look has read, each once, by owner."""

    def __init__(self) -> None:
        self.read: dict[Owner, Origin] = {}  # () for an owner that has ended, or whose stack cannot be read
        self.shown: dict[Owner | None, Origin] = {}  # the same, as far as a finding shows them

    def of(self, handles: Iterable[Handle]) -> Doing:
        """Each open handle with the live stack of its owner. Owners that have ended are left out.

        At most `HOLDERS` owners that were not met before in the look are read.
        """
        held = [handle for handle in handles if handle.closed_stamp is None]
        unread = [owner for owner in dict.fromkeys(map(_owner, held)) if owner is not None and owner not in self.read]
        for begin in range(0, min(len(unread), HOLDERS), AT_ONCE):
            self._read(unread[begin : min(begin + AT_ONCE, HOLDERS)])
        return Doing(held, self.shown)

    def _read(self, owners: Iterable[Owner]) -> None:
        """Read the stacks of a few owners."""
        frames = current_frames() if has_gil() else {}
        try:
            for owner in owners:
                self.read[owner] = self.shown[owner] = ()
                try:
                    self.read[owner] = stack = stack_of(owner, frames)
                except Exception as error:  # noqa: BLE001 - the finding is told without it
                    faults.note(error, "whoholds.stacks")
                else:
                    self.shown[owner] = stack[: 2 * FRAMES]
        finally:
            del frames


def with_stacks(snapshot: Snapshot, least: float, stacks: Stacks) -> Snapshot:
    """The snapshot with the live stacks of those for whose loans somebody has waited longer than `least` seconds.

    The stacks are read into `stacks`. A snapshot in which nobody waits so long is returned unchanged.
    """
    pools = pools_waited_for(snapshot.requests, snapshot.now, least)
    if not pools:
        return snapshot
    stacks.of([handle for handle in snapshot.open if handle.pool in pools and handle.kind == CHECKOUT])
    return replace(snapshot, stacks=dict(stacks.read), sees_threads=has_gil())
