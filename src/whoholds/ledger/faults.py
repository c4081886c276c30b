"""Faults of whoholds itself in the program's threads: noted by one C call each, said once by the next look.

A fault must never become the program's, and must not be lost either: whoever is told nothing does not know that a
library is watched with one eye only. What is kept is text; an exception would keep frames, and with them connections.
"""

from __future__ import annotations

import sys
from _collections import deque  # type: ignore[import-not-found]  # collections is more files at interpreter start

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType
    from typing import Any, TypeAlias

    # (the hook: "sqlite3.Cursor.execute", or our own function that stands there; the exception's type, and its text
    # where that is a plain string; where in whoholds: "drivers/sqlite.py:33 in where")
    Fault: TypeAlias = tuple[str, str, str]

_OURS = "/whoholds/"
_HERE = __file__.removesuffix("faults.py").removesuffix("ledger/").removesuffix("ledger\\")  # the package's folder
_OUR_BARE = (StopIteration, StopAsyncIteration, MemoryError, AssertionError)  # C raises these without a word
_noted: deque[Fault] = deque(maxlen=1000)  # of every Watch; each change one C call


def is_the_programs(error: BaseException) -> bool:
    """Whether `error`, caught in a hook, is the program's: one of its signals' handlers raised, or another thread.

    A handler is known by its code, or, where it has taken itself back, by the frame that it interrupted: it is called
    with that, as a trace function is, and no call of ours is given the frame of its caller. What
    `PyThreadState_SetAsyncExc` raises is a class without arguments, between two instructions of ours.
    """
    signals: Any = sys.modules.get("_signal")
    # where the module is not imported nobody can have set a handler
    handlers = {_code_of(signals.getsignal(number)) for number in signals.valid_signals()} if signals else set()
    handlers.discard(None)
    at = error.__traceback__
    outer = None
    while at is not None:
        inner = at.tb_frame
        if inner.f_code in handlers or (outer is not None and _was_given(inner, outer)):
            return True
        outer = inner
        at = at.tb_next
    bare = not error.args and not isinstance(error, _OUR_BARE)
    return bare and outer is not None and outer.f_code.co_filename.startswith(_HERE)


def _was_given(inner: FrameType, outer: FrameType) -> bool:
    """Whether the call `inner` has the frame of its caller among its locals, also among its `*args`."""
    for value in inner.f_locals.values():
        if value is outer or (type(value) is tuple and any(part is outer for part in value)):
            return True
    return False


def _code_of(handler: Any) -> Any:
    """The code of a function, of a method, of an object that can be called; None of anything else."""
    handler = getattr(handler, "func", handler)  # a partial's
    handler = getattr(handler, "__func__", handler)
    called = handler if hasattr(handler, "__code__") else vars(type(handler)).get("__call__")
    return getattr(called, "__code__", None)


def note(error: BaseException, original: Any = None) -> None:
    """Note `error`, a fault of ours in the hook that stands for `original`, a function or its name. Any thread."""
    frames = _ours(error.__traceback__)
    at = _place(*frames[-1]) if frames else "?"
    hook = _named(original) or (_guessed(frames) if frames else "?")
    _noted.append((hook, _text(error), at))


def stays_ours(error: Exception, original: Any = None) -> None:
    """Note `error`, a fault of a hook of ours, or raise it again if it is the program's, which must not lose it.

    The program's are the exceptions of a signal's handler, which may run in the middle of a hook, and those that
    another thread has set by `PyThreadState_SetAsyncExc`. `original` is the function that the hook replaces; a look
    names it. Each hook is guarded in this one way:

        try:
            … what is ours
        except Exception as error:
            stays_ours(error, original)
    """
    if is_the_programs(error):
        try:
            raise error
        finally:
            del error  # its traceback now refers to this frame
    try:
        note(error, original)
    except Exception as again:
        if is_the_programs(again):
            raise


def take() -> list[Fault]:
    """What was noted since the last call, each fault once. Called by the thread that ticks."""
    taken: dict[Fault, None] = {}
    try:
        while _noted:
            taken[_noted.popleft()] = None
    except IndexError:  # another look was faster
        pass
    return list(taken)


def _ours(traceback: TracebackType | None) -> list[tuple[CodeType, int]]:
    """The code and line of each frame of whoholds in a traceback, outermost first."""
    found: list[tuple[CodeType, int]] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if _OURS in _file(code):
            found.append((code, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def _file(code: CodeType) -> str:
    return code.co_filename.replace("\\", "/")


def _place(code: CodeType, line: int) -> str:
    return f"{_file(code).rpartition(_OURS)[2]}:{line} in {code.co_name}"


def _named(original: Any) -> str:
    """The dotted name of what a hook stands for: `psycopg2.extensions.cursor.execute`; "" where it has none."""
    if original is None or type(original) is str:
        return original or ""
    name = getattr(original, "__qualname__", "") or getattr(original, "__name__", "")
    owner = getattr(original, "__objclass__", None)
    module = getattr(original, "__module__", None) or getattr(owner, "__module__", None)
    return f"{module}.{name}" if module and name else str(name)


def _guessed(frames: list[tuple[CodeType, int]]) -> str:
    """The driver's module and the outermost function of ours, where a hook does not say for what it stands."""
    for code, _ in frames:
        _, found, file = _file(code).rpartition(f"{_OURS}drivers/")
        if found and not file.startswith("_"):
            return f"{file.removesuffix('.py')}.{frames[0][0].co_name}"
    return f"whoholds.{frames[0][0].co_name}"


def _text(error: BaseException) -> str:
    """Type and text; only a text that is a plain string: anything else would run the program's code here."""
    args = error.args
    words = args[0] if len(args) == 1 and type(args[0]) is str else ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
