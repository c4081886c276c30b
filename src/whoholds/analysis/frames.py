"""Turns origins into readable frames (file, line, function, source) and decides how paths are shown.

Functions that make frames read source files, and must not be called in the user's thread. `shown_path` may be.
"""

from __future__ import annotations

import os
from types import CodeType
from typing import NamedTuple

from whoholds.analysis.blame import _OURS, file_at, is_below, is_childs_command, library_path
from whoholds.analysis.cells import cell_of
from whoholds.analysis.source import lines_of
from whoholds.ledger.origin import function_at, line_at
from whoholds.text.source_line import source_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from whoholds.ledger.origin import Origin


class Frame(NamedTuple):
    """One readable frame: the file as the code object names it, line number (from 1), function, source line or ""."""

    file: str
    line: int
    function: str
    source: str

    @property
    def place(self) -> str:
        """`shop/cars.py:42`, with the path from `shown_path`; in a notebook `Cell In[3], line 2`."""
        cell = cell_of(self.file)
        if cell:
            return f"{cell}, line {self.line}"
        return f"{printable(shown_path(self.file))}:{self.line}"


def frame_at(origin: Origin, index: int, *, source: bool = True) -> Frame:
    """The readable frame at an even `index` of `origin`. Its source line is read from disk unless `source` is False."""
    code, offset = origin[index], origin[index + 1]
    assert isinstance(code, CodeType)  # noqa: S101 - the tuple's layout, told to the type checker
    assert isinstance(offset, int)  # noqa: S101
    line = line_at(code, offset)
    return Frame(
        file_at(origin, index),
        line,
        printable(function_at(origin, index)),
        _source(code.co_filename, line) if source else "",
    )


def referred_from(file: str, line: int, function: str, *, source: bool = True) -> Frame:
    """The readable frame of a place that is no frame: a file, and a line of 0 where only the file is known."""
    return Frame(file, line, printable(function), _source(file, line) if source else "")


def _source(file: str, line: int) -> str:
    """The source line with its secrets removed, as it may be shown; "" if there is no such file or line."""
    lines = lines_of(file)
    return source_line(lines[line - 1], lines[: line - 1]) if 1 <= line <= len(lines) else ""


def printable(text: str) -> str:
    """`text` with lone surrogates, which no encoding accepts, written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def frames(origin: Origin, *, source: bool = True) -> list[Frame]:
    """All frames of `origin`, innermost first, without whoholds's own frames at the inner end.

    The command line by which multiprocessing starts a child is left out, too.
    """
    start, end = 0, len(origin)
    if end and is_childs_command(origin, end - 2):
        end -= 2
    while start < len(origin) and is_below(origin[start].co_filename, _OURS[0] + os.sep):  # type: ignore[union-attr]
        start += 2
    return [frame_at(origin, index, source=source) for index in range(start, end, 2)]


_home: list[str] = []  # the folder to which shown paths are relative; empty: the working directory


def shown_below(folder: str | None) -> str | None:
    """From now on show paths relative to `folder`, even if the program changes its working directory.

    With None, paths are relative to the working directory of the moment. Returns the folder until now, or None.
    """
    before = next(iter(_home), None)
    _home[:] = [folder] if folder else []
    return before


def shown_below_here() -> None:
    """From now on show paths relative to the present working directory, unless a folder was named before."""
    if not _home:
        try:
            shown_below(os.getcwd())
        except OSError:  # the working directory was deleted
            pass


def shown_path(file: str) -> str:
    """The path as a person reads it: a library's from its package, other paths relative to the folder of `shown_below`.

    A path outside that folder is returned unchanged.
    """
    library = library_path(file)
    if library:
        return library
    try:
        home = _home[0] if _home else os.getcwd()
        relative = os.path.relpath(file, home)
    except (ValueError, OSError):  # another drive, or the working directory was deleted
        return file
    below = os.path.isabs(file) and not relative.startswith("..") and os.path.dirname(home) != home
    return relative if below else file
