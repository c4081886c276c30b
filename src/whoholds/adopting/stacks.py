"""The local variables on the stacks of all threads, which the garbage collector does not know since Python 3.11."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.analysis.blame import code_of, kind_of
from whoholds.ledger.cpython import current_frames, has_gil

if TYPE_CHECKING:
    from types import FrameType

_OPTIMIZED = 1  # CO_OPTIMIZED: a function, whose variables are not in a dict
_A_COPY = sys.version_info < (3, 13)  # until 3.12 `f_locals` is a dict that the frame keeps
_MOST_FRAMES = 200  # of one thread


class Local(NamedTuple):
    """A variable on a thread's stack: its name, where the thread is in that function, and the thread's ident."""

    name: str
    file: str
    line: int
    function: str
    ident: int


def locals_of_threads() -> dict[int, Local]:
    """By id of its value: the variable of a function that is running in any thread.

    The innermost frame of the program's own counts, and a library's only without one.

    Empty without the GIL, where another thread's stack may not be looked at.
    """
    if not has_gil():
        return {}
    found: dict[int, Local] = {}
    frames = current_frames()
    for ident in list(frames):
        frame: FrameType | None = frames.pop(ident)  # one of them is this function's own: no cycle may be left
        for _ in range(_MOST_FRAMES):
            if frame is None:
                break
            if not is_ours(frame):
                code = code_of(frame)
                for value, name in names_in(frame).items():
                    known = found.get(value)
                    if known is None or (kind_of(known.file) and not kind_of(code.co_filename)):
                        found[value] = Local(name, code.co_filename, frame.f_lineno, code.co_name, ident)
            frame = frame.f_back
    return found


def is_ours(frame: FrameType) -> bool:
    """Whether the frame is one of whoholds' own."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "whoholds"


def names_in(frame: FrameType) -> dict[int, str]:
    """The names of the variables of a function's frame, by id of the value; nothing of it is kept.

    Until 3.12 the frame would keep a copy of its variables, which is emptied here. A function that calls `locals()`
    may have that very copy in its hands: its variables are left alone.
    """
    code = frame.f_code
    if not code.co_flags & _OPTIMIZED or (_A_COPY and "locals" in code.co_names):
        return {}
    names: Any = frame.f_locals
    found: dict[int, str] = {}
    for name, value in names.items():
        found.setdefault(id(value), name)
    if _A_COPY:
        names.clear()
    return found
