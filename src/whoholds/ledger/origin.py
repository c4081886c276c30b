"""Where a call came from, as code objects and offsets: what the user's thread pays for, and no more.

It keeps no frame, for a frame holds its locals and with them the user's connections. `lines` makes it readable.
"""

from __future__ import annotations

from _operator import is_  # operator is one more file at interpreter start

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import TypeAlias

    # Flat, innermost frame first: code, offset, code, offset, … An offset is `f_lasti`, or a line number
    # as its negative where a library remembered the line and not the frame. Pairs would be one more
    # object for every frame of every open handle.
    Origin: TypeAlias = tuple[CodeType | int, ...]


_DEEPEST = 200  # frames walked beyond those kept, for one of the program's own
_NEAR = 32  # frames walked for one that stands near
_CALLERS = 8  # frames kept from there on
_MANY = 1000
_latest: dict[int, Origin] = {}  # by id of the innermost code, which its origin keeps; each change one C call
_lines: dict[int, tuple[CodeType, dict[int, int]]] = {}  # by id of the code, which it keeps: offset → line
_ANONYMOUS = frozenset(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"))


def _unknown(file: str) -> int:
    del file
    return 0


def _as_it_is(frame: FrameType, inner: Origin) -> tuple[CodeType, int]:
    del inner
    return frame.f_code, 0


def _by_file(origin: Origin, index: int) -> int:
    return kind_of(origin[index].co_filename)  # type: ignore[union-attr]  # code objects at even places


LIBRARY = 1  # what `kind_of` gives for a library's file
WATCHED = 2  # and for one of a library that drivers watch, of the standard library or of ours
COMPILED = 3  # and for `<string>` and its like: the name does not tell whose it is, `compiled_by` does
kinds: dict[str, int] = {}  # file → what `kind_of` has given; each change one C call
# `analysis.blame` puts its answers here: 0 stands for the program's own
kind_of: Callable[[str], int] = _unknown
kind_at: Callable[[Origin, int], int] = _by_file  # of a frame of an origin; never COMPILED
compiled_by: Callable[[FrameType, Origin], tuple[CodeType, int]] = _as_it_is  # of a frame, and what stands inside it


def capture(frame: FrameType | None, limit: int) -> Origin:  # noqa: C901 - written out, because each step counts
    """At most `limit` frames from `frame` outwards. Called in the user's thread: 75 to 105 ns a frame."""
    pairs: list[CodeType | int] = []
    while frame is not None and limit > 7:  # noqa: PLR2004 - eight frames a turn: two thirds of the time
        second = frame.f_back
        if second is None:
            break
        third = second.f_back
        if third is None:
            break
        fourth = third.f_back
        if fourth is None:
            break
        fifth = fourth.f_back
        if fifth is None:
            break
        sixth = fifth.f_back
        if sixth is None:
            break
        seventh = sixth.f_back
        if seventh is None:
            break
        eighth = seventh.f_back
        if eighth is None:
            break
        eight = (
            frame.f_code,
            frame.f_lasti,
            second.f_code,
            second.f_lasti,
            third.f_code,
            third.f_lasti,
            fourth.f_code,
            fourth.f_lasti,
            fifth.f_code,
            fifth.f_lasti,
            sixth.f_code,
            sixth.f_lasti,
            seventh.f_code,
            seventh.f_lasti,
            eighth.f_code,
            eighth.f_lasti,
        )
        if limit == 8 and not pairs:  # noqa: PLR2004 - those are all: of a call that spawns
            return eight
        pairs += eight
        frame = eighth.f_back
        limit -= 8
    while frame is not None and limit:
        pairs.append(frame.f_code)
        pairs.append(frame.f_lasti)
        frame = frame.f_back
        limit -= 1
    return tuple(pairs)


def identity(origin: Origin) -> tuple[object, ...]:
    """The same as a key, which serves as long as the origin lives: ids of the code objects, and the offsets."""
    return (*map(id, origin[::2]), *origin[1::2])


def shared(origin: Origin) -> Origin:
    """The tuple of the handle that this function opened before, if it has the same stack; else `origin` itself.

    So the handles of a loop share one tuple. Called in the user's thread, and only while so many handles are open that
    memory counts: 1 µs. A look does the same for all.
    """
    innermost = id(origin[0]) if origin else 0
    latest = _latest.get(innermost, ())
    # code objects of two files with the same text are equal, and yet two places
    if latest == origin and all(map(is_, latest[::2], origin[::2])):
        return latest
    if len(_latest) >= _MANY:
        _latest.clear()
    _latest[innermost] = origin
    return origin


def capture_loan(frame: FrameType | None, limit: int) -> Origin:
    """The frames of the pool's library, and at most `limit` beyond: those that led to the loan.

    Where none of them is the program's own, the nearest further out that is, with its callers, as for `capture_own`.
    """
    inner: Origin = ()
    steps = _DEEPEST
    while frame is not None and steps:
        code = frame.f_code
        try:
            kind = kinds[code.co_filename]
        except KeyError:
            kind = kind_of(code.co_filename)
        if kind != WATCHED:
            if kind == COMPILED:  # SQLAlchemy 2.0 compiles wrappers from strings
                code, kind = compiled_by(frame, inner)
            if not kind:
                return inner + capture(frame, limit)
            if kind == LIBRARY:
                if code is frame.f_code:
                    return inner + capture_own(frame, limit)
                return (*inner, code, frame.f_lasti, *capture_own(frame.f_back, limit - 1))
        inner += (code, frame.f_lasti)
        frame = frame.f_back
        steps -= 1
    return inner


def capture_own(frame: FrameType | None, limit: int) -> Origin:
    """The same, and where none of those is the program's own, the nearest further out that is, with its callers.

    Called in the user's thread: nothing more than `capture` for stacks that are not as deep as `limit`.
    """
    origin = capture(frame, limit)
    if len(origin) < 2 * limit:
        return origin
    kind = kind_of
    for code in origin[::2]:
        if not kind(code.co_filename):  # type: ignore[union-attr]  # code objects at even places
            return origin
    return _with_own(origin, frame, limit)


def capture_handing(frame: FrameType | None, limit: int, end: CodeType) -> Origin:
    """The same as `capture_own` of a call that hands something to an event loop; no further than the frame of `end`."""
    origin = capture_until(frame, limit, end)
    kind = kind_of
    if len(origin) < 2 * limit or not all(kind(code.co_filename) for code in origin[::2]):  # type: ignore[union-attr]
        return origin
    return _with_own(origin, frame, limit, end)


def _with_own(origin: Origin, frame: FrameType | None, limit: int, end: CodeType | None = None) -> Origin:
    """`origin`, the `limit` frames from `frame` outwards, with the nearest of the program's own beyond.

    No file of `origin` is the program's. A frame whose name does not tell may be: then nothing is added.
    """
    pairs = list(origin)
    told = COMPILED not in [kind_of(code.co_filename) for code in origin[::2]]  # type: ignore[union-attr]
    for place in range(0, 2 * limit, 2):
        if frame is None:
            break
        if not told and kind_of(frame.f_code.co_filename) == COMPILED:
            pairs[place], kind = compiled_by(frame, tuple(pairs[max(place - 4, 0) : place]))
            if not kind:
                return (*pairs,)
        frame = frame.f_back
    origin = (*pairs,)
    own = nearest_own_frame(frame, end, inner=origin[-4:])
    return origin + capture(own, _CALLERS)


def nearest_own_frame(frame: FrameType | None, end: CodeType | None = None, *, inner: Origin = ()) -> FrameType | None:
    """The innermost frame of the program's own from `frame` outwards; None without one.

    The frame of `end` is not passed; `inner` are the frames inside `frame`, as far as they are known.
    """
    kind, steps = kind_of, _DEEPEST
    last: FrameType | None = None  # the two frames passed last
    before: FrameType | None = None
    while frame is not None and steps:
        of = kind(frame.f_code.co_filename)
        if of == COMPILED:
            _, of = compiled_by(frame, _passed(before, last, inner))
        if not of:
            return frame
        if frame.f_code is end:
            return None
        before, last = last, frame
        frame = frame.f_back
        steps -= 1
    return None


def _passed(before: FrameType | None, last: FrameType | None, inner: Origin = ()) -> Origin:
    """The frames inside one, innermost first: those passed last, after those that were known."""
    for frame in (before, last):
        if frame is not None:
            inner += (frame.f_code, frame.f_lasti)
    return inner[-4:]


def nearest_own(frame: FrameType | None) -> Origin:
    """The innermost frame of the program's own from `frame` outwards, alone; of a library's where there is none near.

    Called in the user's thread: 0.1 µs a frame.
    """
    kind, steps, library = kind_of, _NEAR, None
    last: FrameType | None = None
    before: FrameType | None = None
    while frame is not None and steps:
        code = frame.f_code
        of = kind(code.co_filename)
        if of == COMPILED:
            code, of = compiled_by(frame, _passed(before, last))
        if not of:
            return (code, frame.f_lasti)
        if of == LIBRARY and library is None:
            library = (code, frame.f_lasti)
        before, last = last, frame
        frame = frame.f_back
        steps -= 1
    return library or ()


def capture_until(frame: FrameType | None, limit: int, end: CodeType) -> Origin:
    """The same, but no further than the frame of `end`, the event loop's: what stands below asked for nothing."""
    pairs: list[CodeType | int] = []  # `pairs.append` called as a method: a fifth of the time less than `+=`
    if frame is not None and limit > 2:  # noqa: PLR2004 - mostly two frames are all: asyncio's, and the task's own
        first, second = frame.f_code, frame.f_back
        if second is not None and first is not end:
            code, third = second.f_code, second.f_back
            if third is not None and code is not end:
                if third.f_code is end:
                    return (first, frame.f_lasti, code, second.f_lasti)
                pairs += (first, frame.f_lasti, code, second.f_lasti)
                frame = third
                limit -= 2
    while frame is not None and limit:
        code = frame.f_code
        if code is end:
            break
        pairs.append(code)
        pairs.append(frame.f_lasti)
        frame = frame.f_back
        limit -= 1
    return tuple(pairs)


def capture_callback(frame: FrameType | None, limit: int, loop: CodeType | None, callback: CodeType | None) -> Origin:
    """The same of what an event loop calls back, also where the loop has no frames of its own, as uvloop's.

    The frame of `callback` is the last, or the one above that of `loop`. () if neither is on the stack: then where
    the callback ends cannot be told.
    """
    pairs: list[CodeType | int] = []
    while frame is not None and limit:
        code = frame.f_code
        if code is loop:
            break
        pairs.append(code)
        pairs.append(frame.f_lasti)
        if code is callback:
            break
        frame = frame.f_back
        limit -= 1
    return tuple(pairs) if frame is not None else ()


def line_at(code: CodeType, offset: int) -> int:
    """The line, from 1, at which `code` stood at `offset` (a negative one is the line itself)."""
    if offset < 0:
        return -offset
    known = _lines.get(id(code))
    if known is None:
        if len(_lines) >= _MANY:
            _lines.clear()
        known = _lines[id(code)] = (code, {})
    _, found = known
    line = found.get(offset)
    if line is None:
        line = found[offset] = _line_at(code, offset)
    return line


def _line_at(code: CodeType, offset: int) -> int:
    found = code.co_firstlineno
    for start, end, line in code.co_lines():
        if start <= offset < end:
            return found if line is None else line
        if line is not None:
            found = line
    return found


def function_at(origin: Origin, index: int) -> str:
    """The name of the function at an even `index`: for comprehensions and lambdas, of the named one around them.

    The same on every Python, so that fingerprints, ignore rules and baselines agree: 3.12 has no frame any more for
    a comprehension, and 3.10 no qualified name; there the frame around it is looked for on the stack.
    """
    code: CodeType = origin[index]  # type: ignore[assignment]  # code objects at even places
    name = code.co_name
    if name not in _ANONYMOUS:
        return name
    qualified: str = getattr(code, "co_qualname", "")
    if qualified.endswith(name):
        named = [part for part in qualified.split(".") if part not in _ANONYMOUS and part != "<locals>"]
        return named[-1] if named else "<module>"
    nearest = ""
    for place in range(index + 2, len(origin), 2):
        outer: CodeType = origin[place]  # type: ignore[assignment]
        if any(constant is code for constant in outer.co_consts):
            return function_at(origin, place)
        if not nearest and outer.co_filename == code.co_filename and outer.co_name not in _ANONYMOUS:
            nearest = outer.co_name
    return nearest or "<module>"


def from_lines(lines: list[tuple[str, int, str]]) -> Origin:
    """An origin made of (file, line, function), innermost first: for what another process or a file remembered."""
    blank = from_lines.__code__
    pairs: list[CodeType | int] = []
    for file, line, function in lines:
        pairs += (blank.replace(co_filename=file, co_name=function), -line)
    return tuple(pairs)
