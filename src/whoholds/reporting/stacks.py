"""Stacks and last statements as lines of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import kind_of
from whoholds.analysis.frames import frames
from whoholds.reporting.words import number_of
from whoholds.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin

SHOWN_FRAMES = 5
SHOWN_STATEMENTS = 3


def stack_lines(title: str, origin: Origin, most: int, *, least: int = 1) -> list[str]:
    """The lines of a stack with at most `most` frames of the user's code; runs of library frames become one line each.

    Empty if fewer than `least` frames are of the user's code: a single one would only repeat the opening line.
    """
    shown = frames(origin, source=False)
    if sum(not kind_of(frame.file) for frame in shown) < least:
        return []
    lines = [f"  {redact(title)}:"]
    folded = 0
    count = 0
    for frame in shown:
        if kind_of(frame.file):
            folded += 1
            continue
        if folded:
            lines.append(f"    … {number_of(folded, 'library frame')}")
            folded = 0
        lines.append(f"    {frame.place} in {frame.function}")
        count += 1
        if count == most:
            break
    return lines


def last_statements(handles: Sequence[Handle], now: float) -> list[str]:
    """The lines on the last few statements of the oldest handle, newest first; empty if there are none."""
    return statement_lines(statement_records(handles, now), several=len(handles) > 1)


def statement_records(handles: Sequence[Handle], now: float) -> list[dict[str, Any]]:
    """The last few statements of the oldest handle, newest first.

    For each its verb and table, the seconds since its end, and how many seconds it took.
    """
    from whoholds.text.sql import summary

    last = handles[0].statements[-SHOWN_STATEMENTS:] if handles else []
    return [
        {
            "statement": redact(summary(sql)) or "a statement",
            "ago_s": round(max(now - started - seconds, 0.0), 3),
            "took_s": round(seconds, 6),
        }
        for sql, started, seconds in reversed(last)
    ]


def statement_lines(records: Sequence[dict[str, Any]], *, several: bool) -> list[str]:
    """The lines on these statements; `several` says that others than their handle belong to the same group."""
    statements = [
        f"{record['ago_s']:.1f} s ago: {record['statement']}, took {record['took_s'] * 1000:.0f} ms"
        for record in records
    ]
    oldest = " of the oldest" if several else ""
    if len(statements) == 1:
        return [f"  last statement{oldest}: {statements[0]}"]
    return [f"  last statements{oldest}:", *(f"    {statement}" for statement in statements)] if statements else []
