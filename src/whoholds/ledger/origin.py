"""Where a call came from, as code objects and offsets: what the user's thread pays for, and no more.

It keeps no frame, for a frame holds its locals and with them the user's connections. `lines` makes it readable.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import TypeAlias

    # Flat, innermost frame first: code, offset, code, offset, … An offset is `f_lasti`, or a line number
    # as its negative where a library remembered the line and not the frame. Pairs would be one more
    # object for every frame of every open handle.
    Origin: TypeAlias = tuple[CodeType | int, ...]


def capture(frame: FrameType | None, limit: int) -> Origin:
    """At most `limit` frames from `frame` outwards. Called in the user's thread: about 70 ns a frame."""
    pairs: list[CodeType | int] = []
    add = pairs.append
    while frame is not None and limit:
        add(frame.f_code)
        add(frame.f_lasti)
        frame = frame.f_back
        limit -= 1
    return tuple(pairs)


def capture_until(frame: FrameType | None, limit: int, end: CodeType) -> Origin:
    """The same, but no further than the frame of `end`, the event loop's: what stands below asked for nothing."""
    pairs: list[CodeType | int] = []
    add = pairs.append
    while frame is not None and limit:
        code = frame.f_code
        if code is end:
            break
        add(code)
        add(frame.f_lasti)
        frame = frame.f_back
        limit -= 1
    return tuple(pairs)


def line_at(code: CodeType, offset: int) -> int:
    """The line, from 1, at which `code` stood at `offset` (a negative one is the line itself)."""
    if offset < 0:
        return -offset
    found = code.co_firstlineno
    for start, end, line in code.co_lines():
        if start <= offset < end:
            return found if line is None else line
        if line is not None:
            found = line
    return found


def from_lines(lines: list[tuple[str, int, str]]) -> Origin:
    """An origin made of (file, line, function), innermost first: for what another process or a file remembered."""
    blank = from_lines.__code__
    pairs: list[CodeType | int] = []
    for file, line, function in lines:
        pairs += (blank.replace(co_filename=file, co_name=function), -line)
    return tuple(pairs)
