"""What was seen of each test, fixture or block that runs: its handles and findings, as looks bring them.

It keeps handles, which hold nobody's objects, and judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from whoholds.analysis.finding import parts_of
from whoholds.analysis.peaks import loans_of, most_at_once
from whoholds.analysis.rules import rule_of
from whoholds.ledger.handle import CONNECTION, Handle

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding, Look
    from whoholds.analysis.snapshot import Ending
    from whoholds.ledger.scope import Scope
    from whoholds.watching.watch import Watch

MOST = 1000  # findings of one test, and late comers, that are remembered


@dataclass
class Tally:
    """What was seen of one scope until now."""

    handles: dict[int, Handle] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    since: int = -1  # what the ledger's `stamps` were at its beginning

    @property
    def loans(self) -> list[Handle]:
        """What it opened and has to give back, oldest first."""
        return sorted(loans_of(self.handles.values()), key=lambda one: one.opened_stamp)

    @property
    def at_most(self) -> tuple[Handle, ...]:
        """Those of them that were open at once when most were."""
        return most_at_once(self.loans)

    @property
    def connects(self) -> list[Handle]:
        """The connections that it opened, a pool's for its own stock too."""
        return [one for one in self.handles.values() if one.kind == CONNECTION]


class Opened:
    """What a test or block opened until now, or until its end. Looked at anew whenever it is asked."""

    def __init__(self, watch: Watch, record: Tally) -> None:
        self._watch = watch
        self._record = record

    def _now(self) -> Tally:
        self._watch.tick()
        return self._record

    @property
    def handles(self) -> list[Handle]:
        """Every connection and loan, oldest first, also those that were closed."""
        return self._now().loans

    @property
    def open(self) -> list[Handle]:
        """Those that are open now."""
        return [handle for handle in self.handles if handle.open]

    @property
    def peak(self) -> int:
        """How many were open at once at most, exactly."""
        return len(self._now().at_most)

    @property
    def connects(self) -> int:
        """How many connections were opened in all, a pool's own included."""
        return len(self._now().connects)

    @property
    def findings(self) -> list[Finding]:
        """What was found until now; `left-open` comes with the end only."""
        return list(self._now().findings)

    def __repr__(self) -> str:
        return f"<whoholds: {self.connects} connections opened, {len(self.open)} open, at most {self.peak} at once>"


class Tallies:
    """An output of the watch: what each look brought, sorted by the scopes that are followed."""

    name = "suite"

    def __init__(self) -> None:
        self._records: dict[Scope, Tally] = {}
        self._over: WeakSet[Scope] = WeakSet()  # scopes that were followed
        self.watch: Watch | None = None  # whose settings say how many are too many
        self.late: list[Handle] = []  # opened for a scope that was over: by a thread that outlived its test

    def follow(self, scope: Scope, since: int = -1) -> Tally:
        """Collect what belongs to `scope` from now on; `since` is what the ledger's `stamps` are now."""
        record = self._records[scope] = Tally(since=since)
        return record

    def untouched(self, scope: Scope, stamps: int) -> bool:
        """Whether nothing at all was opened or closed since `scope` began: then there is nothing to look at."""
        return self._records[scope].since == stamps

    def leave(self, scope: Scope) -> Tally:
        """What belonged to it, and no more of that."""
        self._over.add(scope)
        return self._records.pop(scope, None) or Tally()

    def __call__(self, look: Look) -> None:
        """Called by the thread that ticks."""
        for handle in look.snapshot.new:
            self._sort(handle)
        for finding in look.found:
            if rule_of(finding.rule).said_in_suites:
                now = replace(finding, now=look.snapshot.now, time=look.snapshot.wall)
                self._attribute(now, look.snapshot.ending)

    def _sort(self, handle: Handle) -> None:
        scope: Scope | None = handle.scope
        if scope is None:
            return
        for one in (scope, *scope.around):
            record = self._records.get(one)
            if record is not None:
                record.handles[handle.opened_stamp] = handle
        if scope in self._over and len(self.late) < MOST:
            self.late.append(handle)

    def _attribute(self, finding: Finding, ending: Ending | None) -> None:
        for scope, record in list(self._records.items()):
            if (
                ending is not None
                and ending.kind == "block"
                and rule_of(finding.rule).at_an_end
                and scope is not ending.scope
            ):
                continue  # the block says it, and whoever catches that has judged
            mine = tuple(one for one in finding.handles if one.opened_stamp in record.handles)
            if mine and len(record.findings) < MOST:
                record.findings += self._share(finding, mine)

    def _share(self, finding: Finding, mine: tuple[Handle, ...]) -> list[Finding]:
        """What of `finding` is about `mine`, the handles in it that one scope opened: nothing that others opened."""
        rule = rule_of(finding.rule)
        if len(mine) == len(finding.handles):
            return [finding]
        if rule.of_the_run:
            return []
        if finding.rule == "too-many-at-once":
            return self._too_many(finding, mine)
        whole = finding.parts or not finding.adds_up  # who holds what, or two that belong together
        return [finding if whole else replace(finding, handles=mine, count=len(mine))]

    def _too_many(self, finding: Finding, mine: tuple[Handle, ...]) -> list[Finding]:
        parts = parts_of(mine)
        first = parts[0]
        most = self.watch.limits.too_many.at(first.site.frame if first.site else None) if self.watch else 0
        if len(mine) < most:
            return []
        share = replace(finding, handles=mine, count=len(mine), parts=parts, site=first.site, spawn=first.spawn)
        return [replace(share, numbers=(first.count,), why=(), advice=finding.advice)]
