"""`whoholds report`: what journals say, printed."""

from __future__ import annotations

import sys
from typing import Any

from whoholds.analysis.finding import INFO
from whoholds.analysis.frames import shown_path
from whoholds.reporting.journal import read
from whoholds.reporting.summary import Told, headline, lines_of


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
            sys.stdout.write(finding_text(finding) + "\n")
    for line in (headline(told), *lines_of(told)):
        sys.stdout.write(line + "\n")
    return 0


def finding_text(record: dict[str, Any]) -> str:
    """One finding of a journal as a person reads it."""
    lines = [f"{record['severity']}: {record['message']}"]
    parts = record.get("parts") or [{key: record.get(key) for key in ("count", "opened", "spawned", "owners")}]
    for part in parts:
        for what in ("opened", "spawned"):
            frame = part.get(what)
            if frame:
                head = f"{part['count']:>6} ×  opened " if what == "opened" else f"{'':>10}spawned"
                source = f"      {frame['source']}" if frame["source"] else ""
                lines.append(f"{head}  {shown_path(frame['file'])}:{frame['line']}  in {frame['function']}{source}")
    lines += [f"  {sentence}" for sentence in record.get("why", ())]
    return "\n".join(lines)
