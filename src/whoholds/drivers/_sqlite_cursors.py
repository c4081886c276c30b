"""Which cursors of a sqlite3 connection have rows to read, and which line made them.

It is seen in Python's object graph; SQLite is not asked.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any
from weakref import ref

from whoholds.ledger.cpython import attribute
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin

_KEEPS_NO_CURSORS = sys.version_info >= (3, 15)  # a connection has no list of its cursors any more
_SWEPT_AT = 200  # cursors of a connection, with those that were freed: sqlite3 itself swept its list as often
_NOTED = 2  # frames kept of the call that makes a cursor


def probe_of_cursors() -> Callable[[Handle], list[Origin]]:
    """What a connection's handle is asked with on the tick: see `unread`."""
    return _Cursors() if _KEEPS_NO_CURSORS else unread


def note_line(cursor: Any, frame: FrameType) -> None:
    """Store on a cursor of ours the line that made it: 0.2 µs, none of it in `execute`."""
    try:
        cursor._whoholds_at = capture(frame, _NOTED)
        if _KEEPS_NO_CURSORS:
            connection = sys.modules["_sqlite3"].Cursor.connection.__get__(cursor)
            attribute(connection, "_whoholds").probe.add(cursor)
    except AttributeError:  # made by a factory that is no class; or the connection has no handle
        pass


class _Cursors:
    """The cursors of one connection, held weakly. A call with its handle answers like `unread`."""

    __slots__ = ("_made", "_room")

    def __init__(self) -> None:
        self._made: list[ref[Any]] = []
        self._room = _SWEPT_AT

    def add(self, cursor: Any) -> None:
        """Note a new cursor, and forget those that were freed once there are many. Called in the user's thread."""
        made = self._made
        made.append(ref(cursor))
        if len(made) > self._room:
            self._made = made = [weak for weak in made if weak() is not None]
            self._room = max(2 * len(made), _SWEPT_AT)

    def __call__(self, handle: Handle) -> list[Origin]:
        """Called on the tick."""
        del handle
        return _made_at(list(self._made))


def unread(handle: Handle) -> list[Origin]:
    """For each cursor with a statement not read to its end, the origin of the cursor's making, () if unknown.

    Called on the tick.

    Up to 3.14 a connection refers to a list of weak references to its cursors (on 3.10 to a list of its statements,
    too), and a cursor refers to its statement until the last row is read. Following these references calls nothing of
    SQLite's.
    """
    reference = handle.ref
    if reference is None:
        return []
    lists = [part for part in gc.get_referents(reference()) if type(part) is list]
    return [origin for weaks in lists for origin in _made_at(weaks)]


def _made_at(weaks: Iterable[Any]) -> list[Origin]:
    """The origins of those cursors, among what these weak references lead to, that are not read to their ends."""
    plain = sys.modules["_sqlite3"].Cursor
    cursors = [weak() if callable(weak) else None for weak in weaks]
    return [
        getattr(cursor, "_whoholds_at", ())
        for cursor in cursors
        if issubclass(type(cursor), plain) and _has_statement(cursor, plain)
    ]


def _has_statement(cursor: Any, plain: Any) -> bool:
    """Whether rows may still come. After `executemany` a cursor keeps its finished statement but describes no rows."""
    described = plain.description.__get__(cursor)
    return described is not None and any(type(one).__name__ == "Statement" for one in gc.get_referents(cursor))
