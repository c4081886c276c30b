"""Asking: the requests that wait for a pool at one line, as a `Part` has the handles of one line. A value."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.sites import Site, Sites
    from whoholds.ledger.handle import Handle, Pool, Request
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner, Spawn


class Wait(NamedTuple):
    """A request that waited for a pool at the moment of a look.

    A copy: a look must not keep the request itself, which waits as long as somebody has it.
    """

    pool: Pool
    owner: Owner | None
    origin: Origin
    began: float  # seconds of the ledger's clock

    @classmethod
    def of(cls, requests: Iterable[Request]) -> tuple[Wait, ...]:
        """The waits of these requests; those of a server's connection are left out."""
        return tuple(
            [cls(each.pool, each.owner, each.origin, each.began) for each in requests if each.pool is not None]
        )


@dataclass(frozen=True)
class Asking:
    """The requests that wait at one line for one pool, of owners that one line started; the longest wait first."""

    requests: tuple[Wait, ...]
    site: Site | None
    spawn: Spawn | None
    longest_s: float

    @property
    def count(self) -> int:
        """The number of requests."""
        return len(self.requests)

    @property
    def spawned(self) -> Site | None:
        """The line that started the owners; None for the main thread outside any task."""
        return self.spawn.site if self.spawn else None

    @property
    def owners(self) -> tuple[str, ...]:
        """The names of the owners, those who wait longest first."""
        names = [shown_name(request.owner.name) for request in self.requests if request.owner is not None]
        return tuple(dict.fromkeys(names))

    @property
    def kind(self) -> str:
        """`thread`, `task`, …: what the owners are; `owner` if they are not all of one kind."""
        return kind_of_owners(self.requests)


def asking(requests: Iterable[Wait], now: float, sites: Sites) -> tuple[Asking, ...]:
    """The requests grouped by asking line and spawn line, the largest group first."""
    groups: dict[tuple[Site | None, Site | None], list[Wait]] = {}
    for request in sorted(requests, key=attrgetter("began")):
        spawn = request.owner.spawn if request.owner else None
        line = sites.of(request.origin) if request.origin else None
        groups.setdefault((line, spawn.site if spawn else None), []).append(request)
    askings = [
        Asking(tuple(group), line, group[0].owner.spawn if group[0].owner else None, now - group[0].began)
        for (line, _), group in groups.items()
    ]
    return tuple(sorted(askings, key=lambda group: -group.count))


def owners_of(held: Iterable[Handle | Wait | Request]) -> set[Owner]:
    """The owners; of what a worker thread holds or asks for a task, the task."""
    return {each.owner.whole for each in held if each.owner is not None}


def kind_of_owners(held: Iterable[Handle | Wait]) -> str:
    """`thread`, `task`, `worker`, …: what the owners are; `owner` if they are not all of one kind."""
    kinds = {each.owner.kind for each in held if each.owner is not None}
    return {"job": "worker"}.get(*kinds, *kinds) if len(kinds) == 1 else "owner"
