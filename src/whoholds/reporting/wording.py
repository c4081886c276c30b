"""What a person reads: a finding as its first line, and as the text below it; who holds what now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.blame import kind_of
from whoholds.analysis.finding import parts_of
from whoholds.analysis.frames import frames
from whoholds.analysis.rules import rule_of
from whoholds.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from whoholds.analysis.finding import Finding, Part
    from whoholds.analysis.frames import Frame
    from whoholds.analysis.sites import Site
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin

SHOWN_FRAMES = 5
SHOWN_PARTS = 8


def first_line(finding: Finding) -> tuple[str, tuple[object, ...]]:
    """A %-template and its arguments. The template holds only what the fingerprint holds, so that trackers group."""
    template = f"{finding.rule}: {finding.phrase.replace('{n}', '%d %s')}"
    things = [finding.kind if finding.count == 1 else f"{finding.kind}s"] if "{n}" in finding.phrase else []
    arguments: list[object] = [finding.count, *things, finding.where, *finding.numbers]
    verb = verb_of(finding.handles)
    comma = "" if finding.parts else ","
    if finding.site is not None and finding.site.origin:
        template += f"{comma} {verb} at %s in {_escaped(finding.site)}"
        arguments.append(finding.site.frame.place)
    spawned = finding.spawned
    if spawned is not None:
        template += f", spawned at %s in {_escaped(spawned)}"
        arguments.append(spawned.frame.place)
    what, other = finding.other
    if other is not None and other is not finding.site:
        template += f", {what} at %s in %s"
        arguments += [other.frame.place, other.frame.function]
    arguments.append(_again(finding))
    return template + "%s", tuple(redact(one) if isinstance(one, str) else one for one in arguments)


def _again(finding: Finding) -> str:
    if finding.times > 1:
        return f" ({finding.times} times)"
    return f" (×{finding.since} since)" if finding.since and finding.adds_up else ""


def _escaped(site: Site) -> str:
    return site.frame.function.replace("%", "%%")


def verb_of(handles: Sequence[Handle]) -> str:
    """What the line did: `opened`, or `borrowed` where the handle is a pool's loan."""
    return "borrowed" if handles and handles[0].kind == "checkout" else "opened"


def message(finding: Finding) -> str:
    """The first line: rule, count, database, opening line, spawn line. It stands alone."""
    template, arguments = first_line(finding)
    return redact(template % arguments)


def text(finding: Finding, *, source: bool = True, most_frames: int = SHOWN_FRAMES, first: str = "") -> str:
    """The whole report: first line, who, why, what to do. `first` is its `message`, where the caller has it already."""
    lines = [f"whoholds: {first or message(finding)}"]
    if finding.error:
        lines.append(f"    {redact(finding.error)}")
    parts = finding.parts or parts_of(finding.handles)
    for part in parts[:SHOWN_PARTS]:
        lines += _part(part, finding, source=source)
    if len(parts) > SHOWN_PARTS:
        rest = parts[SHOWN_PARTS:]
        lines.append(f"   and {sum(part.count for part in rest)} more from {len(rest)} other lines")
    what, other = finding.other
    if other is not None and rule_of(finding.rule).repeats_other:
        lines.append(f"     also  {what}  {_where(other.frame, source=source)}")
    if not finding.parts and finding.handles:
        lines += _stack("how it was opened", finding.handles[0].origin, most_frames)
    for name, origin in finding.stacks:
        lines += _stack(f"{name} is now", origin, most_frames)
    lines += [f"  {redact(sentence)}" for sentence in (*finding.why, *_last_statement(finding), *finding.advice)]
    return "\n".join(lines)


def _part(part: Part, finding: Finding, *, source: bool) -> list[str]:
    lines = []
    head = f"{part.count:>6} ×  "
    verb = verb_of(part.handles)
    spawned = part.spawned
    in_main = "" if spawned is not None else f"  in {', '.join(part.owners[:1]) or 'no thread'}"
    if part.site is not None:
        lines.append(f"{head}{verb:<8} {_where(part.site.frame, source=source)}{in_main if not spawned else ''}")
    if spawned is not None:
        lines.append(f"{'':>10}spawned  {_where(spawned.frame, source=source)}")
        lines.append(f"{'':>10}{_who(part, finding.now)}")
    elif part.handles and part.handles[0].open:
        lines.append(f"{'':>10}{_clocks(part.handles, finding.now)}")
    return lines


def _where(frame: Frame, *, source: bool) -> str:
    place = f"{frame.place}  in {frame.function}"
    return f"{place:<34}  {frame.source}".rstrip() if source and frame.source else place


def _who(part: Part, now: float) -> str:
    owners = part.owners
    kinds = {handle.owner.kind for handle in part.handles if handle.owner is not None}
    kind = {"job": "worker"}.get(*kinds, *kinds) if len(kinds) == 1 else "owner"
    names = owners[0] if owners else "gone"
    if len(owners) > 1:
        kind += "s"
        names = f"{owners[0]} … {owners[-1]}" if len(owners) > 2 else ", ".join(owners)  # noqa: PLR2004 - two fit
    return f"{kind} {names}, {_clocks(part.handles, now)}"


def _clocks(handles: tuple[Handle, ...], now: float) -> str:
    longest = max((handle.held_s(now) for handle in handles), default=0.0)
    clocks = f"longest {longest:.1f} s"
    waiting = sum((one.parent or one).in_transaction and not one.running for one in handles if one.open)
    running = sum(one.running for one in handles)
    if running:
        clocks += f", {running} running a statement"
    if waiting:
        clocks += f", {waiting} idle in transaction"
    return clocks


def _stack(title: str, origin: Origin, most: int) -> list[str]:
    """At most `most` frames of the user's; runs of library frames are folded into one line."""
    shown = frames(origin, source=False)
    users = [frame for frame in shown if not kind_of(frame.file)]
    if len(users) <= 1 and title.startswith("how"):
        return []
    lines = [f"  {title}:"]
    folded = 0
    count = 0
    for frame in shown:
        if kind_of(frame.file):
            folded += 1
            continue
        if folded:
            lines.append(f"    … {folded} library frame{'s' * (folded > 1)}")
            folded = 0
        lines.append(f"    {frame.place}  in {frame.function}")
        count += 1
        if count == most:
            break
    return lines if count else []


def _last_statement(finding: Finding) -> tuple[str, ...]:
    """The last statement of the oldest handle, where statements are remembered."""
    from whoholds.text.sql import summary

    for handle in finding.handles[:1]:
        statements = handle.statements
        if statements:
            sql, started, seconds = statements[-1]
            ago = max(finding.now - started - seconds, 0.0)
            uses = f"{handle.uses} use{'s' * (handle.uses != 1)} in {handle.held_s(finding.now):.1f} s held"
            return (f"Last: {summary(sql) or 'a statement'} {seconds * 1000:.0f} ms, {ago:.1f} s ago; {uses}.",)
    return ()


def holders_text(handles: Iterable[Handle], now: float, *, source: bool = True) -> str:
    """Who holds what now, grouped by database, opening line and spawn line; "" where nobody holds anything."""
    by_database: dict[str, list[Handle]] = {}
    for handle in handles:
        by_database.setdefault(handle.database.text, []).append(handle)
    lines: list[str] = []
    for database, group in sorted(by_database.items(), key=lambda item: -len(item[1])):
        lines.append(f"whoholds: {len(group)} open to {database}")
        for part in parts_of(group):
            if part.site is not None:
                lines.append(f"{part.count:>6} ×  opened   {_where(part.site.frame, source=source)}")
            if part.spawned is not None:
                lines.append(f"{'':>10}spawned  {_where(part.spawned.frame, source=source)}")
            lines.append(f"{'':>10}{_who(part, now)}")
    return "\n".join(lines)
