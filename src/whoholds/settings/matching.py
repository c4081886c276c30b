"""Patterns for lines (`path-glob[:function]`), thresholds with exceptions, ignore rules, and the nearest known name."""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.frames import Frame


SHOWN = 100  # characters of a wrong value that an error shows


class WrongSetting(ValueError):  # noqa: N818 - it is what it is called
    """A setting with an invalid value, or of an unknown name. Its message names the variable and what it got.

    It then says what the variable takes or, with `why`, what else is wrong: there is no such variable.
    """

    def __init__(self, name: str, got: object, takes: str, *, why: str = "") -> None:
        super().__init__(f"{name}={short(got)}: {why or f'it takes {takes}'}")
        self.name = name


class WrongSettingsFile(WrongSetting):
    """A settings file that cannot be understood at all. Its message names the file, and says `why`."""

    def __init__(self, path: str, why: str) -> None:
        ValueError.__init__(self, f"{short(path)}: {why}")
        self.name = path


def short(got: object) -> str:
    """The wrong value `got` as an error may show it: on one line, without secrets, cut off if it is long."""
    from whoholds.text.redact import redact  # its patterns are compiled at import: pytest comes by here in every run
    from whoholds.text.visible import visible

    try:
        text = str(got)
    except ValueError:  # a number of thousands of digits
        return "a number of thousands of digits"
    shown = visible(redact(text[: 4 * SHOWN]))
    return shown if len(text) <= SHOWN else f"{shown[:SHOWN]}… ({len(text)} characters)"


@dataclass(frozen=True)
class Threshold:
    """A number, with other numbers for some opening lines: `60,600@jobs/*.py`."""

    default: float
    exceptions: tuple[tuple[float, str], ...] = ()

    def at(self, frame: Frame | None) -> float:
        """The number for this opening line: that of the first exception that matches, otherwise the default."""
        if frame is not None:
            for number, pattern in self.exceptions:
                if matches(frame, pattern):
                    return number
        return self.default

    @property
    def least(self) -> float:
        """The smallest of the numbers: a value below it needs no look-up of the line."""
        return min([self.default, *(number for number, _ in self.exceptions)]) if self.exceptions else self.default

    def __str__(self) -> str:
        return ",".join([f"{self.default:g}", *(f"{number:g}@{pattern}" for number, pattern in self.exceptions)])


@dataclass(frozen=True)
class IgnoreRule:
    """`rule@path-glob[:function]`: findings of `rule` (or `*`) are intended if an opening or spawn line matches."""

    rule: str
    pattern: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.rule}@{self.pattern}"

    def matches(self, rule: str, frames: tuple[Frame | None, ...]) -> bool:
        """Whether a finding of `rule` with one of these lines is intended."""
        return self.rule in ("*", rule) and any(frame and matches(frame, self.pattern) for frame in frames)


def matches(frame: Frame, pattern: str) -> bool:
    """Whether `pattern`, `path-glob[:function]`, matches a line; the glob is matched with the end of its path.

    The matched end begins at a folder's boundary.
    """
    pattern = pattern.replace("\\", "/")  # Windows writes paths so, and findings there show them so
    glob, colon, function = pattern.rpartition(":")
    if not colon or "/" in function or len(glob) <= 1:  # there is no function, or the colon follows a Windows drive
        glob, function = pattern, "*"
    path = frame.file.replace("\\", "/")
    fits = fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, f"*/{glob}")
    return fits and fnmatch.fnmatchcase(frame.function, function)


def nearest(got: object, known: Iterable[str]) -> str:
    """` (did you mean …?)` with a known name that begins with `got`, or else the most similar, in whatever case.

    "" if none is near.
    """
    wanted = str(got)
    if len(wanted) > SHOWN:  # too long to resemble a known name, and slow to compare
        return ""
    wanted, names = wanted.lower(), {name.lower(): name for name in known}
    near = [name for name in names if wanted and name.startswith(wanted)]
    near = near or difflib.get_close_matches(wanted, names, n=1)
    return f" (did you mean {names[near[0]]}?)" if near else ""
