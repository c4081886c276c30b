"""A run in one line, and its busiest opening lines: the same words from the live history and from journals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import INFO, SEVERITIES
from whoholds.analysis.frames import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.finding import Look
    from whoholds.reporting.journal import Journal

BUSIEST = 3
MANY = 10  # pids


@dataclass(frozen=True)
class Run:
    """What the end of a run is told from."""

    severities: tuple[str, ...]  # of each finding above info
    connections: int  # opened
    peak: tuple[int, str]  # the most open at once to one database by one process, and that database
    busiest: tuple[str, ...]  # the lines that opened or borrowed most, as `busy_line` gives them
    processes: int = 1
    ended: bool = True  # whether every process was looked at to its end


def run_of(look: Look) -> Run:
    """The run of this process, from its last look."""
    history = look.snapshot.history
    trends = history.trends.values()
    sites = sorted((site for site in history.sites if site.opened), key=lambda site: -site.opened)
    return Run(
        tuple(finding.severity for finding in look.told if finding.severity != INFO),
        history.connections,
        max(((trend.highest.count, trend.database.text) for trend in trends), default=(0, "")),
        tuple(
            busy_line(site.frame.place, site.frame.function, site.opened, loan=site.borrows) for site in sites[:BUSIEST]
        ),
    )


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

    @property
    def run(self) -> Run:
        """All processes as one run."""
        return Run(
            tuple(finding["severity"] for finding in self.above_info),
            sum(record["kind"] == "connection" for record in self.handles),
            self.peak,
            busiest(self.handles),
            self.runs,
            not self.unended,
        )


def headline(run: Run) -> str:
    """The one line that a run ends with, also when all is clean."""
    most, database = run.peak
    held = f"{run.connections} connection{'s' * (run.connections != 1)} opened"
    held += " and closed" * (not run.ended)  # what is open is written at the end
    held += f", at most {most} at once to {database}" if run.connections and most else ""
    processes = f" in {run.processes} processes" if run.processes > 1 else ""
    if not run.severities:
        return f"whoholds: clean{'' if run.ended else ' so far'}: {held}{processes}"
    return f"whoholds: {counted(run.severities)}: {held}{processes}"


def counted(severities: Iterable[str]) -> str:
    """`3 findings (1 error, 2 warnings)`."""
    counts = Counter(severities)
    parts = [f"{counts[one]} {one}{'s' * (counts[one] != 1)}" for one in reversed(SEVERITIES) if counts[one]]
    total = sum(counts.values())
    return f"{total} finding{'s' * (total != 1)} ({', '.join(parts)})"


def busy_line(place: str, function: str, count: int, *, loan: bool) -> str:
    """`shop/cars.py:42 in load_cars opened 41`; of a pool's loans `borrowed`."""
    return f"{place} in {function} {'borrowed' if loan else 'opened'} {count}"


def busiest(handles: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """The lines that opened or borrowed most, from a journal's records."""
    counts = Counter(
        (one["opened"]["file"], one["opened"]["line"], one["opened"]["function"], one["kind"] == "checkout")
        for one in handles
        if one.get("opened")
    )
    return tuple(
        busy_line(f"{shown_path(file)}:{line}", function, count, loan=loan)
        for (file, line, function, loan), count in counts.most_common(BUSIEST)
    )


def lines_of(told: Told) -> list[str]:
    """The headline, and what follows it: which journals end early, and with findings the busiest opening lines."""
    run = told.run
    lines = [headline(run), *(f"whoholds: {cut}" for cut in told.cuts)]
    if told.unended:
        some = ", ".join(map(str, told.unended[:MANY])) + ", …" * (len(told.unended) > MANY)
        lines.append(
            f"whoholds: no end in the journal of process {some}: still running, killed, or no room to write; "
            "what it held at last is not told"
        )
    if run.severities:
        lines += [f"whoholds:   {line}" for line in run.busiest]
    return lines
