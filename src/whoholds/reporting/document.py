"""The document that `whoholds report --json` prints: what journals say, as one JSON object of a stable form.

The form is a contract, which docs/findings.md describes. A field may be added at any time; a change of what a field
means, or its removal, raises `VERSION`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from whoholds.analysis.finding import SEVERITIES
from whoholds.reporting.summary import Contents, headline
from whoholds.version import VERSION as WHOHOLDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whoholds.reporting.reading import Journal
    from whoholds.reporting.summary import Process

VERSION = 1
BUSIEST = 20  # opening lines of the summary
MOST_HANDLES = 20_000  # `handle` records that are kept, and as many `refused`; the journal itself has all of them
_OF_A_PROCESS = ("pid", "interpreter", "parent", "host", "argv", "cwd", "python", "version", "time", "limits")


class Document(Contents):
    """What journals say, with whole records of findings.

    With `handles`, also each connection, checkout and cursor, and each refused request.
    """

    def __init__(self, journals: Iterable[Journal], *, handles: bool = False) -> None:
        self._processes: dict[Process, dict[str, Any]] = {}
        self._peaks: dict[tuple[Process, str], dict[str, Any]] = {}
        self._said: list[dict[str, Any]] = []  # `aside` records
        self._handles_kept: list[dict[str, Any]] | None = [] if handles else None
        self._refusals: list[dict[str, Any]] = []
        self._handles_more = 0
        journals = list(journals)
        self._paths = [str(journal.path) for journal in journals]
        super().__init__(journals)
        if self._handles_more:
            self.remarks.append(f"{self._handles_more} records of further handles, beyond {MOST_HANDLES}, are left out")

    def _kept(self, record: dict[str, Any]) -> dict[str, Any]:
        return self._placed(record)

    def _placed(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record without its type, and with the number of its journal."""
        return {**self._place_of(record), **{name: value for name, value in record.items() if name != "type"}}

    # --- one method for each type of record whose whole is wanted -----------------------------------------------------

    def _whole_run(self, record: dict[str, Any]) -> None:
        Contents._run(self, record)
        kept = {name: record.get(name) for name in _OF_A_PROCESS}
        process = {**self._place_of(record), **kept, "ended": None, "open": None}
        known = self._processes.setdefault(self.process_of(record), process)
        known["ended"] = None  # a process that is watched again

    def _whole_end(self, record: dict[str, Any]) -> None:
        process = self._processes.get(self.ending(record))
        Contents._end(self, record)
        if process is not None:
            process["ended"] = record.get("time")

    def _whole_handle(self, record: dict[str, Any]) -> None:
        Contents._handle(self, record)
        if self._handles_kept is None:
            return
        if len(self._handles_kept) < MOST_HANDLES:
            self._handles_kept.append(self._placed(record))
        else:
            self._handles_more += 1

    def _whole_refused(self, record: dict[str, Any]) -> None:
        Contents._refused(self, record)
        if self._handles_kept is not None and len(self._refusals) < MOST_HANDLES:
            self._refusals.append(self._placed(record))

    def _whole_peak(self, record: dict[str, Any]) -> None:
        Contents._peak_record(self, record)
        key = self.process_of(record), record["database"]
        if key not in self._peaks or record["count"] >= self._peaks[key]["count"]:
            self._peaks[key] = self._placed(record)

    def _whole_aside(self, record: dict[str, Any]) -> None:
        before = len(self._asides)
        Contents._aside(self, record)
        if len(self._asides) > before:
            self._said.append(self._placed(record))

    _TAKE: ClassVar[dict[str, Callable[[Any, dict[str, Any]], None]]] = {
        **Contents._TAKE,
        "run": _whole_run,
        "end": _whole_end,
        "handle": _whole_handle,
        "refused": _whole_refused,
        "peak": _whole_peak,
        "aside": _whole_aside,
    }

    # --- the result ---------------------------------------------------------------------------------------------------

    def as_data(self, findings: list[dict[str, Any]], *, rules: Iterable[str] = (), since: str | None = None) -> Any:
        """The document, with those of its `findings` that `rules` and `since` have chosen."""
        for process, record in self.held.items():
            if process in self._processes:
                self._processes[process]["open"] = {
                    name: value for name, value in record.items() if name not in ("type", "pid")
                }
        run = self.run
        data = {
            "version": VERSION,
            "whoholds": WHOHOLDS,
            "journals": self._paths,
            "filter": {"rules": list(rules), "since": since},
            "summary": {
                "headline": headline(run).removeprefix("whoholds: "),
                "findings": {
                    severity: sum(finding["severity"] == severity for finding in self.findings)
                    for severity in reversed(SEVERITIES)
                },
                "matters": {severity: run.severities[severity] for severity in reversed(SEVERITIES)},
                "connections": run.connections,
                "peak": {"count": run.peak[0], "database": run.peak[1]},
                "ended": run.ended,
                "busiest": [
                    {"file": file, "line": line, "function": function, "kind": kind, "count": count}
                    for (file, line, function, loan), count in self._places.most_common(BUSIEST)
                    for kind in ["checkout" if loan else "connection"]
                ],
            },
            "processes": list(self._processes.values()),
            "findings": findings,
            "peaks": list(self._peaks.values()),
            "pools": [{name: value for name, value in pool.items() if name != "type"} for pool in self.pools],
            "asides": self._said,
            "remarks": self.remarks,
        }
        if self._handles_kept is not None:
            data |= {"handles": self._handles_kept, "refused": self._refusals}
        return data
