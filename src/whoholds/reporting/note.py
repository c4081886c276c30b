"""The note on the exception of a refusal: one line that is composed in the user's thread.

It must not contain numbers, hosts or user names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.blame import user_index
from whoholds.analysis.frames import shown_path
from whoholds.ledger.handle import CHECKOUT, CONNECTION
from whoholds.ledger.origin import function_at, line_at

if TYPE_CHECKING:
    from whoholds.ledger.entries import Refusal
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin


def note(refusal: Refusal, exc: BaseException) -> None:
    """Add a note to `exc` with the line that opened most of the held handles, and the line that spawned their owners.

    The refused call's thread runs this. Nothing is added if nothing is held, or on Python 3.10.
    """
    if not hasattr(exc, "add_note"):
        return
    if not refusal.note:
        refusal.note = _composed(refusal)
    if refusal.note and refusal.note not in getattr(exc, "__notes__", ()):
        exc.add_note(refusal.note)


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
    spawn = largest.owner.spawn if largest.owner else None
    text = f"whoholds: most of what this process holds was opened at {_place(largest.origin)}"
    if spawn and spawn.origin:
        text += f", spawned at {_place(spawn.origin)}"
    return text


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
