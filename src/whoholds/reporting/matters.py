"""Matters: findings about the same handles, which are reported together and counted once.

A matter is a list of its findings, or of their records, the worst first. The journal keeps a record for each finding.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from whoholds.analysis.finding import SEVERITIES
from whoholds.analysis.rules import rule_of
from whoholds.reporting.records import finding_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from whoholds.analysis.finding import Finding

    Record = dict[str, Any]
    Rank = tuple[str, str, int]

T = TypeVar("T")


def matters(findings: Iterable[Finding]) -> list[list[Finding]]:
    """The findings of one process as matters, in the order of their first findings."""
    return _grouped(findings, lambda finding: finding.matter or finding.id, _RANK)


def matters_of_records(records: Iterable[Record]) -> list[list[Record]]:
    """The records of findings as matters, in the order of their first records. Each process has its own matters."""
    return _grouped(
        records,
        lambda record: (
            *process_of(record),
            record.get("matter") or record["id"],
        ),
        _rank_of_record,
    )


def alike(groups: Iterable[list[Record]]) -> list[list[list[Record]]]:
    """The matters of records, those together that differ in the process alone: each process once, the worst first.

    They have the same rules, lines and fingerprints. A record without a fingerprint is like no other.
    """
    alike: dict[object, list[list[Record]]] = {}
    met: Counter[object] = Counter()
    for group in groups:
        what = tuple((record.get("fingerprint") or id(record), *_lines(record)) for record in group)
        met[what, process_of(group[0])] += 1
        alike.setdefault((what, met[what, process_of(group[0])]), []).append(group)
    return [sorted(same, key=lambda group: _weight(_rank_of_record(group[0])), reverse=True) for same in alike.values()]


def process_of(record: Record) -> tuple[object, ...]:
    """What tells the process of a record from all others: the number of its journal, its pid, its interpreter.

    The fourth is its number among the processes that had this pid one after the other.
    """
    return (record.get("journal"), record.get("pid"), record.get("interpreter"), record.get("process"))


def worst_finding(groups: Iterable[Sequence[Finding]]) -> Finding | None:
    """The finding by which the worst of the matters is named, or None if there is none."""
    return _worst(groups, _RANK)


def worst_record(groups: Iterable[Sequence[Record]]) -> Record | None:
    """The record by which the worst of the matters is named, or None if there is none."""
    return _worst(groups, _rank_of_record)


def report_of(group: Sequence[Record]) -> str:
    """The report of a matter: that of its worst finding, and for each of the others a sentence, and what it adds."""
    first, *others = group
    report: str = first.get("report") or f"whoholds: {first['message']}"
    known = set(first.get("why") or ())
    lines = [report]
    for record in others:
        said = [sentence for sentence in record.get("why") or () if sentence not in known]
        known.update(said)
        lines.append(f"  Also {record.get('rule', '')}: {record.get('reason') or record['message']}.")
        lines += [f"    {sentence}" for sentence in said]
    return "\n".join(lines)


def reports(findings: Iterable[Finding]) -> list[str]:
    """The report of each matter of these findings of one process."""
    return [report_of([finding_record(finding) for finding in group]) for group in matters(findings)]


_RANK: Callable[[Finding], Rank] = attrgetter("severity", "rule", "count")


def _lines(record: Record) -> list[object]:
    """The opening line and the spawn line, as far as they tell two findings apart."""
    return [(line["file"], line["line"]) if line else None for line in map(record.get, ("opened", "spawned"))]


def _rank_of_record(record: Record) -> Rank:
    return record["severity"], record.get("rule", ""), record.get("count", 0)


def _worst(groups: Iterable[Sequence[T]], rank: Callable[[T], Rank]) -> T | None:
    """The first finding of the worst matter, or None. `rank` gives the severity, rule and count of a finding."""
    return max((group[0] for group in groups), key=lambda first: _weight(rank(first)), default=None)


def _weight(rank: Rank) -> tuple[int, bool, int]:
    severity, rule, count = rank
    return SEVERITIES.index(severity), rule_of(rule).hurts_now, count


def _grouped(items: Iterable[T], key: Callable[[T], object], rank: Callable[[T], Rank]) -> list[list[T]]:
    groups: dict[object, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return [sorted(group, key=lambda item: _weight(rank(item))[:2], reverse=True) for group in groups.values()]
