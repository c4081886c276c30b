"""`whoholds report`: what journals say, printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import INFO
from whoholds.reporting.reading import Journal
from whoholds.reporting.summary import Told, lines_of
from whoholds.text.streams import forget, say, shown_on
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator


def report(paths: list[str], *, verbose: bool = False) -> int:
    """Print what the journals at `paths` say; 0, 2 where one cannot be read, or nothing be printed."""
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
            yield visible(finding.get("report") or f"whoholds: {finding['message']}", lines=True)
    yield from lines_of(told)


def _print(lines: Iterator[str]) -> int:
    """Write them to stdout; what it cannot take is no reason for a traceback."""
    stream: Any = sys.stdout
    if stream is None:
        return 2
    try:
        for line in lines:
            stream.write(shown_on(stream, f"{line}\n"))
        stream.flush()
    except BrokenPipeError:  # whoever reads has read enough
        forget(stream)
        return 0
    except (OSError, ValueError) as error:  # a full disk; a stream that is closed
        say(f"whoholds: stdout: {getattr(error, 'strerror', None) or error}")
        forget(stream)
        return 2
    return 0
