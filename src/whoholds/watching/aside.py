"""Asides: drivers, outputs, predicates, detectors and looks that failed. Each is reported once and counted.

docs/settings.md explains each slug under "What whoholds says of itself".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.finding import Aside
from whoholds.text.redact import redact
from whoholds.text.streams import say
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable


MOST = 1000  # different asides that are remembered


class Asides:
    """Everything that stood aside in one watch. Its methods never raise."""

    def __init__(self) -> None:
        self.all: list[Aside] = []
        self._counts: dict[tuple[str, object], int] = {}  # by key: how often it came; only the first time is reported
        self._reasons: dict[tuple[str, object], str] = {}
        self._fresh: list[Aside] = []  # not handed to the outputs yet

    def note(self, slug: str, reason: str, *, key: object = None) -> None:
        """Say on stderr that something stands aside, and why: once for each `key`, by default for each `reason`."""
        known = (slug, reason if key is None else key)
        if known in self._counts:
            self._counts[known] += 1
            return
        reason = visible(redact(reason), lines=True)  # an exception of a library may quote a connection string
        if len(self._counts) < MOST:
            self._counts[known] = 1
            self._reasons[known] = reason
        aside = Aside(slug, reason)
        self.all.append(aside)
        self._fresh.append(aside)
        say(f"whoholds: {reason} [{slug}]")

    def take(self) -> tuple[Aside, ...]:
        """The asides since the last call, for the look that the outputs get."""
        fresh, self._fresh = tuple(self._fresh), []
        return fresh

    def remarks(self) -> list[str]:
        """Sentences for the end of the process: on asides that came several times, and on every fault of a hook."""
        return [
            f"{self._reasons[key]} ({count} times)" if count > 1 else self._reasons[key]
            for key, count in self._counts.items()
            if count > 1 or key[0] == "hook-failed"
        ]


def failure(error: BaseException) -> str:
    """`ValueError: not so`; only the type if the exception's own `__str__` raises."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the exception's own __str__ is somebody else's code
        return type(error).__name__


def place_of(error: BaseException) -> str:
    """`detectors/left.py:42`: the innermost line of the traceback, with the last folder of its path; "?" if none."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "?"
    parts = traceback.tb_frame.f_code.co_filename.replace("\\", "/").split("/")
    return f"{'/'.join(parts[-2:])}:{traceback.tb_lineno}"


def place_in(error: BaseException, function: Callable[..., object]) -> str:
    """`shop/cars.py:42`: the line at which `error` left `function`, else its first line; "" if it has no code."""
    from whoholds.analysis.frames import shown_path

    code = getattr(function, "__code__", None) or getattr(getattr(function, "__call__", None), "__code__", None)  # noqa: B004
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            return f"{shown_path(code.co_filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f"{shown_path(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""
