"""Decides which findings are reported at a look, and which of them belong to one matter.

These are new findings, findings whose count doubled or whose severity rose, and repeats older than WHOHOLDS_REPEAT.
Findings about the same handles are one matter. The module must not know any rule by name, and its memory is bounded:
beyond `MOST` findings only their number is kept.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whoholds.analysis.finding import SEVERITIES, Finding, holders_of
from whoholds.analysis.joining import Joining
from whoholds.ledger.cpython import interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST = 1000  # different findings that are kept
MOST_BEYOND = 100_000  # others that are counted once each; beyond them a finding that comes again counts again
KEPT_HANDLES = 100  # handles of one finding that are kept from look to look, for display
LOUDER = 10  # a repeat is printed if the count has grown so many times since; records follow when it doubles


@dataclass(eq=False)
class _Running:
    """One finding over the life of the process, merged, and when it was reported last."""

    finding: Finding
    said_count: int = 0
    said_severity: str = ""
    said_at: float = 0.0
    unsaid: int = 0
    loud_count: int = 0  # the same two, for printed reports
    loud_at: float = 0.0
    unheard: int = 0  # the growth that was recorded and not printed


class Repeats:
    """All findings so far; decides at each look which of them are due to be reported."""

    def __init__(self, repeat: float, pid: Callable[[], int] = os.getpid) -> None:
        self.repeat = repeat
        self._pid = pid
        self._running: dict[tuple[object, ...], _Running] = {}
        self.counts: dict[tuple[str, str], int] = {}  # (rule, severity) → number of findings, also of those not kept
        self.dropped = 0  # findings that are only counted
        self.left_out: Counter[str] = Counter()  # their matters, by severity
        self._beyond: set[int] = set()  # hashes of their keys, so that each is counted once
        self._joining = Joining()

    def findings(self) -> list[Finding]:
        """Every finding so far, merged, in the order in which each was first found."""
        return [running.finding for running in self._running.values()]

    def due(self, findings: Iterable[Finding], now: float, wall: float, *, last: bool = False) -> list[Finding]:
        """Merge `findings` into those before; returns the findings to report now.

        If this is the last look, these include every finding that has grown since its last report. `now` is a time of
        the ledger's clock, `wall` is in seconds since the epoch.
        """
        said: list[Finding] = []
        for running in dict.fromkeys(filter(None, [self._merge(finding, now, wall) for finding in findings])):
            if self._is_due(running, now):
                said.append(self._say(running, now, wall))
            running.finding = bounded(running.finding)  # what is said of it has all handles of this look
        if last:
            for running in self._running.values():
                if running.unsaid or (running.unheard and not running.finding.scope):
                    said.append(self._say(running, now, wall, last=True))  # noqa: PERF401 - clearer as a loop
        return said

    def _merge(self, finding: Finding, now: float, wall: float) -> _Running | None:
        """The finding over the life of the process that `finding` is now a part of; None if it is only counted."""
        key = finding.key
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= MOST:
                self._leave_out(finding)
                return None
            identity = _new_id(self._pid())
            matter = self._joining.matter_of(finding, identity)
            running = self._running[key] = _Running(finding.changed(id=identity, matter=matter, now=now, time=wall))
            self._count(finding.rule, finding.severity)
        else:
            if running.said_severity:
                running.unsaid += finding.count if finding.adds_up else finding.times or 1
            running.finding = merged(running.finding, finding.changed(now=now, time=wall))
            self._joining.matter_of(finding, running.finding.matter)
        return running

    def _leave_out(self, finding: Finding) -> None:
        """Only count a finding; its matter too, if that is new."""
        key = hash(finding.key)
        if key in self._beyond:
            return
        if len(self._beyond) < MOST_BEYOND:
            self._beyond.add(key)
        self.dropped += 1
        self._count(finding.rule, finding.severity)
        matter = f"beyond {self.dropped}"
        if self._joining.matter_of(finding, matter) == matter:
            self.left_out[finding.severity] += 1

    def _count(self, rule: str, severity: str) -> None:
        self.counts[rule, severity] = self.counts.get((rule, severity), 0) + 1

    def _is_due(self, running: _Running, now: float) -> bool:
        finding = running.finding
        if not running.said_severity:
            return True
        worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(running.said_severity)
        return worse or finding.count >= 2 * running.said_count or now - running.said_at >= self.repeat

    def _say(self, running: _Running, now: float, wall: float, *, last: bool = False) -> Finding:
        finding = running.finding
        since = running.unsaid
        # if it has not, its words are the same
        has_grown = finding.adds_up or finding.times or finding.count > running.loud_count
        aloud = (
            (last and has_grown)
            or finding.severity != running.said_severity
            or finding.count >= LOUDER * running.loud_count
            or now - running.loud_at >= self.repeat
        )
        if aloud:
            since += running.unheard
            running.loud_count, running.loud_at, running.unheard = finding.count, now, 0
        else:
            running.unheard += since
        running.said_count, running.said_severity, running.said_at = finding.count, finding.severity, now
        running.unsaid = 0
        return finding.changed(since=since, now=now, time=wall, aloud=aloud)

    def forget(self) -> None:
        """Forget everything: in a forked child, the findings of the parent are left to the parent."""
        self._running.clear()
        self._joining.forget()
        self.counts.clear()
        self.dropped = 0
        self.left_out.clear()
        self._beyond.clear()


_numbers: dict[int, itertools.count[int]] = {}  # by process id, one entry: the next number


def _new_id(pid: int) -> str:
    """An id that no other finding of this process has, whichever of its watches finds it."""
    numbers = _numbers.get(pid)
    if numbers is None:  # the first finding of this process; what a parent has found is not counted on
        _numbers.clear()
        numbers = _numbers.setdefault(pid, itertools.count(1))
    number = interpreter()
    return f"{pid:x}{f'.{number}' if number else ''}-{next(numbers)}"


def merged(old: Finding, new: Finding) -> Finding:
    """One finding for both, with the worse severity.

    Its count is the sum, or, if the new finding's counts do not add up, it is the finding with the higher count.
    """
    severity = max(old.severity, new.severity, key=SEVERITIES.index)
    if not new.adds_up:
        times = old.times + new.times
        if new.count < old.count:
            return old.changed(severity=severity, times=times)
        return new.changed(id=old.id, matter=old.matter, severity=severity, scope=old.scope, times=times)
    handles = dict.fromkeys((*old.handles, *new.handles))
    return new.changed(
        id=old.id,
        matter=old.matter,
        severity=severity,
        count=old.count + new.count,
        handles=tuple(handles),
        unkept=old.unkept,
        more_owners=old.more_owners,
    )


def bounded(finding: Finding) -> Finding:
    """The finding with at most `KEPT_HANDLES` handles; the others are in its numbers only.

    The first handle, and those that were held and unused longest, are kept.
    """
    handles, now = finding.handles, finding.now
    if len(handles) <= KEPT_HANDLES:
        return finding
    held = [  # `Handle.held_s` and `Handle.idle_s`, written out: a first look may bring ten thousand
        (now if one.closed_at is None else one.closed_at) - one.opened_at - one.lost_s for one in handles
    ]
    idle = [
        (now if one.closed_at is None else one.closed_at) - one.used_at
        if one.parent is None and not one.caller
        else one.idle_s(now)
        for one in handles
    ]
    longest, unused = handles[held.index(max(held))], handles[idle.index(max(idle))]
    ordered = tuple(dict.fromkeys((handles[0], longest, unused, *handles)))
    kept, others = ordered[:KEPT_HANDLES], ordered[KEPT_HANDLES:]
    return finding.changed(
        handles=kept,
        unkept=finding.unkept + len(others),
        more_owners=finding.more_owners or not holders_of(others) <= holders_of(kept),
    )
