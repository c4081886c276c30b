"""`whoholds report`: what journals say, printed."""

from __future__ import annotations

import sys

from whoholds.analysis.finding import INFO
from whoholds.reporting.journal import read
from whoholds.reporting.summary import Told, lines_of


def report(paths: list[str], *, verbose: bool = False) -> int:
    """Print what the journals at `paths` say; 0, or 2 where one cannot be read."""
    journals = []
    for path in paths:
        try:
            journals.append(read(path))
            wrong = "" if journals[-1].records else "not a line of a journal in it"
        except OSError as error:
            wrong = error.strerror or str(error)
        if wrong:
            sys.stderr.write(f"whoholds: {path}: {wrong}; it takes a journal, as WHOHOLDS_JOURNAL names it\n")
            return 2
    told = Told(journals)
    for finding in told.findings:
        if verbose or finding["severity"] != INFO:
            sys.stdout.write(finding.get("report", f"whoholds: {finding['message']}") + "\n")
    for line in lines_of(told):
        sys.stdout.write(line + "\n")
    return 0
