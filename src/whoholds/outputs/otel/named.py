"""Which findings have named a handle, for its span: the rules, the worst severity, and notes of them.

Bounded: it forgets the oldest notes, and knows severities by rule and line, of which a process tells few.
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

NOTED = 1000  # handles with notes


class Told:
    """What the looks so far have said."""

    def __init__(self) -> None:
        self._severities: dict[tuple[str, Site | None], str] = {}
        self._notes: dict[int, list[Note]] = {}

    def take(self, finding: Finding, note: Note | None) -> None:
        """`finding` was said; `note` is the span event that stands for it where there are no log records."""
        for site in {finding.site, *(part.site for part in finding.parts)}:
            self._severities[finding.rule, site] = finding.severity
        if note is not None:
            for handle in finding.handles:
                if len(self._notes) >= NOTED:
                    self._notes.pop(next(iter(self._notes)))
                self._notes.setdefault(handle.opened_stamp, []).append(note)

    def of(self, handle: Handle) -> tuple[str, tuple[str, ...]]:
        """The worst severity, and the rules that named the handle, the worst first; ignored findings do not count."""
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
        """Its span events; asked once."""
        return self._notes.pop(handle.opened_stamp, [])


def note_of(finding: Finding, message: str) -> Note:
    """A span event for a finding: name, time in nanoseconds, attributes."""
    attributes = {names.RULE: finding.rule, names.SEVERITY: finding.severity, "message": message}
    return f"whoholds.{finding.rule}", int(finding.time * 1e9), attributes
