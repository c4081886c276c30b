"""The table at the end of a pytest run: leaks by opening line, tests by peak. Made of plain data, from any process."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import ERROR as FAILURE
from whoholds.analysis.finding import WARNING
from whoholds.reporting.ci import github_lines
from whoholds.reporting.matters import matters_of_records, report_of
from whoholds.reporting.words import number_of, recorded_place
from whoholds.testing.policy import ERROR

if TYPE_CHECKING:
    import pytest

    from whoholds.testing.baseline import Comparison

SHOWN = 5  # rows of each table, unless -v asks for all
SHOWN_VERBOSE = 50


class Summary:
    """Collects the data that reports carry, and writes the table."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._entries: list[dict[str, Any]] = []
        self._late: list[dict[str, Any]] = []  # the entries that no test's report could carry
        self.compared: Comparison | None = None
        self.written = ""
        self.drawn = ""  # where the picture is

    def add(self, entries: list[dict[str, Any]], *, late: bool = False) -> None:
        """Add the data of one report; `late` is what came when the tests' reports were over, also in a worker."""
        self._entries += entries
        if late:
            self._late += entries

    @property
    def failing_late(self) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """What fails the run although no test's report could say so: each entry with the records of one matter."""
        return [
            (entry, matter)
            for entry in self._late
            for matter in matters_of_records([finding for finding in entry["findings"] if finding["does"] == ERROR])
        ]

    def records(self) -> list[dict[str, Any]]:
        """The records of all findings, as the journal has them."""
        return [finding for entry in self._entries for finding in entry["findings"]]

    def annotate(self, reporter: pytest.TerminalReporter) -> None:
        """Write an annotation for GitHub Actions for each finding: an error if it fails, otherwise a warning."""
        records = [{**record, "severity": FAILURE if record["does"] == ERROR else WARNING} for record in self.records()]
        reporter.ensure_newline()
        for line in github_lines(records):
            reporter.write_line(line)

    def write(self, reporter: pytest.TerminalReporter, *, asked: bool) -> None:
        """Write the table; nothing is written if no mode was asked for and nothing found."""
        groups = self._by_line()
        peaks = sorted((entry for entry in self._entries if entry["peak"] > 1), key=lambda entry: -entry["peak"])
        if not (asked or groups or self.written or self.compared or self.drawn):
            return
        verbose = reporter.verbosity > 0
        reporter.section("whoholds", sep="=")
        reporter.write_line(
            self._headline(groups),
            red=any(rows[0]["does"] == ERROR for rows in groups),
            yellow=bool(groups),
            green=not groups,
        )
        most = SHOWN_VERBOSE if verbose else SHOWN
        for rows in groups[:most]:
            self._leak(reporter, rows, verbose=verbose)
        if len(groups) > most:
            reporter.write_line(f"  and {len(groups) - most} more lines (-v shows them)")
        if peaks:
            reporter.write_line("most open at once:")
        for entry in peaks[:most]:
            reporter.write_line(f"{entry['peak']:>6}  {entry['name']}  {entry['largest']}".rstrip())
        if self.written:
            reporter.write_line(f"baseline written: {self.written}")
        if self.drawn:
            reporter.write_line(f"picture: {self.drawn}")
        for line in self.compared.lines() if self.compared is not None else ():
            reporter.write_line(line, yellow=True)

    def write_late(self, reporter: pytest.TerminalReporter) -> None:
        """Write what fails the run although no test's report could say so: the reports, then a line for each."""
        if not self.failing_late:
            return
        reporter.section("whoholds: found when the tests were over", sep="=")
        for _, matter in self.failing_late:
            for line in report_of(matter).splitlines():
                reporter.write_line(line, red=line.startswith("whoholds: "))
        for entry, matter in self.failing_late:
            outcome = "FAILED" if entry["kind"] == "test" else "ERROR"
            reporter.write_line(f"{outcome} {entry['name']} - whoholds: {matter[0]['message']}")

    def _headline(self, groups: list[list[dict[str, Any]]]) -> str:
        connects = sum(entry["connects"] for entry in self._entries)
        said = f"{number_of(connects, 'connection')} opened by tests and fixtures"
        if not groups:
            return f"{said}, nothing found"
        judged = {(entry["kind"], entry["name"]) for entry in self._entries if entry["findings"]}
        kinds = Counter(kind for kind, _ in judged)
        where = " and ".join(number_of(count, kind) for kind, count in sorted(kinds.items(), reverse=True))
        found = sum(len(matters_of_records(entry["findings"])) for entry in self._entries)
        return f"{said}; {number_of(found, 'finding')} in {where}, by opening line:"

    def _leak(self, reporter: pytest.TerminalReporter, rows: list[dict[str, Any]], *, verbose: bool) -> None:
        first = rows[0]
        place = recorded_place(first["opened"])
        count = sum(row["count"] for row in rows)
        reporter.write_line(f"{count:>6} ×  {', '.join(first['rules'])}  {place}{self._remark(first)}")
        names = list(dict.fromkeys(row["name"] for row in rows))
        shown = names if verbose else names[:2]
        for name in shown:
            reporter.write_line(f"{'':>10}in {name}")
        if len(names) > len(shown):
            reporter.write_line(f"{'':>10}and {len(names) - len(shown)} more")
        if verbose:
            for line in first["longer"].splitlines():
                reporter.write_line(f"{'':>10}{line}")

    def _remark(self, record: dict[str, Any]) -> str:
        """Why a finding fails no test: the baseline has it, or its rule is only reported while others fail tests."""
        if record["does"] == ERROR:
            return ""
        if self.compared is not None and record["fingerprint"] in self.compared.known:
            return " (in the baseline)"
        return " (reported only)" if any(one["does"] == ERROR for one in self.records()) else ""

    def _by_line(self) -> list[list[dict[str, Any]]]:
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for entry in self._entries:
            for matter in matters_of_records(entry["findings"]):
                first = min(matter, key=lambda finding: finding["does"] != ERROR)  # what fails stands for the rest
                opened = first["opened"] or {}
                rules = tuple(dict.fromkeys(finding["rule"] for finding in (first, *matter)))
                key = (first["does"] != ERROR, rules, opened.get("file"), opened.get("line"))
                groups.setdefault(key, []).append({**first, "name": entry["name"], "rules": rules})
        return [
            rows
            for _, rows in sorted(groups.items(), key=lambda item: (item[0][0], -sum(row["count"] for row in item[1])))
        ]
