"""Snapshot: the ledger at one instant with what earlier looks remember; what detectors are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whoholds.analysis.history import History
from whoholds.analysis.rules import BITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.nesting import Nesting
    from whoholds.ledger.entries import Refusal
    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner
    from whoholds.ledger.scope import Scope


@dataclass(frozen=True)
class Ending:
    """Why this look is a last one: the end of the process, of a watch, or of a scope with that name."""

    kind: str  # "process", "watch", "scope" or "test"
    name: str = ""
    scope: Scope | None = None
    settled: bool = False  # garbage was collected since the look before

    def covers(self, handle: Handle) -> bool:
        """Whether the scope that ends is the one `handle` was opened in, or one around that."""
        opened: Scope | None = handle.scope
        return opened is not None and (opened is self.scope or self.scope in opened.around)


@dataclass(frozen=True)
class Snapshot:
    """One instant. Times are seconds of the ledger's clock; `wall` is time.time() at `now`."""

    now: float
    wall: float
    open: list[Handle] = field(default_factory=list)
    ended: list[Handle] = field(default_factory=list)  # since the last look
    new: list[Handle] = field(default_factory=list)  # first seen at this look, open or ended
    refusals: list[Refusal] = field(default_factory=list)
    shared: list[Handle] = field(default_factory=list)
    inherited: list[tuple[Handle, Owner | None, Origin]] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    history: History = field(default_factory=History)
    ending: Ending | None = None
    scopes: tuple[tuple[Scope, int], ...] = ()  # requests and jobs that are over, with the stamp of their end
    nestings: list[Nesting] = field(default_factory=list)  # that this look brought to light

    def unreturned(self, rule: str, among: Iterable[Handle] | None = None) -> list[Handle]:
        """The open handles that somebody must give back and that no finding of `rule` has named, of `among` or all.

        Not what a pool or a thread keeps at home for the next request.
        """
        bit = BITS[rule]
        return [
            handle
            for handle in (self.open if among is None else among)
            if not handle.told & bit and handle.must_be_returned and not handle.at_home
        ]

    def gone(self, owner: Owner) -> bool:
        """Whether `owner` had ended at this instant, as the look that made this snapshot saw it.

        A job is not gone while its worker lives.
        """
        return owner.ended_at is not None and owner.ended_at <= self.now

    def job_is_over(self, owner: Owner) -> bool:
        """Whether the job that `owner` is had returned at this instant, though its worker may live."""
        return owner.job_over_at is not None and owner.job_over_at <= self.now

    def wall_time(self, at: float) -> float:
        """Seconds since the epoch of a time of the ledger's clock."""
        return self.wall - (self.now - at)

    @property
    def process_ends(self) -> bool:
        """Whether this look is one of the last of the process."""
        return self.history.standing.ends_at is not None

    def stands(self, handle: Handle) -> bool:
        """Whether it is a standing handle, which is no leak: see `analysis.standing`."""
        return self.history.standing.stands(handle, self.now)

    def first_of_its_chain(self, handle: Handle) -> bool:
        """Whether the lines that opened it opened no other, in the process or in the live thread that keeps it."""
        return self.history.standing.first(handle, self.now)
