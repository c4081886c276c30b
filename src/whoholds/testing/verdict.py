"""The judging of a test, fixture or block at its end: what it opened, its peak, and the findings.

Called by the code that runs tests, and must never be called in a library's hook. It keeps handles, which hold no
object of the program's.
"""

from __future__ import annotations

import _thread
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import ERROR as SEVERE
from whoholds.analysis.finding import INFO, Finding, parts_of, share
from whoholds.analysis.joining import Joining
from whoholds.analysis.peaks import loans_of
from whoholds.analysis.rules import rule_of
from whoholds.analysis.snapshot import Ending
from whoholds.ledger.cpython import current_task
from whoholds.ledger.here import current_owner
from whoholds.reporting.records import finding_record
from whoholds.reporting.report import text
from whoholds.testing.policy import ERROR, OFF, REPORT, Policy
from whoholds.watching.repeats import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.scope import Scope
    from whoholds.testing.tally import Tallies, Tally
    from whoholds.watching.watch import Watch

PATIENCE_S = 0.1  # seconds for other threads to close what they hold, before a finding would accuse them


@dataclass(frozen=True)
class Verdict:
    """The result of one test, fixture or block."""

    scope: Scope
    record: Tally
    judged: tuple[tuple[Finding, str], ...]  # each finding with its effect: `report` or `error`

    @property
    def failing(self) -> tuple[Finding, ...]:
        """The findings that fail the test, fixture or block."""
        return tuple(finding for finding, does in self.judged if does == ERROR)

    def as_data(self) -> dict[str, Any]:
        """The verdict as JSON types, as it crosses from one process to another."""
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
    """The verdict at the end of `scope`. It waits for other threads and collects garbage only before an accusation."""
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
    if watch.history.retries.waiting:  # nobody tries again what was locked out in a test that is over
        watch.tick(ending)
    if watch.ledger.unseen:  # the collector ran by itself, in the middle of our look
        watch.tick()
    return verdict(scope, recorder.leave(scope), choices)


def verdict(scope: Scope, record: Tally, choices: Policy) -> Verdict:
    """The verdict that `choices` give on a tally."""
    judged = [(finding, does(finding, choices)) for finding in _once(record.findings)]
    judged = [(finding, what) for finding, what in judged if what != OFF and not choices.allows(finding)]
    judged += [(finding, ERROR) for finding in over_the_top(record, choices)]
    joining = Joining()
    return Verdict(
        scope,
        record,
        tuple(
            (replace(finding, matter=joining.matter_of(finding, f"{scope.name} {number}")), what)
            for number, (finding, what) in enumerate(judged)
        ),
    )


def does(finding: Finding, choices: Policy) -> str:
    """The effect of a finding on its test: `off`, `report` or `error`.

    A finding of severity info has none unless its rule was chosen by name.
    """
    if finding.severity == INFO and finding.rule not in choices.rules:
        return OFF
    return choices.of(finding.rule)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """The findings without those that another finding contains.

    Such a finding is of the rule named by `contained_in`, about the same handles.
    """
    by_key: dict[tuple[object, ...], Finding] = {}
    for finding in findings:  # the collector may have freed handles both before the end and at it
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
    """Findings of `max-open` and `max-connects`, which say who held the handles that were too many."""
    found = []
    if choices.max_open is not None and choices.asks:
        there = record.at_most
        if len(there) > choices.max_open:
            found.append(_too_many("max-open", there, "{verb} %s{n} at once, %d allowed", choices.max_open))
    if choices.max_connects is not None and choices.asks:
        made = tuple(record.connects)
        if len(made) > choices.max_connects:
            found.append(_too_many("max-connects", made, "{verb} %s{n} in all, %d allowed", choices.max_connects))
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
        (share(first.count, len(handles)), allowed),
        first.site,
        first.spawn,
        parts=parts,
        adds_up=False,
        now=max(one.closed_at or one.used_at for one in handles),
    )


def _settle(watch: Watch, ending: Ending, sleep: Callable[[float], None]) -> None:
    """Wait at most `PATIENCE_S` while other threads hold handles of this scope: they may be about to close them."""
    pause, waited = 0.001, 0.0
    while waited < PATIENCE_S and any(busy_elsewhere(one) for one in loans_of(watch.handles) if ending.covers(one)):
        sleep(pause)
        waited += pause
        pause *= 2


def busy_elsewhere(handle: Handle) -> bool:
    """Whether another thread or task that has not ended holds the handle: it may be about to close it."""
    owner = handle.owner
    if owner is None or handle.at_home or current_owner() in (owner, owner.part_of):
        return False
    here = owner.ident == _thread.get_ident()
    if here and (owner.kind != "task" or current_task() is None):
        return False  # no other task of this thread can run while we wait
    return owner.job_over_at is None and not owner.gone()


def kept_by_django(handle: Handle) -> bool:
    """Whether Django opened the handle for its thread, which still lives.

    Django keeps one connection for each alias, and closes it itself.
    """
    owner = handle.owner
    if handle.pool is not None or owner is None or owner.kind == "task" or (owner.thread or owner).gone():
        return False
    return any(
        code.co_filename.replace("\\", "/").endswith("django/db/backends/base/base.py")  # type: ignore[union-attr]
        for code in handle.origin[::2]
    )


def fails_for_new_only(verdict_: Verdict, known: Mapping[str, object]) -> Verdict:
    """The same verdict, except that findings which a baseline knows are only reported."""
    judged = tuple((one, REPORT if one.fingerprint in known else does_) for one, does_ in verdict_.judged)
    return replace(verdict_, judged=judged)
