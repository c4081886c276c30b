"""Tables of a picture's data: each text, line and stack stands in the data once, and is named by its number."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any, Final

from whoholds.analysis.blame import is_users
from whoholds.analysis.cells import cell_of
from whoholds.text.visible import visible

LONGEST: Final = 20_000  # characters of one text
_FIELDS: Final = ("file", "line", "function", "source")  # of a line's record
_PACKAGES: Final = re.compile(r".*[/\\](?:(?:site|dist)-packages|lib[/\\]python3\.\d+t?)[/\\]")

Row = tuple[Any, ...]


class Table:
    """Rows in the order of their first appearance. `of` returns the number of a row."""

    def __init__(self) -> None:
        self.rows: dict[Any, int] = {}

    def of(self, row: Any) -> int:
        """The number of `row`, from 0."""
        return self.rows.setdefault(row, len(self.rows))

    def as_data(self) -> list[Any]:
        """All rows, in the order of their numbers."""
        return list(self.rows)


class Texts:
    """The tables of texts, lines, stacks and origins of one picture. Values of journals may be of any type."""

    def __init__(self) -> None:
        self.strings = Table()
        self.lines = Table()  # (file, number, function, source, 1 if it is a library's)
        self.stacks = Table()  # tuples of numbers of lines, innermost first
        self.origins = Table()  # (opening line or -1, spawn line or -1)
        self._numbers: dict[str, int] = {}  # by the texts as journals have them
        self._places: dict[tuple[object, ...], int] = {}  # numbers of lines, by their fields as journals have them

    def text(self, value: object) -> int:
        """The number of a text; -1 for a value that is no text."""
        if not isinstance(value, str):
            return -1
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = self.strings.of(visible(value[:LONGEST], lines=True))
        return number

    def line(self, value: object, folder: str) -> int:
        """The number of a line as records have it, its path relative to `folder`; -1 for a value that is no line."""
        if not isinstance(value, dict) or not isinstance(value.get("file"), str):
            return -1
        file, number, function, source = tuple(map(value.get, _FIELDS))
        key = (file, number, function, source, folder)
        if type(number) is not int or type(function) is not str or type(source) is not str:  # not surely hashable
            return self._line(str(file), number, function, source, folder)
        known = self._places.get(key)
        if known is None:
            known = self._places[key] = self._line(str(file), number, function, source, folder)
        return known

    def _line(self, file: str, number: object, function: object, source: object, folder: str) -> int:
        library = int(not is_users(file))
        place = self.text(shown_file(file, folder))
        return self.lines.of((place, whole(number) or 0, self.text(function), self.text(source), library))

    def stack(self, value: object, folder: str) -> int:
        """The number of a stack as records have it; -1 if there is none."""
        if not isinstance(value, list) or not value:
            return -1
        frames = tuple(line for line in (self.line(frame, folder) for frame in value) if line >= 0)
        return self.stacks.of(frames) if frames else -1

    def origin(self, opened: object, spawned: object, folder: str) -> int:
        """The number of a pair of opening line and spawn line."""
        return self.origins.of((self.line(opened, folder), self.line(spawned, folder)))

    def as_data(self) -> dict[str, list[Any]]:
        """The tables by their names."""
        return {
            "strings": self.strings.as_data(),
            "lines": self.lines.as_data(),
            "stacks": self.stacks.as_data(),
            "origins": self.origins.as_data(),
        }


def shown_file(file: str, folder: str) -> str:
    """The path relative to `folder`, if it lies there; a library's from its package or module on.

    A cell of the notebook that runs here has its name: `Cell In[3]`.
    """
    cell = cell_of(file)
    if cell:
        return cell
    packages = _PACKAGES.match(file)
    if packages:
        return file[packages.end() :]
    below = folder.rstrip("/\\")
    return file[len(below) + 1 :] if below and file.startswith((below + "/", below + os.sep)) else file


def whole(value: object) -> int | None:
    """A whole number of 53 bits, as JavaScript has them; None for any other value."""
    return value if type(value) is int and -(2**53) < value < 2**53 else None


_LONGEST_S: Final = 4e9  # 126 years


def micros(seconds: object) -> int | None:
    """Seconds as microseconds; None for a value that is no number or too large."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and -_LONGEST_S < seconds < _LONGEST_S:
        return round(seconds * 1e6)
    return None


def moment(text: object) -> int | None:
    """A time of a record in microseconds since the epoch; None if it is no time."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return round(at.timestamp() * 1e6)
    except (ValueError, OverflowError, OSError):
        return None
