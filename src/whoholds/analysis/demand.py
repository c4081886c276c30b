"""Demand: what is wanted of one pool, and how large a pool would be large enough.

A look adds the loans that came back since the look before, with the exact moments at which each was asked for, lent and
given back. What is kept is bounded: two histograms, and the times of `KEPT` loans twice. Nothing here runs in the
program's threads.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from operator import add
from sys import getsizeof
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.analysis.peaks import most_reached, reaches
from whoholds.analysis.replay import Sizes, most_at_once, sizes_of
from whoholds.analysis.spread import Spread
from whoholds.ledger.handle import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whoholds.analysis.asking import Wait
    from whoholds.analysis.replay import Loan
    from whoholds.ledger.database import Database
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Handle, Pool

KEPT = 1024  # loans of the busiest stretch, from which the sizes are computed
POOLS = 100  # pools whose demand is kept
MUCH_LONGER = 2.0  # held so many times as long as used: giving back sooner helps more than a larger pool
_TIMES = 3  # numbers that are kept of each loan: when it was asked for, how long it was out, how long it was used
_HALF = _TIMES * KEPT // 2  # after so many further numbers, the busiest stretch is determined again


@dataclass
class Demand:
    """What was wanted of one pool. Times are seconds, by the ledger's clock."""

    loans: int = 0  # that have come back
    held_s: float = 0.0  # of those whose uses can be seen
    used_s: float = 0.0  # in calls on them
    wanted: int = 0  # the most at once: lent, or waited for
    out: int = 0  # lent now
    database: Database | None = None  # of the last loan
    waits: Spread = field(default_factory=Spread)
    holds: Spread = field(default_factory=Spread)
    _recent: array[float] = field(default_factory=lambda: array("d"))  # `_TIMES` numbers for each of the last loans
    _busiest: array[float] = field(default_factory=lambda: array("d"))
    _most: int = 0  # loans of the busiest stretch that are wanted at once

    def came_back(self, loans: list[Handle]) -> None:
        """Count loans that have come back. Called at each look: a property or a call for each would be too slow."""
        waits: list[float] = []
        times: list[float] = []
        seen_s = used_s = 0.0
        for loan in loans:
            opened, wait, connection = loan.opened_at, loan.connect_s or 0.0, loan.parent
            held = (loan.closed_at or opened) - opened - loan.lost_s
            if held < 0:
                held = 0.0
            used = -1.0
            if connection is not None and (connection.referrer is None or connection.calls):
                # as `Handle.busy_s`, written out
                after = connection.calls_s if loan.calls_after is None else loan.calls_s_after
                used = after - loan.calls_s
                if used < 0:
                    used = 0.0
                elif used > held:
                    used = held
                seen_s += held
                used_s += used
            waits.append(wait)
            times += (opened - wait, held, used)
        self.loans += len(loans)
        self.held_s += seen_s
        self.used_s += used_s
        self.waits.add(waits)
        self.holds.add(times[1::_TIMES])
        begin = 0
        while begin < len(times):
            end = begin + 2 * _HALF - len(self._recent)
            self._recent.extend(times[begin:end])
            if len(self._recent) == 2 * _HALF:
                self._compare(self._recent)
                del self._recent[:-_HALF]
            begin = end

    @property
    def size(self) -> int:
        """The bytes that this takes, nearly all of them in its arrays."""
        return sum(map(getsizeof, (self._recent, self._busiest, self.waits.buckets, self.holds.buckets)))

    def _compare(self, stretch: array[float]) -> None:
        asked = sorted(stretch[::_TIMES])
        back = sorted(map(add, stretch[::_TIMES], stretch[1::_TIMES]))
        if reaches(self._most, asked, back):
            self._most = most_reached(self._most, asked, back)
            self._busiest = stretch[:]

    def times_as_long(self, present: Present) -> float | None:
        """The time for which loans are held, those that are out included, divided by the time for which they are used.

        Infinite if they are not used at all; None if their use cannot be seen.
        """
        held, used = self.held_s, self.used_s
        for _, out_s, used_s in present.out:
            if used_s >= 0:
                held += out_s
                used += used_s
        if not held:
            return None
        return held / used if used else math.inf

    def is_held_too_long(self, present: Present) -> bool:
        """True if giving the loans back sooner helps more than a larger pool."""
        times = self.times_as_long(present)
        return times is not None and times >= MUCH_LONGER

    def sizes(self, present: Present) -> Sizes | None:
        """The sizes that would have been enough; None if there was no loan.

        A loan that is out counts as if it came back now, and a request that waits as if it were lent for as long as
        those that are out. This takes some 10 ms at most, and is computed when it is asked for.
        """
        recent = [*_loans(self._recent), *present.out]
        if recent:
            usual = sorted(held for _, held, _ in recent)[len(recent) // 2]
            recent += [(asked, usual, usual) for asked in present.waiting]
        return sizes_of(max(_loans(self._busiest), recent, key=most_at_once))

    def sentence(self, present: Present) -> str:
        """How many connections were wanted at once, and what to do first."""
        wanted = max(self.wanted, present.wanted)
        times, sizes = self.times_as_long(present), self.sizes(present)
        said = f"{wanted} {'connection was' if wanted == 1 else 'connections were'} wanted at once"
        if self.is_held_too_long(present):
            held = "without being used" if times == math.inf else f"{times:.0f} times as long as they are used"
            return f"{said}. They are held {held}: give them back sooner before you enlarge the pool."
        if sizes is None or times is None:
            return f"{said}."
        use = f"{1 / times:.0%} of the time they are held"
        least = len(present.out) + 1 if present.waiting else 0  # where somebody waits, what is lent is not enough
        return f"{said}. They are in use for {use}: a pool of {max(sizes.few_waits, least)} would do."


class Present(NamedTuple):
    """What is wanted of one pool at this moment."""

    out: list[Loan]  # what is lent
    waiting: list[float]  # when those who wait asked

    @classmethod
    def of(cls, pool: Pool, held: Iterable[Handle], requests: Iterable[Wait], now: float) -> Present:
        """The loans of `pool` among `held`, and those of the `requests` that wait for it."""
        loans = [_loan(handle, now) for handle in held if handle.pool is pool and handle.kind == CHECKOUT]
        return cls(loans, [request.began for request in requests if request.pool is pool])

    @property
    def wanted(self) -> int:
        """How many are lent or waited for."""
        return len(self.out) + len(self.waiting)


NOTHING = Present([], [])


def _loan(handle: Handle, now: float) -> Loan:
    """(asked at, seconds out, seconds used) of a loan that is out; -1 for a use that is not known."""
    held = handle.held_s(now)
    used = (
        -1.0 if not handle.seen or handle.referrer is not None else held if handle.running else min(handle.busy_s, held)
    )
    return handle.opened_at - (handle.connect_s or 0.0), held, used


def _loans(times: array[float]) -> list[Loan]:
    """(asked at, seconds held, seconds used) for each loan; -1 for a use that is not known."""
    return list(zip(times[::_TIMES], times[1::_TIMES], times[2::_TIMES], strict=True))


def take(demands: dict[Pool, Demand], taken: Entries, new: Iterable[Handle], since: float) -> None:
    """Bring the demands up to date with what a look has taken; `since` is the time of the look before."""
    changes: dict[Pool, _Changes] = {}
    for pool, lent in _by_pool(new).items():
        changes[pool] = changed = _Changes(len(lent), lent[-1].database)
        changed.asked = [loan.opened_at - (loan.connect_s or 0.0) for loan in lent]
    for pool, ended in _by_pool(taken.ended).items():
        changed = _of(changes, pool, _Changes)
        changed.back = [loan for loan in ended if loan.referrer is None]  # for how long others were out is not known
        changed.lent -= len(ended) - len(changed.back)
    _requests(changes, taken)
    for pool, changed in changes.items():
        _change(_of(demands, pool, Demand), changed, since)
    if len(demands) > POOLS:
        _forget(demands, taken)


def _by_pool(handles: Iterable[Handle]) -> dict[Pool, list[Handle]]:
    """The loans among these, by the pool that lent them."""
    loans: dict[Pool, list[Handle]] = {}
    latest: Pool | None = None  # of many loans most have one pool
    for handle in handles:
        pool = handle.pool
        if pool is not None and handle.kind == CHECKOUT and pool.key:
            if pool is not latest:
                latest, lent = pool, loans.setdefault(pool, [])
            lent.append(handle)
    return loans


def _requests(changes: dict[Pool, _Changes], taken: Entries) -> None:
    """The requests that wait now, and those that were refused since the look before."""
    for request in taken.requests:
        if request.pool is not None:
            changed = _of(changes, request.pool, _Changes)
            changed.waiting += 1
            changed.asked.append(request.began)
    for refusal in taken.refusals:
        if refusal.by_pool is not None:
            changed = _of(changes, refusal.by_pool, _Changes)
            changed.asked += [request.began for request in refusal.requests]
            changed.gone_at += [max(refusal.at, request.began) for request in refusal.requests]


@dataclass
class _Changes:
    """What one look has seen of one pool."""

    lent: int = 0
    database: Database | None = None  # of what was lent
    back: list[Handle] = field(default_factory=list)
    waiting: int = 0  # now
    asked: list[float] = field(default_factory=list)  # when
    gone_at: list[float] = field(default_factory=list)  # when requests gave up


def _change(demand: Demand, changed: _Changes, since: float) -> None:
    """Count what has come back, and the most that were wanted at once since the look before."""
    demand.came_back(changed.back)
    demand.database = changed.database or demand.database
    demand.out = max(demand.out + changed.lent - len(changed.back), 0)
    asked = sorted([at for at in changed.asked if at > since])
    gone = sorted([*[loan.closed_at or since for loan in changed.back], *changed.gone_at])
    before = demand.out + changed.waiting - len(asked) + len(gone)
    demand.wanted = before + most_reached(max(demand.wanted, before, 1) - before, asked, gone)


def _of(by_pool: dict[Pool, Any], pool: Pool, make: Callable[[], Any]) -> Any:
    found = by_pool.get(pool)
    if found is None:
        found = by_pool[pool] = make()
    return found


def _forget(demands: dict[Pool, Demand], taken: Entries) -> None:
    """Forget the pools that are gone and lent least, such as those of engines that are made again and again."""
    there = set(taken.pools)
    gone = sorted((pool for pool in demands if pool not in there), key=lambda pool: demands[pool].loans)
    for pool in gone[: len(demands) - POOLS]:
        del demands[pool]
