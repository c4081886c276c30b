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
    def held(self) -> dict[int, dict[str, Any]]:
        """The last `open` record of each process that did not write its last line, by pid."""
        held = {record["pid"]: record for record in self.records if record["type"] == "open"}
        return {pid: held[pid] for pid in self.unended if pid in held}

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
        still_open = [line for record in self.held.values() for line in record["lines"]]
        highest = max(((line["count"], line["database"]) for line in still_open), default=(0, ""))
        return Run(
            tuple(finding["severity"] for finding in self.above_info),
            sum(record["kind"] == "connection" for record in self.handles)
            + sum(line["count"] for line in still_open if line["kind"] == "connection"),
            max(self.peak, highest),
            busiest(self.handles),
            self.runs,
            not self.unended,
        )


def headline(run: Run) -> str:
    """The one line that a run ends with, also when all is clean."""
    most, database = run.peak
    held = "" if run.ended else "at least "
    held += f"{run.connections} connection{'s' * (run.connections != 1)} opened"
    held += f", at most {most} at once to {database}" if run.connections and most else ""
    processes = f" in {run.processes} processes" if run.processes > 1 else ""
    if not run.severities:
        verdict = "clean" if run.ended else "no findings so far; the end is not known"
        return f"whoholds: {verdict}: {held}{processes}"
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
    for pid in told.unended[:MANY]:
        lines += _without_end(pid, told.held.get(pid))
    if len(told.unended) > MANY:
        lines.append(f"whoholds: no end in the journals of {len(told.unended) - MANY} more processes")
    if run.severities:
        lines += [f"whoholds:   {line}" for line in run.busiest]
    return lines


def _without_end(pid: int, held: dict[str, Any] | None) -> list[str]:
    """What is known of a process that did not write its last line: what was open when it was last looked at."""
    first = f"whoholds: no end in the journal of process {pid}: still running, killed, or no room to write; "
    if held is None:
        return [first + "what it held at last is not known"]
    if not held["lines"]:
        return [first + "nothing was open when it was last looked at"]
    lines = [first + f"when it was last looked at, it held {held['count']}:"]
    for line in held["lines"][:BUSIEST]:
        at = line["opened"] or {"file": "?", "line": 0, "function": "?"}
        place = f"{shown_path(at['file'])}:{at['line']} in {at['function']}"
        lines.append(f"whoholds:   {place} holds {line['count']}, to {line['database']}")
    return lines
