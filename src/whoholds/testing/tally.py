"""What looks have seen of each running test, fixture or block: its handles and findings.

It keeps handles, which hold no object of the program's. It must not judge anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from whoholds.analysis.finding import parts_of, share
from whoholds.analysis.peaks import loans_of, most_at_once
from whoholds.analysis.rules import rule_of
from whoholds.ledger.handle import CONNECTION, Handle

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding, Look
    from whoholds.analysis.snapshot import Ending
    from whoholds.ledger.scope import Scope
    from whoholds.watching.watch import Watch

MOST = 1000  # largest number of findings of one test, and of late handles, that are kept


@dataclass
class Tally:
    """The handles and findings of one scope until now."""

    handles: dict[int, Handle] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    since: int = -1  # the ledger's `stamps` when the scope began

    @property
    def loans(self) -> list[Handle]:
        """The handles that the scope opened and has to give back, the oldest first."""
        return sorted(loans_of(self.handles.values()), key=lambda one: one.opened_stamp)

    @property
    def at_most(self) -> tuple[Handle, ...]:
        """The handles among `loans` that were open when the most were open at once."""
        return most_at_once(self.loans)

    @property
    def connects(self) -> list[Handle]:
        """The connections that the scope opened, including those that a pool opened for its own stock."""
        return [handle for handle in self.handles.values() if handle.kind == CONNECTION]


class Opened:
    """What a test or block opened until now, or until its end. Each attribute looks anew when it is read."""

    def __init__(self, watch: Watch, record: Tally) -> None:
        self._watch = watch
        self._record = record

    def _now(self) -> Tally:
        self._watch.tick()
        return self._record

    @property
    def handles(self) -> list[Handle]:
        """All connections and loans, the oldest first, including the closed ones."""
        return self._now().loans

    @property
    def open(self) -> list[Handle]:
        """The connections and loans that are open now."""
        return [handle for handle in self.handles if handle.open]

    @property
    def peak(self) -> int:
        """The largest number of handles that were open at once, exactly."""
        return len(self._now().at_most)

    @property
    def connects(self) -> int:
        """How many connections were opened in all, including a pool's own."""
        return len(self._now().connects)

    @property
    def findings(self) -> list[Finding]:
        """The findings until now; those of `left-open` come only at the end."""
        return list(self._now().findings)

    def __repr__(self) -> str:
        return f"<whoholds: {self.connects} connections opened, {len(self.open)} open, at most {self.peak} at once>"


class Tallies:
    """An output of the watch: it sorts what each look brought by the scopes that are followed."""

    name = "suite"

    def __init__(self) -> None:
        self._records: dict[Scope, Tally] = {}
        self._over: WeakSet[Scope] = WeakSet()  # scopes that were followed
        self.watch: Watch | None = None  # its settings say how many are too many
        self.late: list[Handle] = []  # handles opened for a scope that was over, by a thread that outlived its test

    def follow(self, scope: Scope, since: int = -1) -> Tally:
        """Collect what belongs to `scope` from now on; `since` is the value of the ledger's `stamps` now."""
        record = self._records[scope] = Tally(since=since)
        return record

    def untouched(self, scope: Scope, stamps: int) -> bool:
        """Whether no handle at all was opened or closed since `scope` began, so that there is nothing to judge."""
        return self._records[scope].since == stamps

    def leave(self, scope: Scope) -> Tally:
        """The tally of `scope`, which is no longer followed."""
        self._over.add(scope)
        return self._records.pop(scope, None) or Tally()

    def __call__(self, look: Look) -> None:
        """Sorts the handles and findings of a look. Called by the thread that ticks."""
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
        for counted in (scope, *scope.around):
            record = self._records.get(counted)
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
                continue  # the block itself raises this finding, and a test that catches it has judged it
            mine = tuple(handle for handle in finding.handles if handle.opened_stamp in record.handles)
            if mine and len(record.findings) < MOST and not self._holds_leaks(finding, record):
                record.findings += self._share(finding, mine)

    def _holds_leaks(self, finding: Finding, record: Tally) -> bool:
        """Whether all that the owners of `finding` held meanwhile was left open by tests or fixtures that are over."""
        return bool(finding.held) and all(
            handle.opened_stamp not in record.handles
            and handle.scope is not None
            and not self._over.isdisjoint((handle.scope, *handle.scope.around))
            for handle in finding.held
        )

    def _share(self, finding: Finding, mine: tuple[Handle, ...]) -> list[Finding]:
        """The part of `finding` that is about `mine`, those of its handles that one scope opened; [] for none."""
        rule = rule_of(finding.rule)
        if len(mine) == len(finding.handles):
            return [finding]
        if rule.of_the_run:
            return []
        if rule.compared_with_a_limit:
            return self._too_many(finding, mine)
        whole = finding.parts or not finding.adds_up  # a list of who holds what, or two handles that belong together
        return [finding if whole else replace(finding, handles=mine, count=len(mine))]

    def _too_many(self, finding: Finding, mine: tuple[Handle, ...]) -> list[Finding]:
        parts = parts_of(mine)
        first = parts[0]
        most = self.watch.limits.too_many.at(first.site.frame if first.site else None) if self.watch else 0
        if len(mine) < most:
            return []
        mine_alone = replace(finding, handles=mine, count=len(mine), parts=parts, site=first.site, spawn=first.spawn)
        return [replace(mine_alone, numbers=(share(first.count, len(mine)),), why=(), advice=finding.advice)]
