"""A test, fixture or block judged at its end: what it opened, its peak, and what is wrong with it.

Called by whoever runs tests, never in a hook of a library's. It keeps handles, which hold nobody's objects.
"""

from __future__ import annotations

import _thread
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import ERROR as SEVERE
from whoholds.analysis.finding import INFO, Finding, parts_of
from whoholds.analysis.peaks import loans_of
from whoholds.analysis.rules import rule_of
from whoholds.analysis.snapshot import Ending
from whoholds.ledger.cpython import current_task
from whoholds.ledger.here import current_owner
from whoholds.reporting.records import finding_record
from whoholds.reporting.wording import text
from whoholds.testing.policy import ERROR, OFF, REPORT, Policy
from whoholds.watching.repeats import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.scope import Scope
    from whoholds.testing.tally import Tallies, Tally
    from whoholds.watching.watch import Watch

PATIENCE_S = 0.1  # for other threads to close what they hold, where something would be accused


@dataclass(frozen=True)
class Verdict:
    """What came of one test, fixture or block."""

    scope: Scope
    record: Tally
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
            "largest": f"{most[0].count} × {most[0].site.frame.place} in {most[0].site.frame.function}"
            if most and most[0].site
            else "",
            "connects": len(self.record.connects),
            "findings": [
                {
                    **finding_record(finding),
                    "does": does,
                    "longer": text(finding, most_frames=16),
                }
                for finding, does in self.judged
            ],
        }


def judge(
    watch: Watch,
    recorder: Tallies,
    scope: Scope,
    choices: Policy,
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


def verdict(scope: Scope, record: Tally, choices: Policy) -> Verdict:
    """What `choices` make of a record."""
    judged = [(finding, does(finding, choices)) for finding in _once(record.findings)]
    judged = [(finding, what) for finding, what in judged if what != OFF and not choices.allows(finding)]
    judged += [(finding, ERROR) for finding in over_the_top(record, choices)]
    return Verdict(scope, record, tuple(judged))


def does(finding: Finding, choices: Policy) -> str:
    """What it does to its test; one that is only worth an info does nothing unless its rule was chosen."""
    if finding.severity == INFO and finding.rule not in choices.rules:
        return OFF
    return choices.of(finding.rule)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Without those that another finding contains: one of the rule that says this too, about the same handles."""
    by_key: dict[tuple[object, ...], Finding] = {}
    for finding in findings:  # what the collector freed before the end, and at it
        known = by_key.get(finding.key)
        by_key[finding.key] = finding if known is None else merged(known, finding)
    all_ = list(by_key.values())
    named: dict[str, set[int]] = {}
    for finding in all_:
        named.setdefault(finding.rule, set()).update(handle.opened_stamp for handle in finding.handles)
    return [
        finding
        for finding in all_
        if not named.get(rule_of(finding.rule).contained_in, set()).issuperset(
            handle.opened_stamp for handle in finding.handles
        )
        or not finding.handles
    ]


def over_the_top(record: Tally, choices: Policy) -> list[Finding]:
    """Findings of `max-open` and `max-connects`, with the composition of what was too much."""
    found = []
    if choices.max_open is not None and choices.asks:
        there = record.at_most
        if len(there) > choices.max_open:
            found.append(_too_many("max-open", there, "{verb} %d of {n} at once, %d allowed", choices.max_open))
    if choices.max_connects is not None and choices.asks:
        made = tuple(record.connects)
        if len(made) > choices.max_connects:
            found.append(_too_many("max-connects", made, "{verb} %d of {n} in all, %d allowed", choices.max_connects))
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
        phrase,
        (first.count, allowed),
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
    if owner is None or handle.at_home or current_owner() in (owner, owner.part_of):
        return False
    here = owner.ident == _thread.get_ident()
    if here and (owner.kind != "task" or current_task() is None):
        return False  # nothing else runs here while we wait
    return owner.job_over_at is None and not owner.gone()


def kept_by_django(handle: Handle) -> bool:
    """Whether Django opened it for its thread, which still lives: it keeps one for each alias and closes it."""
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
