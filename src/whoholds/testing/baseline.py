"""The baseline: known findings, by fingerprint and with their counts, in a file that the repository keeps.

It says which findings are new, which have grown and which have become fewer. It must not judge anything else, and
prints nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whoholds.analysis.habits import place_of
from whoholds.reporting.files import Kind, open_for_reading, write_whole
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    Tally = Mapping[str, Any]  # a finding's record as in the journal: fingerprint, rule, count, opened, spawned, …

VERSION = 1
UPDATE = "--update-baseline, in pytest --whoholds-update-baseline"


BASELINE = Kind("a baseline", lambda head: b'"findings"' in head)


class WrongBaselineError(ValueError):
    """The file is no valid baseline. The message names it, what is wrong with it, and how to write a new one."""

    def __init__(self, path: Path, wrong: str) -> None:
        super().__init__(f"baseline {path}: {wrong}; write a new one with {UPDATE}")


@dataclass(frozen=True)
class Known:
    """One fingerprint of a baseline, with its count. Line numbers are not kept, for they change."""

    fingerprint: str
    rule: str
    count: int
    opened: str = ""  # shop/cars.py in load_cars
    spawned: str = ""

    def __str__(self) -> str:
        spawned = f", spawned in {self.spawned}" if self.spawned else ""
        return f"{self.rule}: opened in {self.opened or 'an unknown place'}{spawned}"


@dataclass(frozen=True)
class Comparison:
    """The findings of a run compared with those of a baseline."""

    new: list[Tally] = field(default_factory=list)  # findings whose fingerprints are not in the file
    grown: list[Tally] = field(default_factory=list)  # findings whose count is above that in the file
    fewer: list[tuple[Known, int]] = field(default_factory=list)  # known fingerprints, and their smaller counts now
    known: Mapping[str, Known] = field(default_factory=dict)

    @property
    def failing(self) -> list[Tally]:
        """The findings that are new and those that have grown."""
        return [*self.new, *self.grown]

    def lines(self) -> list[str]:
        """The comparison as lines for a person; none if everything is as the file has it."""
        lines = [f"new, not in the baseline: {_known(record)}, {record['count']} ×" for record in self.new]
        for record in self.grown:
            before = self.known[record["fingerprint"]].count
            lines.append(f"grown from {before} to {record['count']}: {_known(record)}")
        for known, count in self.fewer:
            less = f"fewer, {count} instead of {known.count}" if count else "gone"
            lines.append(f"{less}: {known} ({UPDATE}, keeps it so)")
        return lines


def load(path: Path) -> dict[str, Known]:
    """The file's findings by fingerprint. Raises `WrongBaselineError` if the file is missing or no valid baseline."""
    try:
        with open_for_reading(path) as file:
            content = json.loads(file.read().decode("utf-8"))
    except OSError as error:
        raise WrongBaselineError(path, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise WrongBaselineError(path, f"is not JSON ({visible(str(error)[:200])})") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        got = content.get("version", "none") if isinstance(content, dict) else "none"
        raise WrongBaselineError(path, f"version {visible(str(got)[:40])}, where this whoholds takes {VERSION}")
    entries: list[Any] = content["findings"] if isinstance(content.get("findings"), list) else [None]
    wrong = [entry for entry in entries if not _is_entry(entry)]
    if wrong:
        got = visible(str(wrong[0])[:100])
        raise WrongBaselineError(path, f"an entry has not fingerprint, rule, count, opened, spawned ({got})")
    return {entry["fingerprint"]: Known(**entry) for entry in entries}


def _is_entry(entry: object) -> bool:
    texts = {"fingerprint", "rule", "opened", "spawned"}
    return (
        isinstance(entry, dict)
        and {"fingerprint", "rule", "count"} <= set(entry) <= {*texts, "count"}
        and all(isinstance(entry.get(name, ""), str) for name in texts)
        and type(entry["count"]) is int
    )


def compare(known: Mapping[str, Known], found: Iterable[Tally]) -> Comparison:
    """`found` compared with `known`; the counts of several findings with one fingerprint are added up."""
    now = _added_up(found)
    return Comparison(
        [record for print_, record in now.items() if print_ not in known],
        [record for print_, record in now.items() if print_ in known and record["count"] > known[print_].count],
        [
            (entry, count)
            for print_, entry in known.items()
            if (count := now[print_]["count"] if print_ in now else 0) < entry.count
        ],
        known,
    )


def write(path: Path, found: Iterable[Tally], habits: list[dict[str, Any]] | None = None) -> None:
    """Write `found` as the new baseline: sorted, one entry a fingerprint, so that diffs read well. Raises OSError.

    `habits` are what the lines were used to, as entries, if they are learned (`WHOHOLDS_LEARN`).
    """
    entries = sorted(
        map(_known, _added_up(found).values()),
        key=lambda entry: (entry.rule, entry.opened, entry.fingerprint),
    )
    content: dict[str, Any] = {"version": VERSION, "findings": [vars(entry) for entry in entries]}
    if habits is not None:
        content["habits"] = habits
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _added_up(found: Iterable[Tally]) -> dict[str, dict[str, Any]]:
    now: dict[str, dict[str, Any]] = {}
    for record in found:
        before = now.get(record["fingerprint"])
        count = record["count"] + (before["count"] if before else 0)
        now[record["fingerprint"]] = {**record, "count": count}
    return now


def _known(record: Tally) -> Known:
    return Known(
        record["fingerprint"],
        record["rule"],
        record["count"],
        _place(record.get("opened")),
        _place(record.get("spawned")),
    )


def _place(line: Mapping[str, Any] | None) -> str:
    return place_of(line["file"], line["function"]) if line else ""
