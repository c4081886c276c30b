"""Snapshot: the state of the ledger at one instant, with the history of earlier looks. Detectors read nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whoholds.analysis.demand import Demand, Present
from whoholds.analysis.history import History
from whoholds.analysis.pauses import NONE as NO_PAUSES
from whoholds.analysis.rules import BITS, rule_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from whoholds.analysis.asking import Wait
    from whoholds.analysis.nesting import Nesting
    from whoholds.analysis.pauses import Pauses
    from whoholds.ledger.entries import Refusal
    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.lockout import Lockout
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner
    from whoholds.ledger.scope import Scope


@dataclass(frozen=True)
class Ending:
    """The reason why a look is a last one: the end of the process, of a watch, or of a scope."""

    kind: str  # "process", "watch", "scope" or "test"
    name: str = ""  # of the process: "" or, where another interpreter than its main one ends, that one
    scope: Scope | None = None
    settled: bool = False  # the garbage collector has run since the previous look

    def covers(self, handle: Handle) -> bool:
        """True if `handle` was opened in the scope that ends, or in a scope inside it."""
        opened: Scope | None = handle.scope
        return opened is not None and (opened is self.scope or self.scope in opened.around)


@dataclass(frozen=True)
class Snapshot:
    """One instant of the ledger. Times are seconds of the ledger's clock; `wall` is `time.time()` at `now`."""

    now: float
    wall: float
    open: list[Handle] = field(default_factory=list)
    ended: list[Handle] = field(default_factory=list)  # closed or freed since the last look
    new: list[Handle] = field(default_factory=list)  # seen first at this look, open or ended
    refusals: list[Refusal] = field(default_factory=list)
    shared: list[Handle] = field(default_factory=list)
    inherited: list[tuple[Handle, Owner | None, Origin]] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    history: History = field(default_factory=History)
    ending: Ending | None = None
    scopes: tuple[tuple[Scope, int], ...] = ()  # requests and jobs that have ended, with the stamps of their ends
    nestings: list[Nesting] = field(default_factory=list)  # the nestings that this look found
    requests: tuple[Wait, ...] = ()  # those who wait for a pool's connection now
    stacks: Mapping[Owner, Origin] = field(default_factory=dict)  # of holders for whose loans somebody waits too long
    sees_threads: bool = True  # False without the GIL, where no running thread has a stack
    lockouts: list[Lockout] = field(default_factory=list)  # statements that were locked out and given up
    pauses: Pauses = NO_PAUSES  # of the look that took it

    def few(self) -> Iterable[Sequence[Handle]]:
        """The open handles, some hundreds at a time; in between other threads run for a moment.

        For a pass over all of them, of which there may be a hundred thousand.
        """
        return self.pauses.between(self.open)

    def demand_of(self, pool: Pool) -> tuple[Demand, Present]:
        """What has been wanted of `pool` up to this instant, and what is lent and waited for now."""
        return self.history.demands.get(pool) or Demand(), Present.of(pool, self.open, self.requests, self.now)

    def unreturned(self, rule: str, among: Iterable[Handle] | None = None) -> list[Handle]:
        """The handles of `among` (default: all open handles) that must be given back and that `rule` has not named.

        Handles that a pool or a thread keeps at home for the next request are left out, and so are those that were
        open before the watch, unless the rule judges these, too.
        """
        bit, adopted = BITS[rule], rule_of(rule).of_adopted
        return [
            handle
            for handle in (self.open if among is None else among)
            if not handle.told & bit
            and handle.must_be_returned
            and not handle.at_home
            and (adopted or handle.referrer is None)
        ]

    def gone(self, owner: Owner) -> bool:
        """True if `owner` had ended at this instant, as the look that took this snapshot saw it.

        A job is not gone while its worker lives.
        """
        return owner.ended_at is not None and owner.ended_at <= self.now

    def job_is_over(self, owner: Owner) -> bool:
        """True if the job `owner` had returned at this instant, even if its worker lives."""
        return owner.job_over_at is not None and owner.job_over_at <= self.now

    def wall_time(self, at: float) -> float:
        """Convert `at`, a time of the ledger's clock, to seconds since the epoch."""
        return self.wall - (self.now - at)

    @property
    def process_ends(self) -> bool:
        """True if the process is ending."""
        return self.history.standing.ends_at is not None

    def stands(self, handle: Handle) -> bool:
        """True if `handle` is a standing handle, which is no leak: see `analysis.standing`."""
        return self.history.standing.stands(handle, self.now)

    def first_of_its_chain(self, handle: Handle) -> bool:
        """True if the chain of `handle` opened no other handle, in the process or in the live thread that keeps it."""
        return self.history.standing.first(handle, self.now)
