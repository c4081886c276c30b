"""The closing table of `python -m tests`: for each Python what its tests and the foreign suites came to, and how long."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

HEAD = ("Python", "passed", "skipped", "failed", "foreign suites", "minutes")


@dataclass
class Line:
    """What the steps on one Python came to."""

    passed: int = 0
    skipped: int = 0
    failed: int = 0
    suites: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Table:
    """Filled step by step; `text` may be asked at any time."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def took(self, version: str, seconds: float) -> None:
        """A step on that Python took so long."""
        self._line(version).seconds += seconds

    def tested(self, version: str, report: Path, *, again: bool = False) -> None:
        """Count pytest's JUnit file; `again` says that it is of the tests that had failed."""
        if not report.exists():
            return
        line = self._line(version)
        passed, skipped, failed = counts(report)
        line.passed += passed
        line.failed = failed if again else line.failed + failed
        line.skipped += 0 if again else skipped

    def compared(self, summary: Path) -> None:
        """Count the foreign suites of the file that `tests.foreign --summary` wrote: [suite, Python, tests, new]."""
        if summary.exists():
            for suite, version, tests, new in json.loads(summary.read_text(encoding="utf-8")):
                self._line(version).suites.append(f"{suite} {tests}" + (f" ({new} NEW)" if new else ""))

    def text(self) -> str:
        """The table, a line for each Python."""
        rows = [HEAD]
        for version, line in self._lines.items():
            numbers = (str(line.passed), str(line.skipped), str(line.failed))
            rows.append((version, *numbers, ", ".join(line.suites) or "-", f"{line.seconds / 60:.1f}"))
        minutes = sum(line.seconds for line in self._lines.values()) / 60
        rows.append(("all", *(str(sum(int(row[at]) for row in rows[1:])) for at in (1, 2, 3)), "", f"{minutes:.1f}"))
        widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def _line(self, version: str) -> Line:
        return self._lines.setdefault(version, Line())


def counts(report: Path) -> tuple[int, int, int]:
    """Count what passed, was skipped and failed in pytest's JUnit file; nothing if it wrote none."""
    if not report.exists():
        return 0, 0, 0
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - pytest wrote it here
    tests, skipped, failures, errors = (
        sum(int(suite.get(kind, 0)) for suite in suites) for kind in ("tests", "skipped", "failures", "errors")
    )
    return tests - skipped - failures - errors, skipped, failures + errors
