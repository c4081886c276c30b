"""Origins made readable: a frame's file, line, function and source, and how paths are shown.

Called when something is shown or on the tick, never in the user's thread.
"""

from __future__ import annotations

import os
from types import CodeType
from typing import NamedTuple

from whoholds.analysis.blame import _OURS
from whoholds.analysis.cells import cell_of
from whoholds.analysis.source import lines_of
from whoholds.ledger.origin import function_at, line_at
from whoholds.text.source_line import source_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from whoholds.ledger.origin import Origin


class Frame(NamedTuple):
    """One readable frame: file as the code object has it, line (from 1), function, source line or ""."""

    file: str
    line: int
    function: str
    source: str

    @property
    def place(self) -> str:
        """`shop/cars.py:42`, as `shown_path` shows the file; `Cell In[3], line 2` in a notebook."""
        cell = cell_of(self.file)
        if cell:
            return f"{cell}, line {self.line}"
        return f"{printable(shown_path(self.file))}:{self.line}"


def frame_at(origin: Origin, index: int, *, source: bool = True) -> Frame:
    """The frame at an even `index`, readable; the source line is read from disk unless `source` is false."""
    code, offset = origin[index], origin[index + 1]
    assert isinstance(code, CodeType)  # noqa: S101 - the tuple's layout, told to the type checker
    assert isinstance(offset, int)  # noqa: S101
    line = line_at(code, offset)
    return Frame(
        code.co_filename, line, printable(function_at(origin, index)), _source(code.co_filename, line) if source else ""
    )


def _source(file: str, line: int) -> str:
    """The line as it may be shown, "" where there is no such file or line."""
    lines = lines_of(file)
    return source_line(lines[line - 1], lines[: line - 1]) if 1 <= line <= len(lines) else ""


def printable(text: str) -> str:
    """`text` with its lone surrogates, which no encoding takes, written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def frames(origin: Origin, *, source: bool = True) -> list[Frame]:
    """Every frame, innermost first, without our own at the inner end."""
    start = 0
    while start < len(origin) and origin[start].co_filename.startswith(_OURS[0] + os.sep):  # type: ignore[union-attr]
        start += 2
    return [frame_at(origin, index, source=source) for index in range(start, len(origin), 2)]


_home: list[str] = []  # the folder below which paths are shown short; none: the working directory


def shown_below(folder: str | None) -> None:
    """Show paths relative to `folder` from now on, wherever the program goes; None: to its working directory."""
    _home[:] = [folder] if folder else []


def shown_below_here() -> None:
    """Show paths relative to what is now the working directory, unless a folder was named."""
    if not _home:
        try:
            shown_below(os.getcwd())
        except OSError:  # it is gone
            pass


def shown_path(file: str) -> str:
    """`file` relative to the folder below which paths are shown where it lies below it, else as it is."""
    try:
        home = _home[0] if _home else os.getcwd()
        relative = os.path.relpath(file, home)
    except (ValueError, OSError):  # another drive; a working directory that is gone
        return file
    below = os.path.isabs(file) and not relative.startswith("..") and os.path.dirname(home) != home
    return relative if below else file
