"""The report that a person reads: the whole text of a finding."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from whoholds.analysis import finding as _finding
from whoholds.analysis.finding import parts_of
from whoholds.analysis.rules import rule_of
from whoholds.ledger import faults
from whoholds.reporting.first_line import message
from whoholds.reporting.group_records import located
from whoholds.reporting.groups import asking_lines, line_and_source, part_lines
from whoholds.reporting.stacks import SHOWN_FRAMES, last_statements, stack_lines
from whoholds.reporting.words import named_process
from whoholds.reporting.wrapping import paragraph
from whoholds.text.redact import redact
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from whoholds.analysis.finding import Finding

SHOWN_PARTS = 8


def text(
    finding: Finding,
    *,
    source: bool = True,
    most_frames: int = SHOWN_FRAMES,
    first: str = "",
    before: Sequence[str] = (),
    known: Container[str] = (),
) -> str:
    """The whole report: the first line, who holds what, where the holders are now, why, and what to do.

    `first` is the finding's `message`, if the caller has it already. `before` are the rules that were reported of the
    same handles, and `known` the sentences of those reports, which are left out here. Never raises: if the part below
    the first line cannot be rendered, one line says so.
    """
    try:
        below = _below(finding, source=source, most_frames=most_frames, before=before, known=known)
    except Exception as error:  # noqa: BLE001 - the first line is reported, and the other findings
        faults.note(error, "whoholds.report")
        below = [f"  The rest of this report cannot be shown ({type(error).__name__})."]
    return visible("\n".join([f"whoholds: {first or message(finding)}", *below]), lines=True)


def _below(
    finding: Finding, *, source: bool, most_frames: int, before: Sequence[str], known: Container[str]
) -> list[str]:
    """The lines of the report below the first line."""
    lines: list[str] = []
    if finding.error:
        lines += (f"    {line}" for line in redact(finding.error).splitlines())
    if before:
        lines.append(f"  Reported before, for the same connections: {', '.join(before)}.")
    lines += _who(finding, source=source)
    if not finding.parts and finding.handles and not before:
        lines += stack_lines("how it was opened", finding.handles[0].origin, most_frames, least=2)
    for name, origin in finding.stacks:
        lines += stack_lines(name, origin, most_frames)
    if not finding.states:  # else it says what ran at that earlier instant
        lines += last_statements(finding.handles, finding.now)
    for sentence in (*finding.why, *finding.advice):
        if sentence not in known:
            lines += paragraph(redact(sentence))
    return lines


def _who(finding: Finding, *, source: bool) -> list[str]:
    """The lines on the groups of handles, on those who wait, and on the second line of the finding."""
    lines: list[str] = []
    doing = finding.looked_at
    # a connection that a child inherited before any look has no line of its own yet: the detector has found it
    parts, more = finding.parts or parts_of(finding.handles, lambda handle: handle.site or finding.site), 0
    if finding.unkept and not finding.parts:
        if len(parts) == 1:
            parts = (replace(parts[0], unkept=finding.unkept, more_owners=finding.more_owners),)
        else:
            more = finding.unkept
    for part in parts[:SHOWN_PARTS]:
        lines += part_lines(part, finding.now, doing, dict(finding.states), source=source)
    if len(parts) > SHOWN_PARTS:
        rest = parts[SHOWN_PARTS:]
        lines.append(f"   and {sum(part.count for part in rest)} more from {len(rest)} other lines")
    if more:
        lines.append(f"   and {more} more from these lines")
    for asking in finding.waiting[:SHOWN_PARTS]:
        lines += asking_lines(asking, source=source)
    also = finding.also
    if also is not None and rule_of(finding.rule).also_below:
        lines.append(f"        also     {also.what} at {line_and_source(located(also.site.frame, source=source))}")
    return lines


def stamped(report: str, wall: float, pid: int, number: int | None = 0) -> str:
    """The report with local time and process id at the end of its first line, for stderr, which adds neither.

    `number` is that of the interpreter, which is shown where it is not the process's main one, 0.

    `wall` is in seconds since the epoch.
    """
    first, newline, rest = report.partition("\n")
    at = datetime.fromtimestamp(wall).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006 - as the machine's own logs
    return f"{first} [{at}, {named_process(pid, number)}]{newline}{rest}"


_finding.as_report = text
