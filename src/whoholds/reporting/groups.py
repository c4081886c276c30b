"""Groups of handles, and of requests that wait, as lines of a report: which line, started where, by whom, how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.analysis.asking import owners_of
from whoholds.analysis.finding import naturally
from whoholds.reporting.group_records import group_record, located
from whoholds.reporting.stacks import statement_lines
from whoholds.reporting.words import at_least, by_names, by_owners, opening_verb, recorded_place, some_owners
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from whoholds.analysis.asking import Asking
    from whoholds.analysis.finding import Part
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin

SHOWN_PLACES = 4  # lines at which holders are now, the most frequent first


def part_lines(
    part: Part, now: float, doing: dict[Handle, Origin], states: dict[Handle, str], *, source: bool
) -> list[str]:
    """The lines on one group of a finding; `group_record` says what it takes."""
    group = group_record(part, now, doing, states, source=source)
    return group_lines({**group, "unkept": part.unkept, "more_owners": part.more_owners})


def group_lines(group: dict[str, Any], *, statements: bool = False) -> list[str]:
    """The lines on one group: its count, opening line, spawn line, where its holders are, how long and who holds it.

    For what sessions borrowed, the line that made them stands below the opening line. With `statements`, the last
    statements of the oldest handle follow. If not all of its handles were kept, the group says so: `unkept` and
    `more_owners`, as in a `Part`.
    """
    lines = []
    if group["referrer"] is not None:
        lines.append(f"{group['count']:>6}  {'held at':<8} {group['referrer']}")
        lines.append("        opened   before whoholds came")
    if group["opened"] is not None:
        lines.append(f"{group['count']:>6}  {opening_verb(group['kind']):<8} {line_and_source(group['opened'])}")
    if group["made"] is not None:
        lines.append(f"        session  made at {line_and_source(group['made'])}")
    if group["spawned"] is not None:
        lines.append(f"        spawned  {line_and_source(group['spawned'])}")
    if group["work"]:
        lines.append(f"        for      {group['work']}")
    places = _places(group)
    lines += [f"        {'now' if place is places[0] else '':<9}{place}" for place in places]
    lines += _held_line(group, "" if places else _states(group))
    if statements:
        lines += [f"      {line}" for line in statement_lines(group["statements"], several=group["count"] > 1)]
    return lines


def asking_lines(asking: Asking, *, source: bool) -> list[str]:
    """The lines on those who wait at one line: their number, line, spawn line, how long they wait and who they are."""
    lines = []
    if asking.site is not None:
        waits = "wait" if asking.count > 1 else "waits"
        asked = line_and_source(located(asking.site.frame, source=source))
        lines.append(f"{asking.count:>6}  {waits:<8} {asked}")
    if asking.spawned is not None:
        lines.append(f"        spawned  {line_and_source(located(asking.spawned.frame, source=source))}")
    seconds = f"for {'up to ' * (asking.count > 1)}{asking.longest_s:.1f} s"
    owners = [shown_name(name) for name in sorted(asking.owners, key=naturally)]
    count = max(len(owners_of(asking.requests)), len(owners))
    lines.append(f"        waiting  {seconds}{by_names(owners, asking.kind, count)}")
    return lines


def line_and_source(line: dict[str, Any] | None) -> str:
    """`shop/cars.py:42 in load_cars`, and the text of that line beside it, if the record has it; "" for no line."""
    if line is None:
        return ""
    place = recorded_place(line)
    return f"{place:<32}  {line['source']}".rstrip() if line["source"] else place


def _places(group: dict[str, Any]) -> list[str]:
    """Where the holders are now, each place once: `31 threads at cars.py:51 in price_of, idle in transaction`."""
    several = group["owner_count"] > 1
    said = [
        f"{some_owners(place['count'], group) if several else ''} at {recorded_place(place['at'])}, {place['state']}"
        for place in group["now"][:SHOWN_PLACES]
    ]
    rest = sum(place["count"] for place in group["now"][SHOWN_PLACES:])
    if rest:
        said.append(f"{some_owners(rest, group)} elsewhere")
    return [place.lstrip() for place in said]


def _held_line(group: dict[str, Any], states: str) -> list[str]:
    """How long, by whom and in which state; no line if nothing of it is known of connections opened before."""
    if group["referrer"] is None:
        return [f"        held     {_held(group)}{states}"]
    longest = group["longest_s"]
    seconds = f", for at least {longest:.1f} s" if longest >= 1 else ""
    by = by_owners(group) if group["owners"] else ""
    said = f"{seconds}{by}{states}".lstrip(",; ")
    return [f"        {'held ' if seconds or by else 'state'}    {said}"] if said else []


def _held(group: dict[str, Any]) -> str:
    """`for up to 12.4 s, by 35 threads, such as Thread-3 (load_cars)`."""
    longest = group["longest_s"]
    by = by_owners(group)
    return f"for up to {max(longest, 0.1):.1f} s{by}" if group["count"] > 1 else f"for {longest:.1f} s{by}"


def _states(group: dict[str, Any]) -> str:
    """`; 31 idle in transaction, 1 in a statement`, for holders whose present lines are not known."""
    several = group["count"] > 1
    least = at_least(group.get("unkept"))
    said = [
        f"{least}{count} {state}" if several else state for state, count in group["states"].items() if state != "idle"
    ]
    return f"; {', '.join(said)}" if said else ""
