"""Patterns for lines: `path-glob[:function]`, thresholds with exceptions, ignore rules, and the nearest known name."""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whoholds.text.redact import redact
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.frames import Frame


SHOWN = 100  # characters of what was given, in an error


class WrongSetting(ValueError):  # noqa: N818 - it is what it is called
    """A wrong setting: names the variable, what it got and what it takes; or `why`, where there is no such variable."""

    def __init__(self, name: str, got: object, takes: str, *, why: str = "") -> None:
        super().__init__(f"{name}={short(got)}: {why or f'it takes {takes}'}")
        self.name = name


def short(got: object) -> str:
    """What was given, as an error may show it: on one line, without secrets, its beginning where it is long."""
    try:
        text = str(got)
    except ValueError:  # a number of thousands of digits
        return "a number of thousands of digits"
    shown = visible(redact(text[: 4 * SHOWN]))
    return shown if len(text) <= SHOWN else f"{shown[:SHOWN]}… ({len(text)} characters)"


@dataclass(frozen=True)
class Threshold:
    """A number, and other numbers for some opening lines: `60,600@jobs/*.py`."""

    default: float
    exceptions: tuple[tuple[float, str], ...] = ()

    def at(self, frame: Frame | None) -> float:
        """The number for this opening line; the first exception that matches counts."""
        if frame is not None:
            for number, pattern in self.exceptions:
                if matches(frame, pattern):
                    return number
        return self.default

    @property
    def least(self) -> float:
        """The smallest number anywhere: below it nothing needs a look."""
        return min([self.default, *(number for number, _ in self.exceptions)]) if self.exceptions else self.default

    def __str__(self) -> str:
        return ",".join([f"{self.default:g}", *(f"{number:g}@{pattern}" for number, pattern in self.exceptions)])


@dataclass(frozen=True)
class IgnoreRule:
    """`rule@path-glob[:function]`: findings of that rule (or `*`) with such an opening or spawn line are meant."""

    rule: str
    pattern: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.rule}@{self.pattern}"

    def matches(self, rule: str, frames: tuple[Frame | None, ...]) -> bool:
        """Whether a finding of `rule` at one of these lines is meant."""
        return self.rule in ("*", rule) and any(frame and matches(frame, self.pattern) for frame in frames)


def matches(frame: Frame, pattern: str) -> bool:
    """Whether `path-glob[:function]` matches: the glob against the end of the path, at a folder's boundary."""
    pattern = pattern.replace("\\", "/")  # as Windows writes paths, and findings show them there
    glob, colon, function = pattern.rpartition(":")
    if not colon or "/" in function or len(glob) <= 1:  # no function, or a Windows drive
        glob, function = pattern, "*"
    path = frame.file.replace("\\", "/")
    fits = fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, f"*/{glob}")
    return fits and fnmatch.fnmatchcase(frame.function, function)


def nearest(got: object, known: Iterable[str]) -> str:
    """` (did you mean …?)` with the one that begins as `got` does, else the most alike; empty where none is."""
    names = list(known)
    if len(str(got)) > SHOWN:  # like nothing that is known, and slow to compare
        return ""
    near = [name for name in names if got and name.startswith(str(got))]
    near = near or difflib.get_close_matches(str(got), names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
