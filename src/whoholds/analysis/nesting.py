"""Nestings: an owner asks for a second handle of one pool or database while it holds a first, exactly, from the stamps.

The second may have been lent, or refused, or the request for it may still wait. Where both were asked for at one line,
the stacks decide: a function that leaks on one path and comes by again is no nesting, as the first call has returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from whoholds.analysis.inside import has_callers, keeper_index
from whoholds.analysis.peaks import most_at_once
from whoholds.analysis.rules import BITS
from whoholds.ledger.handle import CHECKOUT, Handle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.analysis.sites import Site, Sites
    from whoholds.ledger.database import Database
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Pool, Request
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

    Lender = Pool | Database
    Key = tuple[Lender, Site | None, Site | None]

_NEVER = float("inf")
FEW = 3  # handles of one owner held at once that stand for all in looking for nestings
MANY = 1000  # pairs of lines that are remembered, and owners of each


class Nesting(NamedTuple):
    """One owner's second request while it held a first."""

    outer: Handle  # held
    inner: Handle | None  # lent meanwhile; None: the request waits, or was refused
    request: Request | None  # that waits or was refused
    lender: Lender
    asked_at: Site | None
    parts: tuple[Site, Site] | None  # where both lines are one: the lines at which their callers part, held and asked
    pair: Pair  # what is known of its two lines, this look included

    @property
    def nesters(self) -> int:
        """How many different owners have nested here, up to now."""
        return len(self.pair.owners)


@dataclass
class Pair:
    """What is known of two lines of which one asks while the other is held."""

    owners: set[int] = field(default_factory=set)  # that nested, by id
    held: list[Handle] = field(default_factory=list)  # first handles that are still held
    most: int = 0  # of them held at once


class Nestings:
    """What earlier looks saw of each pair of lines."""

    def __init__(self) -> None:
        self._pairs: dict[Key, Pair] = {}

    def take(self, taken: Entries, new: list[Handle], sites: Sites) -> list[Nesting]:
        """The nestings that came to light at this look."""
        groups: dict[Key, tuple[Pair, list[Nesting]]] = {}
        for outer, inner, lender in _lent(taken, new):
            site, asked_at, parts = outer.site, inner.site, None
            if asked_at is site:
                parts = parting(outer.origin, inner.origin, sites)
                if parts is None:
                    continue
            key = (lender, site, asked_at)
            found = groups.get(key)
            if found is None:
                found = groups[key] = (self._pairs.get(key) or Pair(), [])
            pair, group = found
            group.append(_new(Nesting, (outer, inner, None, lender, asked_at, parts, pair)))
        for outer, request, lender in _asked(taken):
            asked_at, parts = sites.of(request.origin) if request.origin else None, None
            if asked_at is outer.site:
                parts = parting(outer.origin, request.origin, sites)
                if parts is None:
                    continue
            request.told |= BITS["second-while-holding"]
            key = (lender, outer.site, asked_at)
            pair, group = groups.setdefault(key, (self._pairs.get(key) or Pair(), []))
            group.append(Nesting(outer, None, request, lender, asked_at, parts, pair))
        for key, (pair, group) in groups.items():
            self._count(key, pair, [nesting.outer for nesting in group])
        return [nesting for _, group in groups.values() for nesting in group]

    def _count(self, key: Key, pair: Pair, outers: list[Handle]) -> None:
        """The owners of `outers` have nested at the two lines of `key`."""
        if len(self._pairs) >= MANY and key not in self._pairs:
            self._pairs = {one: pair for one, pair in self._pairs.items() if any(held.open for held in pair.held)}
        self._pairs[key] = pair
        held = list(dict.fromkeys([*(one for one in pair.held if one.open), *outers]))
        pair.most = max(pair.most, len(most_at_once(_firsts(held))))
        pair.held = [one for one in held if one.closed_stamp is None][:MANY]
        pair.owners.update([id(_whole(outer)) for outer in set(outers[: MANY - len(pair.owners)])])


_new = tuple.__new__  # of ten thousand named tuples the constructor, a Python call for each, is a third of a look


def _firsts(held: Iterable[Handle]) -> list[Handle]:
    """One for each owner: what it held first."""
    first: dict[int, Handle] = {}
    for handle in held:
        first.setdefault(id(_whole(handle)), handle)
    return list(first.values())


def _lent(taken: Entries, new: list[Handle]) -> Iterator[tuple[Handle, Handle, Lender]]:
    """(held, lent meanwhile) for each new handle, by a sweep over each owner's handles."""
    owners = {handle.owner for handle in (*new, *taken.ended)}
    moved = {owner.whole for owner in owners if owner is not None}
    if not moved:
        return
    by_owner: dict[Owner, list[Handle]] = {}
    for handle in (*taken.ended, *taken.open):
        owner = handle.owner
        if owner is not None:
            owner = owner.part_of or owner
        if owner is not None and owner in moved and handle.must_be_returned:
            handles = by_owner.get(owner)
            if handles is None:
                by_owner[owner] = [handle]
            else:
                handles.append(handle)
    fresh = set(new)
    for handles in by_owner.values():
        if len(handles) > 1:
            yield from _overlaps(handles, fresh)


def _whole(handle: Handle) -> Owner | None:
    """Its owner; the task itself, where a worker thread opened it for a task."""
    owner = handle.owner
    return owner if owner is None else owner.part_of or owner


def _overlaps(handles: list[Handle], fresh: set[Handle]) -> Iterator[tuple[Handle, Handle, Lender]]:
    """(held, lent meanwhile, lender of both) among one owner's handles, for each `fresh` one.

    Of many held at once the `FEW` that were taken last stand for all.
    """
    held: list[Handle] = []
    for inner in sorted(handles, key=attrgetter("opened_stamp")):
        at = inner.opened_stamp
        if len(held) == 1 and (held[0].closed_stamp or _NEVER) <= at:
            held[0] = inner  # one after the other, as nearly always
            continue
        if held:
            held = [outer for outer in held if (outer.closed_stamp or _NEVER) > at][-FEW:]
            if inner in fresh:
                for outer in held:
                    lender = _lender_of_both(outer, inner)
                    if lender is not None:
                        yield outer, inner, lender
        held.append(inner)


def _lender_of_both(outer: Handle, inner: Handle) -> Lender | None:
    """The pool that lent both, or the database of both where others use it too."""
    if outer.pool is not None or inner.pool is not None:
        return outer.pool if outer.pool is inner.pool and outer.kind == inner.kind == CHECKOUT else None
    return inner.database if outer.database is inner.database and not outer.database.private else None


def _asked(taken: Entries) -> Iterator[tuple[Handle, Request, Lender]]:
    """(held, request) for each request that waits or was refused, and that no look has seen before."""
    asked: list[tuple[Request, Lender]] = [(one, one.pool) for one in taken.requests if one.pool is not None]
    for refusal in taken.refusals:
        lender = refusal.by_pool if refusal.by_pool is not None else refusal.database
        asked += [(request, lender) for request in refusal.requests]
    for request, lender in asked:
        if request.seen or request.owner is None:
            continue
        request.seen = True
        held = [
            one
            for one in (*taken.ended, *taken.open)
            if _whole(one) is request.owner.whole
            and one.must_be_returned
            and (one.pool or one.database) is lender
            and one.opened_at <= request.began < (one.closed_at or _NEVER)
        ]
        for outer in held[-FEW:]:
            yield outer, request, lender


def parting(held: Origin, asked: Origin, sites: Sites) -> tuple[Site, Site] | None:
    """The lines, of one function that is still on the stack, at which the first was taken and the second is asked for.

    Both stacks lead to the same line. None where they are one and the same, or where the function that took the
    first has returned: what it took is left open. A generator (`@contextmanager`) gives to its caller what it takes.
    """
    if held == asked:  # a loop that keeps what it opens: its stacks are one tuple, which `Sites` shares
        return None
    at = keeper_index(held)
    callers = held[at + 2 :]
    for other in range(0, len(asked), 2):
        differs = held[at] is asked[other] and held[at + 1] != asked[other + 1]
        if differs and has_callers(asked, other, callers):
            return sites.at(held, at), sites.at(asked, other)
    return None
