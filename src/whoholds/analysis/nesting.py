"""Nestings: an owner asks for a second handle of one pool or database while it holds a first, exactly, from the stamps.

The second may have been lent, or refused, or the request for it may still wait. The stacks decide whether one piece of
work has both: a function that leaks on one path and comes by again is no nesting, as the first call has returned, and
neither is what a thread asks for in a request while an earlier one has left something open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, compress
from operator import attrgetter, is_not
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import user_index
from whoholds.analysis.inside import LIBRARY, has_callers, is_further, keeper_index, unfinished
from whoholds.analysis.peaks import most_at_once
from whoholds.analysis.rules import BITS
from whoholds.ledger.handle import CHECKOUT, CLOSED, CURSOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.analysis.inside import Unfinished
    from whoholds.analysis.pauses import Pauses
    from whoholds.analysis.sites import Site, Sites
    from whoholds.ledger.database import Database
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Handle, Pool, Request
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

    Lender = Pool | Database
    Key = tuple[Lender, Site | None, Site | None]

_NEVER = float("inf")
_UNKNOWN: Any = object()
_owner, _origin = attrgetter("owner"), attrgetter("origin")
FEW = 3  # handles of one owner held at once that stand for all in looking for nestings
MANY = 1000  # pairs of lines that are remembered besides those still held, and owners of each
_BIT = BITS["second-while-holding"]


@dataclass(slots=True)
class Pair:
    """What is known of two lines of which one asks while the other is held."""

    owners: set[int] = field(default_factory=set)  # that nested, by id
    held: list[Handle] = field(default_factory=list)  # first handles that are still held
    most: int = 0  # of them held at once


@dataclass(slots=True)
class Nesting:
    """Second requests of owners that held a first, all at one pair of lines, which one look brought to light."""

    lender: Lender
    held_at: Site | None
    asked_at: Site | None
    parts: tuple[Site, Site] | None  # where both lines are one: the lines at which their callers part, held and asked
    pair: Pair  # what is known of its two lines, this look included
    outers: list[Handle] = field(default_factory=list)  # held; as long as `inners`
    inners: list[Handle | Request] = field(default_factory=list)  # lent meanwhile, or a request that waits or failed
    told: list[Handle] = field(default_factory=list)  # held, where a finding has named the request of the second

    @property
    def nesters(self) -> int:
        """How many different owners have nested here, up to now."""
        return len(self.pair.owners)


class Nestings:
    """What earlier looks saw of each pair of lines."""

    def __init__(self) -> None:
        self._pairs: dict[Key, Pair] = {}
        self._full = MANY  # so many pairs are sifted: those of which nothing is held any more are forgotten

    def take(self, taken: Entries, new: list[Handle], sites: Sites, pauses: Pauses) -> list[Nesting]:
        """The nestings that came to light at this look, one for each two lines of a lender."""
        if not (new or taken.ended or taken.requests or taken.refusals):
            return []
        groups: dict[Key, Nesting] = {}
        self._lent(groups, taken, new, sites, pauses)
        self._asked(groups, taken, sites)
        for key, nesting in groups.items():
            pauses()
            self._count(key, nesting.pair, nesting.outers + nesting.told)
        return list(groups.values())

    def _lent(
        self, groups: dict[Key, Nesting], taken: Entries, new: list[Handle], sites: Sites, pauses: Pauses
    ) -> None:
        """Put in the seconds that were lent."""
        partings = _Partings()
        fresh = set(new)
        by_stacks: dict[tuple[Lender, int, int], Nesting | None] = {}  # where the two stacks alone decide
        for (_, lender), handles in _borrowed(taken, new, pauses).items():
            pauses()
            if not _has_two_stacks(handles):
                continue
            for inner, held in _overlaps(handles, fresh):
                origin, told = inner.origin, inner.told & _BIT
                asked = id(origin)
                for outer in held:
                    taken_at = outer.origin
                    if taken_at is origin and origin:
                        continue  # a loop that keeps what it opens
                    stacks = (lender, id(taken_at), asked)
                    nesting = by_stacks.get(stacks, _UNKNOWN)
                    if nesting is _UNKNOWN:
                        nesting = self._of(groups, lender, outer, inner, partings, sites)
                        if partings.decide(outer, inner):
                            by_stacks[stacks] = nesting
                    if nesting is None:
                        continue
                    if told:
                        nesting.told.append(outer)
                    else:
                        nesting.outers.append(outer)
                        nesting.inners.append(inner)

    def _of(
        self,
        groups: dict[Key, Nesting],
        lender: Lender,
        outer: Handle,
        inner: Handle,
        partings: _Partings,
        sites: Sites,
    ) -> Nesting | None:
        """The nesting of two handles of one owner; None if they are not of one piece of work."""
        parts = None
        if inner.site is outer.site:
            parts = parting(outer.origin, inner.origin, sites)
            if parts is None:
                return None
        elif not partings.in_one_piece(outer, inner.origin, inner.opened_at):
            return None
        key = (lender, outer.site, inner.site)
        return groups.get(key) or self._nesting(groups, key, parts)

    def _asked(self, groups: dict[Key, Nesting], taken: Entries, sites: Sites) -> None:
        """Put in the seconds whose requests wait or were refused."""
        partings = _Partings()
        for outer, request, lender in _asked(taken):
            asked_at, parts = sites.of(request.origin) if request.origin else None, None
            if asked_at is outer.site:
                parts = parting(outer.origin, request.origin, sites)
                if parts is None:
                    continue
            elif not partings.in_one_piece(outer, request.origin, request.began):
                continue
            request.told |= _BIT
            key = (lender, outer.site, asked_at)
            nesting = groups.get(key) or self._nesting(groups, key, parts)
            nesting.outers.append(outer)
            nesting.inners.append(request)

    def _nesting(self, groups: dict[Key, Nesting], key: Key, parts: tuple[Site, Site] | None) -> Nesting:
        nesting = groups[key] = Nesting(*key, parts, self._pairs.get(key) or Pair())
        return nesting

    def _count(self, key: Key, pair: Pair, outers: list[Handle]) -> None:
        """The owners of `outers` have nested at the two lines of `key`."""
        if len(self._pairs) >= self._full and key not in self._pairs:
            self._pairs = {
                pair_key: pair for pair_key, pair in self._pairs.items() if any(held.open for held in pair.held)
            }
            self._full = max(MANY, 2 * len(self._pairs))  # else each further pair would sift all of them again
        self._pairs[key] = pair
        held = dict.fromkeys([*[handle for handle in pair.held if handle.closed_stamp is None], *outers])
        firsts = _firsts(held)
        pair.most = max(pair.most, len(most_at_once(firsts.values())))
        pair.held = [handle for handle in held if handle.closed_stamp is None][:MANY]
        pair.owners.update(map(id, list(firsts)[: MANY - len(pair.owners)]))


def _firsts(held: Iterable[Handle]) -> dict[Owner | None, Handle]:
    """One for each owner: what it held first."""
    firsts: dict[Owner | None, Handle] = {}
    for handle in held:
        owner = handle.owner  # as `Owner.whole`, written out
        if owner is not None:
            owner = owner.part_of or owner
        if owner not in firsts:
            firsts[owner] = handle
    return firsts


def _borrowed(taken: Entries, new: list[Handle], pauses: Pauses) -> dict[tuple[Owner, Lender], list[Handle]]:
    """What each owner had of each pool, or of a database that others use too; owners to whom nothing happened not."""
    owners = set(map(_owner, chain(new, taken.ended)))
    moved = {owner.whole for owner in owners if owner is not None}
    if moved:
        moved &= _with_two_stacks(taken, pauses)
    borrowed: dict[tuple[Owner, Lender], list[Handle]] = {}
    for handle in chain(taken.ended, chain.from_iterable(pauses.between(taken.open))) if moved else ():
        owner = handle.owner
        if owner is None:
            continue
        owner = owner.part_of or owner
        if owner in moved:
            lender: Lender | None = handle.pool  # with the kind: as `Handle.must_be_returned`, written out
            if lender is None:
                if handle.kind == CURSOR or handle.database.private:
                    continue
                lender = handle.database
            elif handle.kind != CHECKOUT:
                continue
            handles = borrowed.get((owner, lender))
            if handles is None:
                borrowed[owner, lender] = [handle]
            else:
                handles.append(handle)
    return borrowed


def _with_two_stacks(taken: Entries, pauses: Pauses) -> set[Owner]:
    """The owners whose handles are not all of one loop, of which nothing can be told. Found in C: most have one."""
    one: dict[Owner | None, Origin] = {}  # of each owner; equal ones are one tuple by now
    for few in chain([taken.ended], pauses.between(taken.open)):
        one.update(zip(map(_owner, few), map(_origin, few), strict=True))
    owners = {owner for owner in one if owner is not None and owner.part_of is not None}  # a task has several
    for few in chain([taken.ended], pauses.between(taken.open)):
        are_others = map(is_not, map(_origin, few), map(one.get, map(_owner, few)))
        owners.update(compress(map(_owner, few), are_others))
    return {owner.whole for owner in owners if owner is not None}


def _has_two_stacks(handles: list[Handle]) -> bool:
    """The same of the handles of one owner and lender."""
    return len(set(map(id, map(_origin, handles)))) > 1


def _overlaps(handles: list[Handle], fresh: set[Handle]) -> Iterator[tuple[Handle, list[Handle]]]:
    """(lent meanwhile, those held then) among one owner's handles of one lender, for each `fresh` one.

    Of many held at once the `FEW` that were taken last stand for all.
    """
    held: list[Handle] = []
    until = _NEVER  # the stamp of the first closing among them
    for inner in sorted(handles, key=attrgetter("opened_stamp")):
        if until <= inner.opened_stamp:
            at = inner.opened_stamp
            held = [outer for outer in held if (outer.closed_stamp or _NEVER) > at]
            until = min([outer.closed_stamp or _NEVER for outer in held], default=_NEVER)
        if held and inner in fresh:
            yield inner, held[-FEW:]
        held.append(inner)
        if len(held) > FEW + 1:
            del held[0]
        if inner.closed_stamp is not None and inner.closed_stamp < until:
            until = inner.closed_stamp


def _asked(taken: Entries) -> Iterator[tuple[Handle, Request, Lender]]:
    """(held, request) for each request that waits or was refused, and that no look has seen before."""
    asked: list[tuple[Request, Lender]] = [
        (request, request.pool) for request in taken.requests if request.pool is not None
    ]
    for refusal in taken.refusals:
        lender = refusal.by_pool if refusal.by_pool is not None else refusal.database
        asked += [(request, lender) for request in refusal.requests]
    for request, lender in asked:
        if request.looked_at or request.owner is None:
            continue
        request.looked_at = True
        held = [
            handle
            for handle in (*taken.ended, *taken.open)
            if handle.owner is not None
            and handle.owner.whole is request.owner.whole
            and handle.must_be_returned
            and (handle.pool or handle.database) is lender
            and handle.opened_at <= request.began < (handle.closed_at or _NEVER)
        ]
        for outer in held[-FEW:]:
            yield outer, request, lender


class _Partings:
    """What pairs of stacks tell at one look."""

    def __init__(self) -> None:
        # by ids: equal origins are one tuple by now
        self._calls: dict[tuple[int, int], Unfinished] = {}
        self._surely_one: set[tuple[int, int]] = set()

    def decide(self, outer: Handle, inner: Handle) -> bool:
        """Whether the stacks of two handles that were asked about tell the same of any others that have them."""
        if not outer.origin or not inner.origin:
            return False
        return outer.site is inner.site or (id(outer.origin), id(inner.origin)) in self._surely_one

    def in_one_piece(self, outer: Handle, asked: Origin, asked_at: float) -> bool:
        """False if the owner has left `outer` open in a piece of work that is over, and asks in another one.

        Where the function that took `outer` has returned, and its caller calls another from the same place, or from one
        before it, the stacks do not tell: that caller is a loop over pieces of work, or over the parts of one. Then
        `outer` is left open unless it has been used or given back since. What a library does in a task or a job is one
        piece.
        """
        if not outer.origin or not asked:
            return True
        key = (id(outer.origin), id(asked))
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = unfinished(outer.origin, asked)
        if calls.inside or not calls.by or not calls.known:
            self._surely_one.add(key)
            return True
        if calls.by == LIBRARY and outer.owner is not None and outer.owner.kind in ("task", "job"):
            return True
        used_at = max(outer.used_at, outer.parent.used_at) if outer.open and outer.parent else outer.used_at
        return outer.how == CLOSED or used_at > asked_at


def parting(held: Origin, asked: Origin, sites: Sites) -> tuple[Site, Site] | None:
    """The lines, of one function that is still on the stack, at which the first was taken and the second is asked for.

    Both stacks lead to the same line. None where they are one and the same, or where the function that took the first
    has returned, or asks further up, as it has been called once more: what it took is left open. A generator
    (`@contextmanager`) gives to its caller what it takes, and gives it back once nobody has the generator any more.
    """
    if held == asked:  # a loop that keeps what it opens: its stacks are one tuple, which `Sites` shares
        return None
    at = keeper_index(held)
    callers = held[at + 2 :]
    by_generator = at != user_index(held)
    for other in range(0, len(asked), 2):
        differs = held[at] is asked[other] and held[at + 1] != asked[other + 1]
        if differs and has_callers(asked, other, callers) and (by_generator or is_further(asked, other, held, at)):
            return sites.at(held, at), sites.at(asked, other)
    return None
