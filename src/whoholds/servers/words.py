"""Words for the connections that a server lists, as the answers of `whoholds server` use them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from whoholds.servers.state import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.servers.state import Session


def hosts_of(sessions: Sequence[Session]) -> Counter[str]:
    """How many connections come from each host; "" stands for a local socket, and for a host that is hidden."""
    return Counter(session.host for session in sessions)


def label(sessions: Sequence[Session]) -> str:
    """The opening line that these connections share, or what there is without a line, and their host or hosts."""
    first = sessions[0]
    line, program = shown(first.line), shown(first.program)
    what = f"{line} ({program})" if line else program or f"no name, user {shown(first.user)}"
    hosts = [host for host in hosts_of(sessions) if host]
    where = f" on {shown(hosts[0]) if len(hosts) == 1 else f'{len(hosts)} hosts'}" if hosts else ""
    return f"{what}{where}"


def largest(values: list[float | None]) -> float | None:
    """The largest of the values that the server tells, or None."""
    return max((value for value in values if value is not None), default=None)
