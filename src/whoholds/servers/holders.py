"""Who holds a connection within its own process: the line that opened or borrowed it, the owner, and where that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import naturally
from whoholds.servers.state import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.servers.state import Holder, Session

_OWNERS = 2  # that a line names


def holders_data(sessions: Iterable[Session]) -> list[dict[str, Any]]:
    """The holders of these connections for `--json`, with the number of the connection on the server as `pid`."""
    return [{"pid": session.pid, **session.holder._asdict()} for session in sessions if session.holder is not None]


def holder_lines(sessions: Iterable[Session], indent: str, most: int) -> list[str]:
    """The holders of these connections, a line for each process, opening line and place: the `most` frequent first."""
    groups: dict[tuple[int, str, str], list[Session]] = {}
    for session in sessions:
        if session.holder is not None:
            groups.setdefault((session.holder.process, _taken(session, session.holder), session.holder.now), []).append(
                session
            )
    keys = sorted(groups, key=lambda key: (-len(groups[key]), key))
    lines = [f"{indent}{_said(groups[key], *key)}" for key in keys[:most]]
    rest = sum(len(groups[key]) for key in keys[most:])
    return [*lines, *([f"{indent}… and {rest} more, which --json lists"] if rest else [])]


def _taken(session: Session, holder: Holder) -> str:
    """`borrowed at shop/cars.py:42 in load_cars`; `held` if the line is known from the name on the server."""
    if holder.kind != "checkout" and holder.opened == session.line:
        return "held"
    return f"{'borrowed' if holder.kind == 'checkout' else 'opened'} at {holder.opened}"


def _said(sessions: list[Session], process: int, taken: str, now: str) -> str:
    holders = [session.holder for session in sessions if session.holder is not None]
    owners = sorted({holder.owner for holder in holders if holder.owner}, key=naturally)
    by = f" by {', '.join(owners[:_OWNERS])}{', …' if len(owners) > _OWNERS else ''}" if owners else ""
    works = {holder.work for holder in holders if holder.work and holder.owner not in holder.work}  # not `thread NAME`
    work = f" for {works.pop()}" if len(works) == 1 else ""
    where = f", now at {now}" if now else ""
    many = f"{len(holders)} " if len(holders) > 1 else ""
    return shown(f"here, process {process}: {many}{taken}{by}{work}{where}")
