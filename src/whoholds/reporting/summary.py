"""A run in one line, and its busiest opening lines. The live history and the journals give the same words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from whoholds.analysis.finding import INFO, SEVERITIES
from whoholds.analysis.frames import shown_path
from whoholds.reporting.first_line import message
from whoholds.reporting.matters import matters, matters_of_records, worst_finding, worst_record
from whoholds.reporting.pools import pool_lines
from whoholds.reporting.words import are, named_database, named_process, number_of, recorded_place
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from whoholds.analysis.finding import Look
    from whoholds.reporting.reading import Records

BUSIEST = 3
MANY = 10  # processes without an end that are listed, and of one pid that are asked whether they have ended
MOST_FINDINGS = 10_000  # different findings of journals that are kept
MOST_ASIDES = 100  # different asides of journals that are kept
MOST_POOLS = 1000  # pools of journals that are kept
MOST_PLACES = 10_000  # opening lines that are counted
Process: TypeAlias = "tuple[int, int, int, int]"
"""A process in several journals: the number of its journal, from 0, its pid, and the number of its interpreter.

The main interpreter is 0. Each interpreter has watches of its own, whose records stand beside those of the others. The
fourth number counts, from 0, the processes that had this pid one after the other and wrote to the same journal.
"""
_KEPT = (
    *("id", "matter", "rule", "severity", "message", "reason", "report", "why"),
    *("fingerprint", "count", "opened", "spawned", "pid", "interpreter", "time"),
)


@dataclass(frozen=True)
class Run:
    """The facts that the summary at the end of a run needs."""

    severities: Counter[str]  # how many matters are of each severity above info, that of the worst of their findings
    connections: int  # connections opened during the run
    peak: tuple[int, str]  # most handles open at once to one database by one process, and that database
    busiest: tuple[str, ...]  # the lines that opened or borrowed most, as `busy_line` returns them
    processes: int = 1
    ended: bool = True  # True if every process was watched to its end
    worst: str = ""  # the message of the worst finding that was reported
    lost: str = ""  # a sentence on records that could not be written or read, if any could not


def run_of(look: Look, reported: Container[str]) -> Run:
    """The run of this process, from its last look. `reported` are the matters of which its worst is chosen."""
    history = look.snapshot.history
    sites = sorted((site for site in history.sites if site.opened), key=lambda site: -site.opened)
    groups = matters(finding for finding in look.all if finding.severity != INFO)
    worst = worst_finding(group for group in groups if group[0].matter in reported)
    return Run(
        above_info(Counter(group[0].severity for group in groups) + look.left_out),
        history.connections,
        max(((peak.count, database.text) for database, peak in history.highest().items()), default=(0, "")),
        tuple(
            busy_line(site.frame.place, site.frame.function, site.opened, loan=site.borrows) for site in sites[:BUSIEST]
        ),
        worst=message(worst) if worst is not None else "",
    )


def above_info(counts: Counter[str]) -> Counter[str]:
    """The counts of the severities that are shown by default."""
    return Counter({severity: count for severity, count in counts.items() if severity != INFO and count})


def left_out_remarks(left_out: Counter[str]) -> list[str]:
    """The sentence on the findings beyond those that a process keeps, if there were any above info."""
    count = above_info(left_out).total()
    return [f"{count} of these findings {are(count)} not shown: a process keeps no more"] if count else []


class Contents:
    """The contents of several journals, for all processes together.

    The journals are read record by record, so that the size in memory does not grow with theirs. Of each finding the
    last record is kept, without its stacks. Findings beyond `MOST_FINDINGS` are only counted. Raises OSError if a
    journal cannot be read.
    """

    def __init__(self, journals: Iterable[Records], lost: Iterable[str] = ()) -> None:
        """`lost` are sentences on records that could not be written or read."""
        self.count = 0  # records read
        self.runs = 0  # processes that wrote
        self.remarks: list[str] = []  # sentences on what was passed over
        self.lost = list(lost)
        self._asides: dict[str, None] = {}  # the texts of the asides, each once
        self._journal = 0  # the number of the journal that is being read: two containers may both have a process 1
        self._latest: dict[
            tuple[int, int, int], tuple[Process, object]
        ] = {}  # the last process of a pid, its beginning
        self._wrote_first: dict[tuple[int, int, int], Process] = {}  # by journal, pid and the count of its processes
        self._findings: dict[tuple[Process, str], dict[str, Any]] = {}
        self._left_out: Counter[str] = Counter()  # by severity: matters that the processes only counted
        self._more = 0  # records of findings beyond MOST_FINDINGS
        self._running: Counter[Process] = Counter()  # `run` records less `end` records
        self._open: dict[Process, dict[str, Any]] = {}  # the last `open` record of a process without an end
        self._connections = 0
        self._left: dict[Process, Counter[str]] = {}  # by driver: connections open at the end of the watch before
        self._leaving: dict[Process, Counter[str]] = {}  # likewise, of the watch that is being read
        self._first = ""  # the database of the first handle
        self._peak = (0, "")
        self._pools: dict[tuple[Process, int], dict[str, Any]] = {}  # the last record of each pool
        self._places: Counter[tuple[str, int, str, bool]] = Counter()
        for self._journal, journal in enumerate(journals):
            for record in journal:
                self.count += 1
                self._TAKE[record["type"]](self, record)
            self.remarks += journal.remarks
        self.remarks += left_out_remarks(self._left_out)
        if self.lost:
            shown = ", ".join(self.lost[:MANY]) + ", …" * (len(self.lost) > MANY)
            self.remarks.append(f"findings may be missing: {shown}")
        if self._more:
            self.remarks.append(f"{self._more} records of further findings, beyond {MOST_FINDINGS}, are passed over")

    # --- one method for each type of record ---------------------------------------------------------------------------

    def process_of(self, record: dict[str, Any]) -> Process:
        """The process that wrote a record of the journal that is being read."""
        name = _name(self._journal, record)
        return self._latest[name][0] if name in self._latest else (*name, 0)

    def ending(self, record: dict[str, Any]) -> Process:
        """The process that an `end` record ends, before it is taken.

        Where several processes of one pid write at once, as in containers, it is one of those that still run.
        """
        last = self.process_of(record)
        same = [(*last[:3], number) for number in range(last[3], max(last[3] - MANY, -1), -1)]
        return next((process for process in same if self._running[process] > 0), last)

    def _run(self, record: dict[str, Any]) -> None:
        """A watch has begun: of a process that is known if its beginning is the same, else of another."""
        name, began = _name(self._journal, record), record.get("process_began")
        process, known = self._latest.get(name, ((*name, -1), None))
        if began is None or began != known:
            process = (*name, process[3] + 1)
            self._latest[name] = process, began
            first = self._wrote_first.setdefault((*name[:2], process[3]), process)
            self.runs += first == process  # its interpreters are one process
        self._running[process] += 1
        self._left[process] = self._leaving.pop(process, Counter())

    def _end(self, record: dict[str, Any]) -> None:
        process = self.ending(record)
        self._running[process] -= 1
        self._left_out.update(record.get("findings_left_out") or {})
        self._open.pop(process, None)
        if dropped := record.get("dropped"):
            self.lost.append(
                f"{number_of(dropped, 'line')} of process {record.get('pid')} did not fit into its journal"
            )

    def _held_now(self, record: dict[str, Any]) -> None:
        self._open[self.process_of(record)] = record

    def _finding(self, record: dict[str, Any]) -> None:
        key = self.process_of(record), record["id"]
        if key in self._findings or len(self._findings) < MOST_FINDINGS:
            self._findings[key] = self._kept(record)
        else:
            self._more += 1

    def _kept(self, record: dict[str, Any]) -> dict[str, Any]:
        """The part of a finding's record that is kept in memory."""
        return {**self._place_of(record), **{name: record[name] for name in _KEPT if name in record}}

    def _place_of(self, record: dict[str, Any]) -> dict[str, int]:
        """The number of the record's journal, and that of its process, if it is not the first of its pid there."""
        number = self.process_of(record)[3]
        return {"journal": self._journal, **({"process": number} if number else {})}

    def _handle(self, record: dict[str, Any]) -> None:
        if record["kind"] == "cursor":
            return
        self._first = self._first or record["database"]
        if record["kind"] == "connection":
            self._connections += self._is_new(record)
        at = record.get("opened")
        if at is not None:
            place = (at["file"], at["line"], at["function"], record["kind"] == "checkout")
            if place in self._places or len(self._places) < MOST_PLACES:
                self._places[place] += 1

    def _is_new(self, record: dict[str, Any]) -> bool:
        """Whether no watch before has told of this connection: one that it left open may have been adopted."""
        driver = record.get("driver")
        driver = driver if isinstance(driver, str) else ""
        process = self.process_of(record)
        if record.get("how") == "open":
            self._leaving.setdefault(process, Counter())[driver] += 1
        if record.get("adopted") is not True or not self._left.get(process, Counter())[driver]:
            return True
        self._left[process][driver] -= 1
        return False

    def _refused(self, record: dict[str, Any]) -> None:
        """Does nothing: the finding `refused` reports it."""

    def _pool(self, record: dict[str, Any]) -> None:
        key = self.process_of(record), record["key"]
        if key in self._pools or len(self._pools) < MOST_POOLS:
            self._pools[key] = record

    def _peak_record(self, record: dict[str, Any]) -> None:
        self._peak = max(self._peak, (record["count"], record["database"]))

    def _aside(self, record: dict[str, Any]) -> None:
        if len(self._asides) < MOST_ASIDES:
            self._asides[f"{record['reason']} [{record['slug']}]"] = None

    _TAKE: ClassVar[dict[str, Callable[[Contents, dict[str, Any]], None]]] = {
        "run": _run,
        "end": _end,
        "open": _held_now,
        "finding": _finding,
        "handle": _handle,
        "refused": _refused,
        "pool": _pool,
        "peak": _peak_record,
        "aside": _aside,
    }

    # --- the results --------------------------------------------------------------------------------------------------

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The last record of every finding, in the order of the first records."""
        return list(self._findings.values())

    @property
    def asides(self) -> list[str]:
        """The parts of whoholds that stood aside in the processes, and why, in the words of their stderr."""
        return list(self._asides)

    @property
    def pools(self) -> list[dict[str, Any]]:
        """The last record of every pool."""
        return list(self._pools.values())

    @property
    def unended(self) -> list[Process]:
        """The processes that did not write their `end` record."""
        return sorted(process for process, count in self._running.items() if count > 0)

    @property
    def held(self) -> dict[Process, dict[str, Any]]:
        """The last `open` record of each process that did not write its `end` record."""
        return {process: self._open[process] for process in self.unended if process in self._open}

    @property
    def above_info(self) -> list[dict[str, Any]]:
        """The findings that are shown by default: all above severity info."""
        return [finding for finding in self.findings if finding["severity"] != INFO]

    def _new_of(self, process: Process, held: dict[str, Any]) -> int:
        """How many connections of this `open` record no watch before has told of."""
        lines = [line for line in held["lines"] if line["kind"] == "connection"]
        adopted: int = sum(line["count"] for line in lines if line.get("opened") is None)
        count: int = sum(line["count"] for line in lines)
        return count - min(adopted, sum(self._left.get(process, Counter()).values()))

    @property
    def run(self) -> Run:
        """All processes together as one run."""
        held = self.held
        still_open = [line for record in held.values() for line in record["lines"]]
        highest = max(((line["count"], line["database"]) for line in still_open), default=(0, ""))
        peak = self._peak
        if not peak[0]:  # a number of one has no record
            peak = (min(self._connections, 1), self._first)
        groups = matters_of_records(self.above_info)
        worst = worst_record(groups)
        return Run(
            above_info(Counter(group[0]["severity"] for group in groups) + self._left_out),
            self._connections + sum(self._new_of(process, record) for process, record in held.items()),
            max(peak, highest),
            tuple(
                busy_line(f"{shown_path(file)}:{line}", function, count, loan=loan)
                for (file, line, function, loan), count in self._places.most_common(BUSIEST)
            ),
            self.runs,
            not self.unended,
            worst["message"] if worst is not None else "",
            self.lost[0] if self.lost else "",
        )


def _name(journal: int, record: dict[str, Any]) -> tuple[int, int, int]:
    """The journal, pid and interpreter of a record; 0 for a value that is no number."""
    pid, number = record.get("pid"), record.get("interpreter")
    return journal, pid if type(pid) is int else 0, number if type(number) is int else 0


def headline(run: Run) -> str:
    """The line that ends every run, with findings or clean."""
    most, database = run.peak
    held = "" if run.ended and not run.lost else "at least "
    held += f"{number_of(run.connections, 'connection')} opened"
    held += f", at most {most} at once to {named_database(database)}" if run.connections and most else ""
    processes = f" in {run.processes} processes" if run.processes > 1 else ""
    if not run.severities:
        verdict = "clean" if run.ended else "no findings so far; the end is not known"
        verdict = f"the result is not known, for {run.lost}" if run.lost else verdict
        return f"whoholds: {verdict}: {held}{processes}"
    return f"whoholds: {counted(run.severities)}: {held}{processes}"


def counted(counts: Counter[str]) -> str:
    """`3 findings (1 error, 2 warnings)`."""
    parts = [number_of(counts[severity], severity) for severity in reversed(SEVERITIES) if counts[severity]]
    total = sum(counts.values())
    return f"{number_of(total, 'finding')} ({', '.join(parts)})"


def busy_line(place: str, function: str, count: int, *, loan: bool) -> str:
    """`shop/cars.py:42 in load_cars opened 41`; for loans of a pool, `borrowed 41`."""
    return f"{place} in {function} {'borrowed' if loan else 'opened'} {count}"


def lines_of(contents: Contents) -> list[str]:
    """The headline and the lines below it, without control characters.

    Below it stand remarks on what was passed over, the processes without an end, if there are findings the busiest
    lines, and how large the pools must be.
    """
    run = contents.run
    lines = [headline(run), *(f"whoholds: {remark}" for remark in contents.remarks)]
    for process in contents.unended[:MANY]:
        lines += _without_end(process, contents.held.get(process))
    if len(contents.unended) > MANY:
        lines.append(f"whoholds: no end in the journals of {len(contents.unended) - MANY} more processes")
    lines += [*busiest_lines(run), *pool_lines(contents.pools), *worst_line(run)]
    return [visible(line) for line in lines]


def busiest_lines(run: Run) -> list[str]:
    """The lines below the headline on what opened most; none for a run without findings."""
    return [f"whoholds:   {line}" for line in run.busiest] if run.severities else []


def worst_line(run: Run) -> list[str]:
    """The first line of the worst finding, with which the summary ends; none if nothing was reported."""
    return [f"whoholds: worst: {run.worst}"] if run.worst else []


def _without_end(process: Process, held: dict[str, Any] | None) -> list[str]:
    """The lines on a process that did not write its `end` record: what was open at its last look."""
    name = named_process(*process[1:3])
    first = f"whoholds: no end in the journal of {name}: still running, killed, or no room to write; "
    if held is None:
        return [first + "what it held at last is not known"]
    if not held["lines"]:
        return [first + "nothing was open when it was last looked at"]
    lines = [first + f"when it was last looked at, it held {held['count']}:"]
    for line in held["lines"][:BUSIEST]:
        place = recorded_place(line.get("opened"))
        lines.append(f"whoholds:   {place} holds {line['count']}, to {named_database(line['database'])}")
    return lines
