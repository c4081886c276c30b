"""A server's state in words and as data: how many slots, who blocks whom, and who holds what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from whoholds.servers.blocking import trees_of
from whoholds.servers.state import HIDDEN, HOLDING, IDLE, IDLE_IN_TRANSACTION, RUNNING, WAITING, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.servers.blocking import Tree
    from whoholds.servers.state import Session, State

_LONGEST = {  # what is said of the longest in a state
    IDLE_IN_TRANSACTION: "the longest for {}",
    WAITING: "the longest for {}",
    HOLDING: "the last statement of one was sent {} ago",
}
_STATES = (IDLE_IN_TRANSACTION, WAITING, HOLDING, RUNNING, IDLE, HIDDEN)
_SHOWN = 20  # groups in the text, and connections below one that blocks
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Group:
    """The connections of one program, from one opening line and one host."""

    def __init__(self, sessions: list[Session]) -> None:
        self.sessions = sessions
        self.states = Counter(one.state for one in sessions)
        self.longest_s = {
            state: _most([one.state_s for one in sessions if one.state == state]) for state in self.states
        }
        self.oldest_s = _most([one.age_s for one in sessions])

    @property
    def urgency(self) -> tuple[int, ...]:
        """Idle in transaction first, or those that wait for PgBouncer and that keep it busy, then the largest."""
        return self.states[IDLE_IN_TRANSACTION], self.states[WAITING], self.states[HOLDING], len(self.sessions)

    def as_data(self) -> dict[str, Any]:
        """The group for `--json`."""
        first = self.sessions[0]
        return {
            "count": len(self.sessions),
            "program": shown(first.program),
            "opened": shown(first.line) or None,
            "host": first.host or None,
            "users": sorted({one.user for one in self.sessions}),
            "databases": sorted({one.database for one in self.sessions}),
            "states": {state: self.states[state] for state in _STATES if self.states[state]},
            "longest_idle_in_transaction_s": self.longest_s.get(IDLE_IN_TRANSACTION),
            "oldest_s": self.oldest_s,
            "pids": sorted(one.pid for one in self.sessions if one.pid),
        }


def groups_of(sessions: Iterable[Session]) -> list[Group]:
    """The connections in groups, the most urgent first. Untagged ones are grouped by what there is."""
    found: dict[tuple[str, ...], list[Session]] = {}
    for one in sessions:
        key = (one.name or f"\0{one.user}\0{one.database}", one.host)
        found.setdefault(key, []).append(one)
    return sorted(map(Group, found.values()), key=lambda group: group.urgency, reverse=True)


def as_data(state: State) -> dict[str, Any]:
    """The state for `--json`."""
    return {
        "server": state.server,
        "where": state.where,
        "slots": state.slots,
        "used": state.used,
        "free": state.free,
        "reserved": [one._asdict() for one in state.reserves],
        "limits": [one._asdict() for one in state.limits],
        "hidden": state.hidden,
        "remarks": list(map(shown, state.remarks)),
        "no_transactions": state.no_transactions,
        "groups": [group.as_data() for group in groups_of(state.sessions)],
        "blocking": [tree.as_data() for tree in trees_of(state)],
    }


def lines_of(state: State) -> Iterator[str]:
    """The state as a person reads it, line by line."""
    yield f"{shown(state.server)} at {shown(state.where)}: {_slots(state)}"
    for limit in state.limits:
        yield limit.sentence
    if state.hidden:
        many = f"{_count(state.hidden, 'connection')} of others {'does' if state.hidden == 1 else 'do'}"
        yield f"You may not see what {many}: {state.rights}."
    if state.no_transactions:
        yield f"You may not see who is idle in a transaction, nor who blocks whom: {state.rights}."
    yield from ("", *map(shown, state.remarks)) if state.remarks else ()
    yield from _blocking(state)
    yield from _holding(state)
    yield from _advice(state)


def _slots(state: State) -> str:
    taken = f"{state.used} of {state.slots} {state.noun} {_are(state.used)} in use, this one included"
    free = f"{state.free} {_are(state.free)} free"
    reserved = [f"{one.slots} {_are(one.slots)} reserved for {one.whom}" for one in state.reserves]
    return f"{taken}; {', '.join([free, *reserved])}."


def _blocking(state: State) -> Iterator[str]:
    trees = trees_of(state)
    if trees:
        yield ""
        yield "Who blocks whom:"
    for tree in trees[:_SHOWN]:
        lines = list(_lines(tree, 0))
        yield from lines[: _SHOWN + 1]
        if len(lines) > _SHOWN + 1:
            yield f"      … and {len(lines) - _SHOWN - 1} more, which --json lists"
    if len(trees) > _SHOWN:
        yield f"  … and {len(trees) - _SHOWN} more that block others, which --json lists"


def _lines(tree: Tree, depth: int) -> Iterator[str]:
    yield f"  {'    ' * depth}{_who(tree)}"
    for after in tree.waiting:
        yield from _lines(after, depth + 1)


def _who(tree: Tree) -> str:
    one, blocks = tree.session, f", blocks {tree.blocks}" if tree.waiting else ""
    if one is None:  # a prepared transaction has 0
        return f"{f'process {tree.pid}' if tree.pid else 'a prepared transaction, which has no process'}{blocks}"
    doing = "waits for a lock" if one.state == RUNNING and one.blocked_by else one.state
    since = f" for {_duration(one.state_s)}" if one.state_s is not None else ""
    return f"{_label(one)}, {doing}{since}{blocks} (process {one.pid})"


def _label(one: Session) -> str:
    """The opening line and host of a connection; without a line what there is."""
    line, program = shown(one.line), shown(one.program)
    what = f"{line} ({program})" if line else program or f"no name, user {shown(one.user)}"
    return f"{what} on {shown(one.host)}" if one.host else what


def _holding(state: State) -> Iterator[str]:
    groups = groups_of(state.sessions)
    if not groups:
        return
    yield ""
    yield f"{state.order}:"
    for group in groups[:_SHOWN]:
        first = group.sessions[0]
        users = sorted({shown(f"{one.user or '?'} to {one.database or 'no database'}") for one in group.sessions})
        yield f"{len(group.sessions):>6}  {_label(first)}"
        yield f"        {'; '.join([_states(group), *_oldest(group), ', '.join(f'as {one}' for one in users)])}"
    rest = groups[_SHOWN:]
    if rest:
        many = sum(len(group.sessions) for group in rest)
        yield f"{many:>6}  in {_count(len(rest), 'smaller group')}, which --json lists"


def largest_of(sessions: Iterable[Session], most: int) -> list[str]:
    """The `most` largest groups, as `40  shop/cars.py:42 in load_cars (shop.py) on web-3`; and a line on the rest."""
    groups = sorted(groups_of(sessions), key=lambda group: -len(group.sessions))
    lines = [f"{len(group.sessions):>4}  {_label(group.sessions[0])}" for group in groups[:most]]
    rest = sum(len(group.sessions) for group in groups[most:])
    return [*lines, *([f"{rest:>4}  in {_count(len(groups) - most, 'smaller group')}"] if rest else [])]


def _states(group: Group) -> str:
    parts = []
    for state in _STATES:
        if group.states[state]:
            longest = f", {_LONGEST[state].format(_duration(group.longest_s[state]))}" if state in _LONGEST else ""
            parts.append(f"{group.states[state]} {state}{longest}")
    return "; ".join(parts)


def _oldest(group: Group) -> list[str]:
    return [f"oldest opened {_duration(group.oldest_s)} ago"] if group.oldest_s is not None else []


def _advice(state: State) -> Iterator[str]:
    idle = [one for one in state.sessions if one.state == IDLE_IN_TRANSACTION]
    blocking = [tree.pid for tree in trees_of(state) if tree.session in idle]
    unnamed = sum(not one.line for one in state.sessions)
    if idle or unnamed:
        yield ""
    if idle:
        worst = max(idle, key=lambda one: one.state_s or 0)
        end = state.can_end.format(blocking[0] if blocking else worst.pid)
        yield "An idle transaction keeps its locks until its program commits, rolls back or ends."
        yield f"whoholds ends no connection. To end one yourself (its program gets an error):  {end}"
    if unnamed:
        many = f"{_count(unnamed, 'connection')} {'has' if unnamed == 1 else 'have'}"
        yield f"{many} no opening line: start the programs with WHOHOLDS=1 WHOHOLDS_TAG=1."


def _most(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    for size, unit in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
