"""Groups of handles, and of requests that wait, as lines of a report: which line, started where, by whom, how long."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from whoholds.analysis.asking import kind_of_owners
from whoholds.analysis.blame import kind_of, user_index
from whoholds.analysis.finding import holders_of, made_at
from whoholds.analysis.frames import frame_at
from whoholds.analysis.work import work_of
from whoholds.reporting.words import plural, verb_of
from whoholds.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.asking import Asking
    from whoholds.analysis.finding import Part
    from whoholds.analysis.frames import Frame
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin

SHOWN_PLACES = 4  # lines at which holders are now, the most frequent first


def part_lines(
    part: Part, now: float, doing: dict[Handle, Origin], states: dict[Handle, str], *, source: bool
) -> list[str]:
    """The lines on one group: its count, opening line, spawn line, where its holders are, how long and who holds it.

    For what sessions borrowed, the line that made them stands below the opening line.
    """
    lines = []
    if part.site is not None:
        lines.append(f"{part.count:>6}  {verb_of(part.handles):<8} {line_and_source(part.site.frame, source=source)}")
    made = made_at(part.handles, source=source)
    if made is not None:
        lines.append(f"        session  made at {line_and_source(made, source=source)}")
    if part.spawned is not None:
        lines.append(f"        spawned  {line_and_source(part.spawned.frame, source=source)}")
    work = work_of(part.handles)
    if work:
        lines.append(f"        for      {redact(work)}")
    places = _places(part, doing, states)
    lines += [f"        {'now' if place is places[0] else '':<9}{place}" for place in places]
    lines.append(f"        held     {_held(part, now)}{'' if places else _states(part, states)}")
    return lines


def asking_lines(asking: Asking, *, source: bool) -> list[str]:
    """The lines on those who wait at one line: their number, line, spawn line, how long they wait and who they are."""
    lines = []
    if asking.site is not None:
        waits = "wait" if asking.count > 1 else "waits"
        lines.append(f"{asking.count:>6}  {waits:<8} {line_and_source(asking.site.frame, source=source)}")
    if asking.spawned is not None:
        lines.append(f"        spawned  {line_and_source(asking.spawned.frame, source=source)}")
    seconds = f"for {'up to ' * (asking.count > 1)}{asking.longest_s:.1f} s"
    lines.append(f"        waiting  {seconds}{_by(asking.owners, asking.kind)}")
    return lines


def line_and_source(frame: Frame, *, source: bool) -> str:
    """`shop/cars.py:42 in load_cars`, and with `source` the text of that line beside it, if it is known."""
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
    return f"for up to {max(longest, 0.1):.1f} s{by}" if part.count > 1 else f"for {longest:.1f} s{by}"


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
