"""Builds the records of groups of handles: which line, started where, by whom, how long, and where the holders are now.

The lines of a report (`groups`) and the description of a process are made from these records and from nothing else.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from whoholds.analysis.asking import kind_of_owners
from whoholds.analysis.blame import kind_at, user_index
from whoholds.analysis.finding import holders_of, made_at, naturally, not_looked_at, owner_names
from whoholds.analysis.frames import frame_at
from whoholds.analysis.work import work_of
from whoholds.ledger.handle import UNSEEN
from whoholds.reporting.stacks import statement_records
from whoholds.text.redact import redact, shown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.analysis.finding import Part
    from whoholds.analysis.frames import Frame
    from whoholds.analysis.sites import Site
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin

OWNERS = 10  # names that a group lists
NAMED = 200  # handles, the oldest, among whose owners they are
IN_A_STATEMENT, IN_TRANSACTION, IDLE = "in a statement", "idle in transaction", "idle"
# if the calls on a connection are not seen: idle or not
IN_A_TRANSACTION, NOT_IN_ONE, NOT_KNOWN = "in a transaction", "not in a transaction", "in an unknown state"


def group_record(
    part: Part, now: float, doing: dict[Handle, Origin], states: dict[Handle, str], *, source: bool = True
) -> dict[str, Any]:
    """One group as a JSON-ready object; docs/dump.md describes its fields.

    `now` is a time of the ledger's clock, `doing` has the live stacks of the holders that were looked at, and
    `states` the states of the handles at an earlier instant, if the group is about that instant.
    """
    handles = part.handles
    names = sorted(owner_names(handles[:NAMED]), key=naturally)
    return {
        "count": part.count,
        "kind": handles[0].kind if handles else "connection",
        "opened": _line(part.site, source=source),
        "referrer": redact(part.site.text) if part.site is not None and not part.site.origin else None,
        "made": located(made_at(handles, source=source)),
        "spawned": _line(part.spawned, source=source),
        "work": shown_name(work_of(handles)),
        "longest_s": round(max((handle.held_s(now) for handle in handles), default=0.0), 3),
        "owner_kind": kind_of_owners(handles),
        "owner_count": max(len(holders_of(handles)), len(names)),
        "owners_ended": 0 if states else _ended(handles),
        "owners": names[:OWNERS],
        "states": dict(Counter(state_of(handle, states) for handle in handles if handle.open or states).most_common()),
        "now": _places(handles, doing, states),
        "not_looked_at": not_looked_at(handles, doing) if doing else 0,
        "statements": statement_records(handles, now),
    }


def _ended(handles: Sequence[Handle]) -> int:
    """How many of the owners have ended, although what they opened is still open."""
    return len(holders_of(handle for handle in handles if handle.open and handle.owner and handle.owner.ended_at))


def _line(site: Site | None, *, source: bool) -> dict[str, Any] | None:
    return located(site.frame, source=source) if site is not None and site.origin else None


def located(frame: Frame | None, *, source: bool = True) -> dict[str, Any] | None:
    """A frame as the records of the journal have it, and its `place` as a person reads it here; None of no frame."""
    if frame is None:
        return None
    return {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
        "source": frame.source if source else "",
        "place": frame.place,
    }


def state_of(handle: Handle, states: dict[Handle, str]) -> str:
    """`idle`, `idle in transaction` or `in a statement`: now, or at the earlier instant that `states` is about.

    For a connection whose calls are not seen, only whether a transaction is open is known.
    """
    if states.get(handle):
        return states[handle]
    inner = handle.parent or handle
    if inner.referrer is not None and inner.in_transaction is None and not inner.calls:
        return NOT_KNOWN
    if inner.referrer is not None and inner.caller == UNSEEN:
        return IN_A_TRANSACTION if inner.in_transaction else NOT_IN_ONE
    if inner.caller:
        return IN_A_STATEMENT
    return IN_TRANSACTION if inner.in_transaction else IDLE


def users_line(origin: Origin) -> Frame | None:
    """The innermost line of the user's code on a stack; None if there is none."""
    if not origin:
        return None
    index = user_index(origin)
    if kind_at(origin, index):
        return None
    return frame_at(origin, index, source=False)


def _places(handles: Sequence[Handle], doing: dict[Handle, Origin], states: dict[Handle, str]) -> list[dict[str, Any]]:
    """Where the holders are now, each line and state once with the number of holders, the most frequent first."""
    holders: dict[tuple[Frame, str], list[Handle]] = {}
    lines: dict[int, Frame | None] = {}  # by id of a stack: one owner's handles, perhaps ten thousand, share one
    for handle in handles:
        stack = doing.get(handle, ())
        if id(stack) not in lines:
            lines[id(stack)] = users_line(stack)
        line = lines[id(stack)]
        if line is not None:
            holders.setdefault((line, state_of(handle, states)), []).append(handle)
    counts = Counter({where: max(len(holders_of(group)), 1) for where, group in holders.items()})
    return [{"count": count, "at": located(line), "state": state} for (line, state), count in counts.most_common()]
