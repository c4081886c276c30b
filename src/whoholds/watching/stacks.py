"""Live stacks: where an owner is now, as an origin. They are read on the tick, for findings that are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.ledger import faults
from whoholds.ledger.cpython import current_frames, has_gil
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

FRAMES = 16  # innermost frames that are read of each stack
HOLDERS = 200  # owners whose stacks are read for one finding


def stack_of(owner: Owner) -> Origin:
    """The innermost frames of a thread or of a suspended task.

    Empty if the owner has ended, is a greenlet, or its frames cannot be read.
    """
    if owner.kind == "task":
        task = owner.ref() if owner.ref is not None else None
        try:
            stack = task.get_stack(limit=FRAMES) if task is not None and not task.done() else []
        except Exception:  # noqa: BLE001 - a task class of the program's own: where it is cannot be seen
            return ()
        pairs: list[object] = []
        for frame in reversed(stack):
            pairs += (frame.f_code, frame.f_lasti)
        return tuple(pairs)  # type: ignore[arg-type]  # codes and offsets in turn
    if owner.gone() or owner.kind == "greenlet":
        return ()
    frame = current_frames().get(owner.ident) if has_gil() else None
    try:
        return capture(frame, FRAMES)
    finally:
        del frame


def stacks_of(handles: Iterable[Handle], by_owner: dict[Owner, Origin]) -> dict[Handle, Origin]:
    """The live stack of the owner of each open handle. Owners that have ended are left out.

    `by_owner` has the stacks that were read for other findings of the same look; at most `HOLDERS` more are read and
    added to it.
    """
    stacks: dict[Handle, Origin] = {}
    read = 0
    for handle in handles:
        owner = handle.owner
        if owner is None or not handle.open:
            continue
        if owner not in by_owner:
            if read == HOLDERS:
                break
            read += 1
            by_owner[owner] = ()
            try:
                by_owner[owner] = stack_of(owner)
            except Exception as error:  # noqa: BLE001 - the finding is told without it
                faults.note(error, "whoholds.stacks")
        if by_owner[owner]:
            stacks[handle] = by_owner[owner]
    return stacks
