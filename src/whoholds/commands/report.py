"""`whoholds report`: prints what journals say."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import INFO
from whoholds.reporting.reading import Journal
from whoholds.reporting.summary import Told, lines_of
from whoholds.reporting.wording import stamped
from whoholds.text.streams import forget, say, shown_on
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator


def report(paths: list[str], *, verbose: bool = False) -> int:
    """Print what the journals at `paths` say. Returns 0, or 2 if one cannot be read or nothing can be printed."""
    journals = [Journal(path) for path in paths]
    try:
        told = Told(journals)
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        unread = next(journal for journal in journals if not journal.ended)
        return _wrong(unread, getattr(error, "strerror", None) or str(error))
    for journal in journals:
        if not journal.count and not journal.unknown:
            return _wrong(journal, "not a line of a journal in it")
    return _print(_lines(told, verbose=verbose))


def _wrong(journal: Journal, what: str) -> int:
    say(f"whoholds: {visible(str(journal.path))}: {what}; it takes a journal, as WHOHOLDS_JOURNAL names it")
    return 2


def _lines(told: Told, *, verbose: bool) -> Iterator[str]:
    for finding in told.findings:
        if verbose or finding["severity"] != INFO:
            yield visible(_text(finding), lines=True)
    yield from (visible(f"whoholds: {aside}") for aside in told.asides)
    yield from lines_of(told)


def _text(finding: dict[str, Any]) -> str:
    """The report as the process printed it, with its time and process id if the record has them."""
    text: str = finding.get("report") or f"whoholds: {finding['message']}"
    try:
        at = datetime.fromisoformat(finding["time"].replace("Z", "+00:00")).timestamp()
    except (AttributeError, KeyError, ValueError, OverflowError, OSError):  # no time, or an impossible one
        return text
    return stamped(text, at, finding["pid"]) if finding.get("pid") is not None else text


def _print(lines: Iterator[str]) -> int:
    """Write the lines to stdout. Returns 0, or 2 after a message if stdout cannot take them; no traceback."""
    stream: Any = sys.stdout
    if stream is None:
        return 2
    try:
        for line in lines:
            stream.write(shown_on(stream, f"{line}\n"))
        stream.flush()
    except BrokenPipeError:  # the reader has read enough
        forget(stream)
        return 0
    except (OSError, ValueError) as error:  # a full disk; a stream that is closed
        say(f"whoholds: stdout: {getattr(error, 'strerror', None) or error}")
        forget(stream)
        return 2
    return 0
