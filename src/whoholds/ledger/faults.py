"""Faults of whoholds itself in the program's threads: noted by one C call each, said once by the next look.

A fault must never become the program's, and must not be lost either: whoever is told nothing does not know that a
library is watched with one eye only. What is kept is text; an exception would keep frames, and with them connections.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]  # collections is more files at interpreter start

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from types import CodeType, TracebackType
    from typing import Any, TypeAlias

    # (the hook: "sqlite3.Cursor.execute", or our own function that stands there; the exception's type, and its text
    # where that is a plain string; where in whoholds: "drivers/sqlite.py:33 in where")
    Fault: TypeAlias = tuple[str, str, str]

_OURS = "/whoholds/"
_noted: deque[Fault] = deque(maxlen=1000)  # of every Watch; each change one C call


def note(error: BaseException, original: Any = None) -> None:
    """Note `error`, a fault of ours in the hook that stands for `original`, a function or its name. Any thread."""
    frames = _ours(error.__traceback__)
    at = _place(*frames[-1]) if frames else "?"
    hook = _named(original) or (_guessed(frames) if frames else "?")
    _noted.append((hook, _text(error), at))


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
