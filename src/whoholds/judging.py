"""A test, fixture or block judged at its end: what it opened, its peak, and what is wrong with it.

Called by whoever runs tests, never in a hook of a library's. It keeps handles, which hold nobody's objects.
"""

from __future__ import annotations

import _thread
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from whoholds.choices import ERROR, OFF, REPORT, Choices
from whoholds.finding import INFO, Finding, parts_of
from whoholds.finding import ERROR as SEVERE
from whoholds.handle import CONNECTION, Handle
from whoholds.intervals import loans_of, most_at_once
from whoholds.journal import finding_record
from whoholds.snapshot import Ending
from whoholds.spawn import current_owner, current_task
from whoholds.wording import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from whoholds.finding import Look
    from whoholds.running import Watch
    from whoholds.scopes import Scope

PATIENCE_S = 0.1  # for threads that a test started to close what they hold: only where something would be accused
MOST = 1000  # of anything that is remembered about late comers
UNSAID = ("given-back",)
AT_ITS_END = ("left-open", "cursor-left-open")  # what only the end of a scope brings


@dataclass
class Record:
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

    def __init__(self, watch: Watch, record: Record) -> None:
        self._watch = watch
        self._record = record

    def _now(self) -> Record:
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


class Recorder:
    """An output of the watch: what each look brought, sorted by the scopes that are followed."""

    name = "suite"

    def __init__(self) -> None:
        self._records: dict[Scope, Record] = {}
        self._over: WeakSet[Scope] = WeakSet()  # scopes that were followed
        self.late: list[Handle] = []  # opened for a scope that was over: by a thread that outlived its test

    def follow(self, scope: Scope, since: int = -1) -> Record:
        """Collect what belongs to `scope` from now on; `since` is what the ledger's `stamps` are now."""
        record = self._records[scope] = Record(since=since)
        return record

    def untouched(self, scope: Scope, stamps: int) -> bool:
        """Whether nothing at all was opened or closed since `scope` began: then there is nothing to look at."""
        return self._records[scope].since == stamps

    def leave(self, scope: Scope) -> Record:
        """What belonged to it, and no more of that."""
        self._over.add(scope)
        return self._records.pop(scope, None) or Record()

    def __call__(self, look: Look) -> None:
        """Called by the thread that ticks."""
        for handle in look.snapshot.new:
            self._sort(handle)
        for finding in look.found:
            if finding.rule not in UNSAID:
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
            if ending is not None and ending.kind == "block" and finding.rule in AT_ITS_END and scope is not ending.scope:
                continue  # the block says it, and whoever catches that has judged
            mine = tuple(one for one in finding.handles if one.opened_stamp in record.handles)
            if mine and len(record.findings) < MOST:
                whole = finding.parts or not finding.adds_up or len(mine) == len(finding.handles)
                record.findings.append(finding if whole else replace(finding, handles=mine, count=len(mine)))


@dataclass(frozen=True)
class Verdict:
    """What came of one test, fixture or block."""

    scope: Scope
    record: Record
    judged: tuple[tuple[Finding, str], ...]  # each with what it does: `report` or `error`

    @property
    def failing(self) -> tuple[Finding, ...]:
        """What it fails for."""
        return tuple(finding for finding, does in self.judged if does == ERROR)

    def as_data(self) -> dict[str, Any]:
        """Everything as JSON types: what crosses from one process to another."""
        most = parts_of(self.record.at_most)
        return {
            "name": self.scope.name,
            "kind": self.scope.kind,
            "peak": len(self.record.at_most),
            "largest": f"{most[0].count} × {most[0].site.frame.place} in {most[0].site.frame.function}" if most and most[0].site else "",
            "connects": len(self.record.connects),
            "findings": [
                {**finding_record(finding), "does": does, "text": text(finding), "longer": text(finding, most_frames=16)}
                for finding, does in self.judged
            ],
        }


def judge(
    watch: Watch,
    recorder: Recorder,
    scope: Scope,
    choices: Choices,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """What is wrong at the end of `scope`. Settles and collects garbage only where it would accuse otherwise."""
    if recorder.untouched(scope, watch.ledger.stamps):
        return Verdict(scope, recorder.leave(scope), ())
    ending = Ending(scope.kind, scope.name, scope)
    watch.tick()
    if any(map(ending.covers, watch.handles)):
        _settle(watch, ending, sleep)
        for handle in filter(ending.covers, watch.handles):
            if kept_by_django(handle):
                handle.at_home = True
        watch.end(ending)
    if watch.ledger.unseen:  # the collector came by itself, in the middle of our look
        watch.tick()
    return verdict(scope, recorder.leave(scope), choices)


def verdict(scope: Scope, record: Record, choices: Choices) -> Verdict:
    """What `choices` make of a record."""
    judged = [(finding, does(finding, choices)) for finding in _once(record.findings)]
    judged = [(finding, what) for finding, what in judged if what != OFF and not choices.allows(finding)]
    judged += [(finding, ERROR) for finding in over_the_top(record, choices)]
    return Verdict(scope, record, tuple(judged))


def does(finding: Finding, choices: Choices) -> str:
    """What it does to its test; one that is only worth an info does nothing unless its rule was chosen."""
    if finding.severity == INFO and finding.rule not in choices.rules:
        return OFF
    return choices.of(finding.rule)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Without those whose handles another finding says to be left open already."""
    all_ = list(findings)
    left = {one.opened_stamp for finding in all_ if finding.rule == "left-open" for one in finding.handles}
    hidden = ("cursor-left-open", "owner-gone")
    return [
        one for one in all_ if one.rule not in hidden or not all(handle.opened_stamp in left for handle in one.handles)
    ]


def over_the_top(record: Record, choices: Choices) -> list[Finding]:
    """Findings of `max-open` and `max-connects`, with the composition of what was too much."""
    found = []
    if choices.max_open is not None and choices.asks:
        there = record.at_most
        if len(there) > choices.max_open:
            found.append(_too_many("max-open", there, "{n} open at once to %s, %d allowed,", choices.max_open))
    if choices.max_connects is not None and choices.asks:
        made = tuple(record.connects)
        if len(made) > choices.max_connects:
            found.append(_too_many("max-connects", made, "{n} to %s opened in all, %d allowed,", choices.max_connects))
    return found


def _too_many(rule: str, handles: tuple[Handle, ...], phrase: str, allowed: int) -> Finding:
    parts = parts_of(handles)
    first = parts[0]
    return Finding(
        rule,
        SEVERE,
        first.handles[0].database,
        handles,
        len(handles),
        f"{phrase} %d",
        (allowed, first.count),
        first.site,
        first.spawn,
        parts=parts,
        adds_up=False,
        now=max(one.closed_at or one.used_at for one in handles),
    )


def _settle(watch: Watch, ending: Ending, sleep: Callable[[float], None]) -> None:
    """Wait a little while other threads hold what would be accused: they may be about to close it."""
    pause, waited = 0.001, 0.0
    while waited < PATIENCE_S and any(busy_elsewhere(one) for one in loans_of(watch.handles) if ending.covers(one)):
        sleep(pause)
        waited += pause
        pause *= 2


def busy_elsewhere(handle: Handle) -> bool:
    """Whether another thread, or another task, holds it that has not ended: it may be about to close it."""
    owner = handle.owner
    if owner is None or handle.at_home or owner is current_owner():
        return False
    here = owner.ident == _thread.get_ident()
    if here and (owner.kind != "task" or current_task() is None):
        return False  # nothing else runs here while we wait
    return owner.job_over_at is None and not owner.gone()


def kept_by_django(handle: Handle) -> bool:
    """Whether Django opened it for its thread, which still lives: it keeps one for each alias, and closes it itself."""
    owner = handle.owner
    if handle.pool is not None or owner is None or owner.kind == "task" or (owner.thread or owner).gone():
        return False
    return any(
        code.co_filename.replace("\\", "/").endswith("django/db/backends/base/base.py")  # type: ignore[union-attr]
        for code in handle.origin[::2]
    )


def fails_for_new_only(verdict_: Verdict, known: Mapping[str, object]) -> Verdict:
    """The same, but what a baseline knows is only reported."""
    judged = tuple((one, REPORT if one.fingerprint in known else does_) for one, does_ in verdict_.judged)
    return replace(verdict_, judged=judged)
