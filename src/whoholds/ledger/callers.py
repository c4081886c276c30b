"""Who is inside a call: the name and the stack of a thread or of a suspended task, found by what `Handle.caller` keeps.

Asked in the user's thread, once for a handle, when a second caller has come in. It calls asyncio's own registry of
tasks and nothing else that is not C: no lock, no import, and no frame is kept.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from whoholds.ledger.cpython import (
    current_frames,
    has_gil,
    may_look_into,
    name_of_task,
    name_of_thread,
    thread_of,
)
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from whoholds.ledger.origin import Origin

_AWAITED = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def caller_of(ident: int, most: int) -> tuple[str, Origin]:
    """Name and innermost `most` frames of a thread by its ident, or of a task of this loop by its id.

    ("", ()) where it has ended, or is a greenlet.
    """
    task = _task(ident)
    if task is not None:
        return name_of_task(task), stack_of_task(task, most)
    thread = thread_of(ident)
    frame = current_frames().get(ident) if has_gil() else None
    try:
        return (name_of_thread(thread) if thread is not None else ""), capture(frame, most)
    finally:
        del frame


def _task(ident: int) -> Any:
    asyncio = sys.modules.get("asyncio.tasks")
    try:
        return next((task for task in asyncio.all_tasks() if id(task) == ident), None) if asyncio else None
    except RuntimeError:  # no loop runs here
        return None


def stack_of_task(task: Any, most: int) -> Origin:
    """The frames of a suspended task and of what it awaits, at most `most` of them, innermost first.

    () where they may not be read: see `may_look_into`.
    """
    return awaited(task.get_coro(), most) if may_look_into(task) else ()


def awaited(coroutine: Any, most: int) -> Origin:
    """The frames of a suspended coroutine and of what it awaits, as `stack_of_task` has them."""
    frames: list[tuple[Any, int]] = []
    while coroutine is not None:
        for frame_name, next_name in _AWAITED:
            frame = getattr(coroutine, frame_name, None)
            if frame is not None:
                frames.append((frame.f_code, frame.f_lasti))
                coroutine = getattr(coroutine, next_name, None)
                break
        else:
            break
    pairs: list[Any] = []
    for pair in reversed(frames[-most:]):
        pairs += pair
    return tuple(pairs)
