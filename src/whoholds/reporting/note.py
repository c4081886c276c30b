"""The note on the exception of a refusal or a lockout: one line that is composed in the user's thread.

It must not contain numbers, hosts or user names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.blame import user_index
from whoholds.analysis.frames import shown_path
from whoholds.ledger.handle import CHECKOUT, CONNECTION
from whoholds.ledger.lockout import READING, SNAPSHOT
from whoholds.ledger.origin import function_at, line_at

if TYPE_CHECKING:
    from whoholds.ledger.entries import Refusal
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.lockout import Lockout
    from whoholds.ledger.origin import Origin


def of_refusal(refusal: Refusal, exc: BaseException) -> None:
    """Add a note to `exc` with the line that opened most of the held handles, and the line that spawned their owners.

    The refused call's thread runs this. Nothing is added if nothing is held, or on Python 3.10.
    """
    if hasattr(exc, "add_note"):
        refusal.note = refusal.note or _composed(refusal)
        _add(refusal.note, exc)


def of_lockout(lockout: Lockout, exc: BaseException) -> None:
    """Add a note to `exc` with the line that opened the connection whose transaction was in the way.

    The thread of the statement that failed runs this. Nothing is added on Python 3.10.
    """
    if hasattr(exc, "add_note"):
        lockout.note = lockout.note or _composed_of_lockout(lockout)
        _add(lockout.note, exc)


def _add(note: str, exc: BaseException) -> None:
    if note and note not in getattr(exc, "__notes__", ()):
        exc.add_note(note)  # type: ignore[attr-defined]  # since 3.11


def _composed_of_lockout(lockout: Lockout) -> str:
    known = [holding for holding in lockout.holdings if holding.handle.origin or holding.handle.referrer is not None]
    if known:
        handle = known[0].handle
        what = "rows were still to read" if known[0].state == READING else "a transaction was open"
        opened = _opened(handle) if handle.origin else "opened before whoholds came"
        return f"whoholds: {what} on {'the' if handle.origin else 'a'} connection {opened}"
    if lockout.kind == SNAPSHOT or lockout.holdings:
        return ""
    if lockout.by_another_process:
        return "whoholds: another process holds the lock"
    if lockout.by_this_process:
        return "whoholds: a connection of this process that is not watched holds the lock"
    if lockout.elsewhere is not None:  # the lock was gone a moment later
        return ""
    return "whoholds: a connection that is not watched holds the lock: of another process, or of this one"


def _composed(refusal: Refusal) -> str:
    groups: dict[tuple[int, object, int, object], list[Handle]] = {}
    for handle in refusal.open:
        if handle.origin and _is_meant(handle, refusal):
            spawn = handle.owner.spawn if handle.owner else None
            key = (*_key(handle.origin), *(_key(spawn.origin) if spawn and spawn.origin else (0, 0)))
            groups.setdefault(key, []).append(handle)
    if not groups:
        return ""
    largest = max(groups.values(), key=len)[0]
    return f"whoholds: most of what this process holds was {_opened(largest)}"


def _opened(handle: Handle) -> str:
    spawn = handle.owner.spawn if handle.owner else None
    text = f"opened at {_place(handle.origin)}"
    return f"{text}, spawned at {_place(spawn.origin)}" if spawn and spawn.origin else text


def _is_meant(handle: Handle, refusal: Refusal) -> bool:
    """True if the handle takes a place that ran out: a loan of the pool, or, if a server refused, a connection."""
    pool = refusal.by_pool
    return handle.kind == CONNECTION if pool is None else handle.kind == CHECKOUT and handle.pool is pool


def _key(origin: Origin) -> tuple[int, object]:
    index = user_index(origin)
    return id(origin[index]), origin[index + 1]


def _place(origin: Origin) -> str:
    index = user_index(origin)
    code, offset = origin[index], origin[index + 1]
    line = line_at(code, offset)  # type: ignore[arg-type]  # a code object and its offset, in turn
    return f"{shown_path(code.co_filename)}:{line} in {function_at(origin, index)}"  # type: ignore[union-attr]
