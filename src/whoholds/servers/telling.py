"""A server's state in words and as data: how many slots, who blocks whom, and who holds what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from whoholds.reporting.words import are, number_of, roughly
from whoholds.servers.blocking import lines_of_trees, trees_of
from whoholds.servers.holders import holder_lines, holders_data
from whoholds.servers.state import HIDDEN, HOLDING, IDLE, IDLE_IN_TRANSACTION, RUNNING, WAITING, shown
from whoholds.servers.words import hosts_of, label, largest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from whoholds.servers.blocking import Tree
    from whoholds.servers.state import Limit, Session, State

_LONGEST = {  # what is said of the longest in a state
    IDLE_IN_TRANSACTION: "the longest for {}",
    WAITING: "the longest for {}",
    HOLDING: "last statement sent up to {} ago",
}
_STATES = (IDLE_IN_TRANSACTION, WAITING, HOLDING, RUNNING, IDLE, HIDDEN)
_HOLDERS = 3  # lines on the holders of one group
_LIMITS = 5  # limits in the text
_URGENT, _SHOWN = 6, 12  # groups in the text: the most urgent, and with the largest of the others


class Group:
    """The connections of one program from one opening line, on all hosts."""

    def __init__(self, sessions: list[Session]) -> None:
        self.sessions = sessions
        self.hosts = hosts_of(sessions)
        self.states = Counter(session.state for session in sessions)
        self.longest_s = {
            state: largest([session.state_s for session in sessions if session.state == state]) for state in self.states
        }
        self.oldest_s = largest([session.age_s for session in sessions])

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
            "hosts": dict(self.hosts.most_common()),
            "users": sorted({session.user for session in self.sessions}),
            "databases": sorted({session.database for session in self.sessions}),
            "states": {state: self.states[state] for state in _STATES if self.states[state]},
            "longest_idle_in_transaction_s": self.longest_s.get(IDLE_IN_TRANSACTION),
            "oldest_s": self.oldest_s,
            "pids": sorted(session.pid for session in self.sessions if session.pid),
            "held_by": holders_data(self.sessions),
        }


def groups_of(sessions: Iterable[Session]) -> list[Group]:
    """The connections in groups, the most urgent first. Untagged ones are grouped by what there is."""
    named: dict[str, list[Session]] = {}
    for session in sessions:
        named.setdefault(session.name or f"\0{session.user}\0{session.database}", []).append(session)
    return sorted(map(Group, named.values()), key=lambda group: group.urgency, reverse=True)


def as_data(state: State) -> dict[str, Any]:
    """The state for `--json`."""
    return {
        "server": state.server,
        "where": state.where,
        "slots": state.slots,
        "used": state.used,
        "free": state.free,
        "reserved": [reserve._asdict() for reserve in state.reserves],
        "limits": [limit._asdict() for limit in state.limits],
        "hidden": state.hidden,
        "remarks": list(map(shown, state.remarks)),
        "no_transactions": state.no_transactions,
        "groups": [group.as_data() for group in groups_of(state.sessions)],
        "blocking": [tree.as_data() for tree in trees_of(state)],
    }


def lines_of(state: State) -> Iterator[str]:
    """The state as a person reads it, line by line."""
    yield f"{shown(state.server)} at {shown(state.where)}: {_slots(state)}"
    yield from _limits(state.limits)
    if state.hidden:
        many = f"{number_of(state.hidden, 'connection')} of others {'does' if state.hidden == 1 else 'do'}"
        yield f"You may not see what {many}: {state.rights}."
    if state.no_transactions and state.rights:
        yield f"You may not see who is idle in a transaction, nor who blocks whom: {state.rights}."
    yield from ("", *map(shown, state.remarks)) if state.remarks else ()
    trees = trees_of(state)
    yield from _blocking(trees)
    yield from _holding(state)
    yield from _advice(state, trees)


def _slots(state: State) -> str:
    taken = f"{state.used} of {state.slots} {state.noun} {are(state.used)} in use, this one included"
    free = f"{state.free} {are(state.free)} free"
    reserved = [f"{reserve.slots} {are(reserve.slots)} reserved for {reserve.whom}" for reserve in state.reserves]
    return f"{taken}; {', '.join([free, *reserved])}."


def _limits(limits: Sequence[Limit]) -> Iterator[str]:
    """The limits that are nearest to be reached, each in a sentence; of the others their number."""
    nearest = sorted(limits, key=lambda limit: limit.allowed - limit.used)
    yield from (limit.sentence for limit in nearest[:_LIMITS])
    others = len(limits) - _LIMITS
    if others > 0:
        yield f"{number_of(others, 'other limit')}, which --json lists, {are(others)} further from being reached."


def _blocking(trees: list[Tree]) -> Iterator[str]:
    if trees:
        yield ""
        yield "Who blocks whom:"
        yield from lines_of_trees(trees)


def _holding(state: State) -> Iterator[str]:
    groups = groups_of(state.sessions)
    if not groups:
        return
    yield ""
    yield f"{state.order}:"
    on_screen, others = _on_screen(groups)
    for group in on_screen:
        users = sorted(
            {shown(f"{session.user or '?'} to {session.database or 'no database'}") for session in group.sessions}
        )
        yield f"{len(group.sessions):>6}  {label(group.sessions)}"
        details = [_states(group), *_hosts(group), *_oldest(group), ", ".join(f"as {user}" for user in users)]
        yield f"        {'; '.join(details)}"
        yield from holder_lines(group.sessions, " " * 8, _HOLDERS)
    if others:
        many = sum(len(group.sessions) for group in others)
        yield f"{many:>6}  in {number_of(len(others), 'other group')}, which --json lists"


def _on_screen(groups: list[Group]) -> tuple[list[Group], list[Group]]:
    """The groups that a person reads first, and the others: small urgent ones must not hide a large one."""
    if len(groups) <= _SHOWN:
        return groups, []
    rest = sorted(groups[_URGENT:], key=lambda group: len(group.sessions), reverse=True)
    return groups[:_URGENT] + rest[: _SHOWN - _URGENT], rest[_SHOWN - _URGENT :]


def largest_of(sessions: Iterable[Session], most: int) -> list[str]:
    """The `most` largest groups, as `40  shop/cars.py:42 in load_cars (shop.py) on web-3`; and a line on the rest."""
    groups = sorted(groups_of(sessions), key=lambda group: -len(group.sessions))
    lines = [f"{len(group.sessions):>4}  {label(group.sessions)}" for group in groups[:most]]
    rest = sum(len(group.sessions) for group in groups[most:])
    return [*lines, *([f"{rest:>4}  in {number_of(len(groups) - most, 'smaller group')}"] if rest else [])]


def _states(group: Group) -> str:
    parts = []
    for state in _STATES:
        if group.states[state]:
            longest = f", {_LONGEST[state].format(roughly(group.longest_s[state]))}" if state in _LONGEST else ""
            parts.append(f"{group.states[state]} {state}{longest}")
    return "; ".join(parts)


def _hosts(group: Group) -> list[str]:
    """Which of several hosts has the most of them, unless all have as many."""
    ((host, held), *others) = group.hosts.most_common()
    uneven = others and others[-1][1] != held
    return [f"at most {held} on one host, {shown(host) or 'by a local socket'}"] if uneven else []


def _oldest(group: Group) -> list[str]:
    return [f"oldest opened {roughly(group.oldest_s)} ago"] if group.oldest_s is not None else []


def _advice(state: State, trees: list[Tree]) -> Iterator[str]:
    idle = [session for session in state.sessions if session.state == IDLE_IN_TRANSACTION]
    blocking = [tree.pids[0] for tree in trees if tree.sessions and tree.sessions[0].state == IDLE_IN_TRANSACTION]
    unnamed = sum(not session.line and session.holder is None for session in state.sessions)
    if idle or unnamed:
        yield ""
    if idle:
        worst = max(idle, key=lambda session: session.state_s or 0)
        end = state.can_end.format(blocking[0] if blocking else worst.pid)
        yield "An idle transaction keeps its locks until its program commits, rolls back or ends."
        yield f"whoholds ends no connection. To end one yourself (its program gets an error):  {end}"
    if unnamed:
        many = f"{number_of(unnamed, 'connection')} {'has' if unnamed == 1 else 'have'}"
        yield f"{many} no opening line: start the programs with WHOHOLDS=1 WHOHOLDS_TAG=1."
