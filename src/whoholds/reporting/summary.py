"""A run in two lines and its busiest opening lines: from the live history and from journals alike."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import INFO, SEVERITIES
from whoholds.analysis.frames import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.reporting.journal import Journal


BUSIEST = 3
MANY = 10  # pids


class Told:
    """What journals said, all processes together; the last word of each finding."""

    def __init__(self, journals: Iterable[Journal]) -> None:
        self.journals = list(journals)
        self.records = [record for journal in self.journals for record in journal.records]
        self.findings = [finding for journal in self.journals for finding in journal.findings]
        self.cuts = [journal.cut for journal in self.journals if journal.cut]

    @property
    def runs(self) -> int:
        """How many processes wrote."""
        return sum(record["type"] == "run" for record in self.records)

    @property
    def unended(self) -> list[int]:
        """The pids of those that did not write their last line."""
        began, ended = (Counter(one["pid"] for one in self.records if one["type"] == what) for what in ("run", "end"))
        return sorted(began - ended)

    @property
    def above_info(self) -> list[dict[str, Any]]:
        """The findings that are said unasked."""
        return [finding for finding in self.findings if finding["severity"] != INFO]

    @property
    def handles(self) -> list[dict[str, Any]]:
        """The handles that were opened, but cursors."""
        return [record for record in self.records if record["type"] == "handle" and record["kind"] != "cursor"]

    @property
    def peak(self) -> tuple[int, str]:
        """The most open at once to one database by one process, and that database; (0, "") where none was seen."""
        peaks = [(record["count"], record["database"]) for record in self.records if record["type"] == "peak"]
        return max(peaks, default=(min(len(self.handles), 1), self.handles[0]["database"] if self.handles else ""))


def headline(told: Told) -> str:
    """The one line that a run ends with, also when all is clean."""
    opened = sum(record["kind"] == "connection" for record in told.handles)
    most, database = told.peak
    held = f"{opened} connection{'s' * (opened != 1)} opened"
    held += " and closed" * bool(told.unended)  # what is open is written at the end
    held += f", at most {most} at once to {database}" if opened else ""
    processes = f" in {told.runs} processes" if told.runs > 1 else ""
    found = told.above_info
    if not found:
        return f"whoholds: clean{' so far' if told.unended else ''}: {held}{processes}"
    return f"whoholds: {counted(finding['severity'] for finding in found)}: {held}{processes}"


def counted(severities: Iterable[str]) -> str:
    """`3 findings (1 error, 2 warnings)`."""
    counts = Counter(severities)
    parts = [f"{counts[one]} {one}{'s' * (counts[one] != 1)}" for one in reversed(SEVERITIES) if counts[one]]
    total = sum(counts.values())
    return f"{total} finding{'s' * (total != 1)} ({', '.join(parts)})"


def busiest(handles: Iterable[dict[str, Any]]) -> list[str]:
    """The lines that opened or borrowed most: `shop/cars.py:42 in load_cars opened 41`."""
    counts = Counter(
        (one["opened"]["file"], one["opened"]["line"], one["opened"]["function"], one["kind"] == "checkout")
        for one in handles
        if one.get("opened")
    )
    return [
        f"{shown_path(file)}:{line} in {function} {'borrowed' if loan else 'opened'} {count}"
        for (file, line, function, loan), count in counts.most_common(BUSIEST)
    ]


def lines_of(told: Told) -> list[str]:
    """What follows the headline: which journals end early, and with findings the busiest opening lines."""
    lines = [f"whoholds: {cut}" for cut in told.cuts]
    if told.unended:
        some = ", ".join(map(str, told.unended[:MANY])) + ", …" * (len(told.unended) > MANY)
        lines.append(
            f"whoholds: no end in the journal of process {some}: still running, killed, or no room to write; "
            "what it held at last is not told"
        )
    if told.above_info:
        lines += [f"whoholds:   {line}" for line in busiest(told.handles)]
    return lines
