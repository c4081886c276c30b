"""Remembers which findings have named a handle, for the handle's span: rules, the worst severity, and span events.

Memory is bounded: the oldest notes are forgotten, and severities are kept by rule and line, which are few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import SEVERITIES
from whoholds.analysis.rules import BITS
from whoholds.outputs.otel import names

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding
    from whoholds.analysis.sites import Site
    from whoholds.ledger.handle import Handle

    Note = tuple[str, int, dict[str, Any]]

NOTED = 1000  # handles whose notes are kept


class Reported:
    """The findings that were reported so far, by rule and line, and the notes on handles."""

    def __init__(self) -> None:
        self._severities: dict[tuple[str, Site | None], str] = {}
        self._notes: dict[int, list[Note]] = {}

    def take(self, finding: Finding, note: Note | None) -> None:
        """Remember a reported finding.

        `note` is the span event that stands for it, or None if it was emitted as a log record.
        """
        for site in {finding.site, *(part.site for part in finding.parts)}:
            self._severities[finding.rule, site] = finding.severity
        if note is not None:
            for handle in finding.handles:
                if len(self._notes) >= NOTED:
                    self._notes.pop(next(iter(self._notes)))
                self._notes.setdefault(handle.opened_stamp, []).append(note)

    def of(self, handle: Handle) -> tuple[str, tuple[str, ...]]:
        """The worst severity ("" if none), and the rules that named the handle, the worst first.

        Ignored findings do not count.
        """
        if not handle.told:
            return "", ()
        named = [
            (-SEVERITIES.index(self._severities[rule, handle.site]), rule)
            for rule, bit in BITS.items()
            if handle.told & bit and (rule, handle.site) in self._severities
        ]
        named.sort(key=lambda one: one[0])
        return (SEVERITIES[-named[0][0]] if named else ""), tuple(rule for _, rule in named)

    def notes(self, handle: Handle) -> list[Note]:
        """The span events of `handle`, which are then forgotten."""
        return self._notes.pop(handle.opened_stamp, [])


def note_of(finding: Finding, message: str) -> Note:
    """A span event for a finding: name, time in nanoseconds since the epoch, attributes."""
    attributes = {names.RULE: finding.rule, names.SEVERITY: finding.severity, "message": message}
    return f"whoholds.{finding.rule}", int(finding.time * 1e9), attributes
