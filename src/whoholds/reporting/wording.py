"""Findings as text for a person: the message (a first line that stands alone) and the report; also who holds what now.

Only this module puts findings into words, so that all outputs say the same. The file is long for that reason.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from whoholds.analysis import finding as _finding
from whoholds.analysis.asking import kind_of_owners
from whoholds.analysis.blame import kind_of, user_index
from whoholds.analysis.cells import cell_of
from whoholds.analysis.finding import holders_of, made_at, parts_of
from whoholds.analysis.frames import frame_at, frames, shown_path
from whoholds.analysis.rules import rule_of
from whoholds.analysis.work import work_of
from whoholds.ledger import faults
from whoholds.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from whoholds.analysis.asking import Asking
    from whoholds.analysis.finding import Finding, Part
    from whoholds.analysis.frames import Frame
    from whoholds.analysis.sites import Site
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin

SHOWN_FRAMES = 5
SHOWN_PARTS = 8
SHOWN_PLACES = 4  # lines at which holders are now, the most frequent first
SHOWN_STATEMENTS = 3
COLUMNS = 98  # of the sentences of a report
_STANDARD_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
_UNKNOWN_LINE = "an unknown line"
_CODE = re.compile(r"`[^`]+`")
_NO_BREAK = "\u00a0"
_GROUP = "{n}"  # placeholder of a phrase, for instance for "35 connections"


# --- the first line -----------------------------------------------------------------------------------------------


def first_line(finding: Finding) -> tuple[str, tuple[object, ...]]:
    """The message as a %-template and its arguments.

    The template has only what the fingerprint covers, so that error trackers group equal findings. A finding that
    cannot be put into words gives its rule and count, so that the other findings are still reported. Never raises.
    """
    try:
        template, arguments = _first_line(finding)
        template % arguments  # raises if the phrase has more or fewer placeholders than numbers
    except Exception as error:  # noqa: BLE001 - a detector's phrase, a name of the program's
        faults.note(error, "whoholds.report")
        failure = type(error).__name__
        return f"{finding.rule}: %d %s, which cannot be shown (%s)", (finding.count, "found", failure)
    return template, arguments


def _first_line(finding: Finding) -> tuple[str, tuple[object, ...]]:
    if finding.site is not None and finding.site.origin:
        place, function = finding.site.frame.place, f" in {_escaped(finding.site)}"
    else:
        place, function = _UNKNOWN_LINE, ""
    predicate, numbers = _predicate(finding)
    template = f"{finding.rule}: %s{function} {predicate}"
    arguments: list[object] = [place, *numbers]
    also = finding.also
    if also is not None and also.site is not finding.site:
        template += f"{also.joined_by or f', {also.what} at '}%s"
        arguments.append(f"{_beside(also.site, finding.site)}{_in_function(also.site.frame.function)}")
    if finding.spawned is not None:
        template += f", spawned at %s{_in_function(_escaped(finding.spawned))}"
        arguments.append(_beside(finding.spawned, finding.site))
    template += "%s, to %s%s"
    arguments += [_for_work(finding), _databases(finding), _again(finding)]
    return template, tuple(redact(one) if isinstance(one, str) else one for one in arguments)


def _predicate(finding: Finding) -> tuple[str, tuple[object, ...]]:
    """What the opening line did, as a %-template and its arguments."""
    before, _, after = finding.phrase.replace("{verb}", verb_of(finding.handles)).partition(_GROUP)
    places = before.count("%") - 2 * before.count("%%")
    if _GROUP not in finding.phrase:
        return before + after, finding.numbers
    group = (finding.count, _noun(finding.kind, finding.count))
    return f"{before}%d %s{after}", (*finding.numbers[:places], *group, *finding.numbers[places:])


def reason(finding: Finding) -> str:
    """What the message says of the handles, without the lines and the database: `left open 3 connections at exit`."""
    template, arguments = _predicate(finding)
    return redact(template % arguments)


def message(finding: Finding) -> str:
    """The first line of the report, which can stand alone.

    It names the rule, the opening line, what that line did and how often, the spawn line, and the database.
    """
    template, arguments = first_line(finding)
    return redact(template % arguments)


def _beside(site: Site, first: Site | None) -> str:
    """`shop/report.py:17`; `line 17` if it is in the same file as `first`, which the message has named before."""
    frame = site.frame
    same = first is not None and first.origin and first.frame.file == frame.file and not cell_of(frame.file)
    return f"line {frame.line}" if same else frame.place


def _in_function(name: str) -> str:
    """` in load_cars`; "" for a module's own lines, because the file says as much."""
    return f" in {name}" if name != "<module>" else ""


def _escaped(site: Site) -> str:
    return site.frame.function.replace("%", "%%")


def _noun(kind: str, count: int) -> str:
    noun = "cursor" if kind == "cursor" else "connection"
    return f"{noun}{plural(count)}"


def verb_of(handles: Sequence[Handle]) -> str:
    """The verb for what the opening line did: `borrowed` if the handles are loans of a pool, else `opened`."""
    return "borrowed" if handles and handles[0].kind == "checkout" else "opened"


def _for_work(finding: Finding) -> str:
    """` (GET /users)`: the one request, task or job for which the handles were opened, unless the message names it."""
    work = work_of(finding.handles)
    return f" ({work})" if work and work != finding.scope else ""


def database_name(database: Database) -> str:
    """`app@127.0.0.1/shop`, with the port unless it is the standard port; for a file, the path from `shown_path`."""
    if not database.host:
        name = shown_path(database.name) if database.name.startswith(("/", "\\")) else database.name
        return name or database.text
    user = f"{database.user}@" if database.user else ""
    usual = database.port is None or database.port == _STANDARD_PORTS.get(database.system)
    host = database.host if usual else f"{database.host}:{database.port}"
    return f"{user}{host}/{database.name}"


def named_database(text: str) -> str:
    """The same name from the text of a `Database`, as journals have it: `postgresql://app@127.0.0.1:5432/shop`."""
    system, _, rest = text.partition("://")
    where, slash, name = rest.partition("/")
    if not slash or not name:
        return text
    if not where:
        return shown_path(name)
    return f"{where.removesuffix(f':{_STANDARD_PORTS.get(system)}')}/{name}"


def _databases(finding: Finding) -> str:
    name = database_name(finding.database)
    others = len({handle.database.text for handle in finding.handles} - {finding.database.text})
    return f"{name} and {others} other{plural(others)}" if others else name


def _again(finding: Finding) -> str:
    if finding.times > 1:
        return f" ({finding.times} times)"
    return f" (×{finding.since} since)" if finding.since and finding.adds_up else ""


# --- the report ---------------------------------------------------------------------------------------------------


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
    except Exception as error:  # noqa: BLE001 - as above: the first line is told, and the other findings
        faults.note(error, "whoholds.report")
        below = [f"  The rest of this report cannot be shown ({type(error).__name__})."]
    return "\n".join([f"whoholds: {first or message(finding)}", *below])


_finding.as_message = message
_finding.as_report = text


def _below(
    finding: Finding, *, source: bool, most_frames: int, before: Sequence[str], known: Container[str]
) -> list[str]:
    """The lines of the report below the first line."""
    lines = []
    if finding.error:
        lines.append(f"    {redact(finding.error)}")
    if before:
        lines.append(f"  Reported before, for the same connections: {', '.join(before)}.")
    lines += _who(finding, source=source)
    if not finding.parts and finding.handles and not before:
        lines += _stack("how it was opened", finding.handles[0].origin, most_frames)
    for name, origin in finding.stacks:
        lines += _stack(name, origin, most_frames)
    if not finding.states:  # else it says what ran at that earlier instant
        lines += _last_statements(finding.handles, finding.now)
    for sentence in (*finding.why, *finding.advice):
        if sentence not in known:
            lines += paragraph(redact(sentence))
    return lines


def _who(finding: Finding, *, source: bool) -> list[str]:
    """The lines on the groups of handles, on those who wait, and on the second line of the finding."""
    lines: list[str] = []
    doing = dict(finding.doing)
    # a connection that a child inherited before any look has no line of its own yet: the detector has found it
    parts = finding.parts or parts_of(finding.handles, lambda handle: handle.site or finding.site)
    for part in parts[:SHOWN_PARTS]:
        lines += _part(part, finding.now, doing, dict(finding.states), source=source)
    if len(parts) > SHOWN_PARTS:
        rest = parts[SHOWN_PARTS:]
        lines.append(f"   and {sum(part.count for part in rest)} more from {len(rest)} other lines")
    for asking in finding.waiting[:SHOWN_PARTS]:
        lines += _asking(asking, source=source)
    also = finding.also
    if also is not None and rule_of(finding.rule).also_below:
        lines.append(f"        also     {also.what} at {_where(also.site.frame, source=source)}")
    return lines


def paragraph(sentence: str, indent: str = "  ") -> list[str]:
    """The sentence as indented lines of at most `COLUMNS` columns; words and `code` are not broken.

    What follows a line end in the sentence, such as a query to copy, keeps its own lines, indented further.
    """
    words, *verbatim = sentence.split("\n")
    lines = textwrap.wrap(
        _CODE.sub(lambda code: code[0].replace(" ", _NO_BREAK), words),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(line.replace(_NO_BREAK, " ") for line in lines), *(f"{indent}    {line}" for line in verbatim)]


def stamped(report: str, wall: float, pid: int) -> str:
    """The report with local time and process id at the end of its first line, for stderr, which adds neither.

    `wall` is in seconds since the epoch.
    """
    first, newline, rest = report.partition("\n")
    at = datetime.fromtimestamp(wall).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006 - as the machine's own logs
    return f"{first} [{at}, process {pid}]{newline}{rest}"


def _part(part: Part, now: float, doing: dict[Handle, Origin], states: dict[Handle, str], *, source: bool) -> list[str]:
    """The lines on one group: its count, opening line, spawn line, where its holders are, how long and who holds it.

    For what sessions borrowed, the line that made them stands below the opening line.
    """
    lines = []
    if part.site is not None:
        lines.append(f"{part.count:>6}  {verb_of(part.handles):<8} {_where(part.site.frame, source=source)}")
    made = made_at(part.handles, source=source)
    if made is not None:
        lines.append(f"        session  made at {_where(made, source=source)}")
    if part.spawned is not None:
        lines.append(f"        spawned  {_where(part.spawned.frame, source=source)}")
    work = work_of(part.handles)
    if work:
        lines.append(f"        for      {redact(work)}")
    places = _places(part, doing, states)
    lines += [f"        {'now' if place is places[0] else '':<9}{place}" for place in places]
    lines.append(f"        held     {_held(part, now)}{'' if places else _states(part, states)}")
    return lines


def _asking(asking: Asking, *, source: bool) -> list[str]:
    """The lines on those who wait at one line: their number, line, spawn line, how long they wait and who they are."""
    lines = []
    if asking.site is not None:
        waits = "wait" if asking.count > 1 else "waits"
        lines.append(f"{asking.count:>6}  {waits:<8} {_where(asking.site.frame, source=source)}")
    if asking.spawned is not None:
        lines.append(f"        spawned  {_where(asking.spawned.frame, source=source)}")
    seconds = f"for {'up to ' * (asking.count > 1)}{asking.longest_s:.1f} s"
    lines.append(f"        waiting  {seconds}{_by(asking.owners, asking.kind)}")
    return lines


def _where(frame: Frame, *, source: bool) -> str:
    place = f"{frame.place} in {frame.function}"
    return f"{place:<32}  {frame.source}".rstrip() if source and frame.source else place


def _places(part: Part, doing: dict[Handle, Origin], states: dict[Handle, str]) -> list[str]:
    """Where the holders are now, each place once: `31 threads at cars.py:51 in price_of, idle in transaction`."""
    holders: dict[tuple[str, str], list[Handle]] = {}
    for handle in part.handles:
        place = _users_place(doing.get(handle, ()))
        if place:
            holders.setdefault((place, states.get(handle) or _state(handle)), []).append(handle)
    counts = Counter({where: max(len(holders_of(group)), 1) for where, group in holders.items()})
    kind = kind_of_owners(part.handles)
    several = len(holders_of(part.handles)) > 1
    said = [
        f"{f'{count} {kind}{plural(count)} ' if several else ''}at {place}, {state}"
        for (place, state), count in counts.most_common(SHOWN_PLACES)
    ]
    rest = sum(counts.values()) - sum(count for _, count in counts.most_common(SHOWN_PLACES))
    if rest:
        said.append(f"{rest} {kind}{plural(rest)} elsewhere")
    return said


def plural(count: int) -> str:
    """The ending of a noun for so many: "s", or "" for one."""
    return "s" * (count != 1)


def _users_place(origin: Origin) -> str:
    """The innermost line of the user's code on a stack; empty if there is none."""
    if not origin:
        return ""
    index = user_index(origin)
    if kind_of(origin[index].co_filename):  # type: ignore[union-attr]  # even places hold code objects
        return ""
    frame = frame_at(origin, index, source=False)
    return f"{frame.place} in {frame.function}"


def _state(handle: Handle) -> str:
    inner = handle.parent or handle
    if inner.caller:
        return "in a statement"
    return "idle in transaction" if inner.in_transaction else "idle"


def _held(part: Part, now: float) -> str:
    """`for up to 12.4 s, by 35 threads, such as Thread-3 (load_cars)`."""
    longest = max((handle.held_s(now) for handle in part.handles), default=0.0)
    by = _by(part.owners, kind_of_owners(part.handles), len(holders_of(part.handles)))
    return f"for {'up to ' * (part.count > 1)}{longest:.1f} s{by}"


def _by(names: Iterable[str], kind: str, count: int = 0) -> str:
    """`, by 35 threads, such as Thread-3`: `count` owners, of which several may have one name, or one for each name."""
    owners = sorted(names, key=_naturally)
    if owners and max(count, len(owners)) > 1:
        return f", by {max(count, len(owners))} {kind}s, such as {redact(owners[0])}"
    return f", by {redact(owners[0])}" if owners else ", by an unknown owner"


def _states(part: Part, states: dict[Handle, str]) -> str:
    """`; 31 idle in transaction, 1 in a statement`, for holders whose present lines are not known."""
    counts = Counter(states.get(handle) or _state(handle) for handle in part.handles if handle.open or states)
    said = [f"{count} {state}" if part.count > 1 else state for state, count in counts.most_common() if state != "idle"]
    return f"; {', '.join(said)}" if said else ""


def _naturally(name: str) -> list[tuple[int, str]]:
    """A key that sorts `Task-2` before `Task-10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _stack(title: str, origin: Origin, most: int) -> list[str]:
    """The lines of a stack with at most `most` frames of the user's code; runs of library frames become one line each.

    Empty if there is no frame of the user's code, or if the stack would only repeat the opening line.
    """
    shown = frames(origin, source=False)
    users = [frame for frame in shown if not kind_of(frame.file)]
    if len(users) <= 1 and title.startswith("how"):
        return []
    lines = [f"  {redact(title)}:"]
    folded = 0
    count = 0
    for frame in shown:
        if kind_of(frame.file):
            folded += 1
            continue
        if folded:
            lines.append(f"    … {folded} library frame{'s' * (folded > 1)}")
            folded = 0
        lines.append(f"    {frame.place} in {frame.function}")
        count += 1
        if count == most:
            break
    return lines if count else []


def _last_statements(handles: Sequence[Handle], now: float) -> list[str]:
    """The lines on the last few statements of the oldest handle, newest first; empty if there are none.

    For each statement: seconds since its end, verb and table, and its duration in milliseconds.
    """
    from whoholds.text.sql import summary

    for handle in handles[:1]:
        statements = [
            f"{max(now - started - seconds, 0.0):.1f} s ago: {redact(summary(sql)) or 'a statement'}, "
            f"took {seconds * 1000:.0f} ms"
            for sql, started, seconds in reversed(handle.statements[-SHOWN_STATEMENTS:])
        ]
        oldest = " of the oldest" if len(handles) > 1 else ""
        if len(statements) > 1:
            return [f"  last statements{oldest}:", *(f"    {statement}" for statement in statements)]
        if statements:
            return [f"  last statement{oldest}: {statements[0]}"]
    return []


# --- who holds what now -------------------------------------------------------------------------------------------


def holders_text(
    handles: Iterable[Handle], now: float, *, doing: dict[Handle, Origin] | None = None, source: bool = True
) -> str:
    """Who holds what now, grouped by database, opening line and spawn line; "" if nothing is held.

    `doing` has the live stacks of the holders, as far as they are known. `now` is a time of the ledger's clock.
    """
    by_database: dict[str, list[Handle]] = {}
    for handle in handles:
        by_database.setdefault(database_name(handle.database), []).append(handle)
    lines: list[str] = []
    for database, group in sorted(by_database.items(), key=lambda item: -len(item[1])):
        lines.append(f"whoholds: {len(group)} {_noun(group[0].kind, len(group))} open to {database}")
        for part in parts_of(group):
            lines += _part(part, now, doing or {}, {}, source=source)
            lines += [f"      {line}" for line in _last_statements(part.handles, now)]
    return "\n".join(lines)
