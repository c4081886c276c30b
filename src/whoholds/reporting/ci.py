"""Findings in the forms that code hosts read: GitHub's annotations, SARIF, and GitLab's code quality report.

Each function takes records of findings, as journals have them. A finding stands at its opening line; paths are relative
to the working directory, which is the repository's root.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from whoholds.analysis.finding import ERROR, INFO, WARNING
from whoholds.analysis.frames import shown_path
from whoholds.text.visible import visible
from whoholds.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    Record = dict[str, Any]

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_GITHUB: Final = {ERROR: "error", WARNING: "warning", INFO: "notice"}
_SARIF: Final = {ERROR: "error", WARNING: "warning", INFO: "note"}
_GITLAB: Final = {ERROR: "critical", WARNING: "minor", INFO: "info"}


def github_lines(records: Iterable[Record]) -> list[str]:
    """A workflow command for each finding: GitHub Actions shows it at the opening line.

    `::error file=shop/cars.py,line=42,title=whoholds: refused::refused: shop/cars.py:42 in load_cars opened …`
    """
    lines = []
    for record in records:
        opened = record.get("opened")
        place = {"file": _path(opened), "line": str(opened["line"])} if opened else {}
        properties = {**place, "title": f"whoholds: {_rule(record)}"}
        given = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        text = record.get("report") or record["message"]
        lines.append(f"::{_GITHUB[record['severity']]} {given}::{_data(text)}")
    return lines


def sarif(records: Iterable[Record]) -> bytes:
    """A SARIF 2.1.0 log with one run, as JSON in UTF-8. Its fingerprints are the same from run to run."""
    records = list(records)
    driver = {
        "name": "whoholds",
        "semanticVersion": VERSION,
        "rules": [{"id": rule} for rule in dict.fromkeys(map(_rule, records))],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(record) for record in records],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1).encode()


def _result(record: Record) -> Record:
    result: Record = {
        "ruleId": _rule(record),
        "level": _SARIF[record["severity"]],
        "message": {"text": visible(record.get("report") or record["message"], lines=True)},
        "partialFingerprints": {"whoholds/v1": record.get("fingerprint") or ""},
    }
    if record.get("opened"):
        result["locations"] = [_location(record["opened"])]
    if record.get("spawned"):
        result["relatedLocations"] = [{**_location(record["spawned"]), "message": {"text": "spawned here"}}]
    if record.get("count"):
        result["occurrenceCount"] = record["count"]
    return result


def _location(line: Record) -> Record:
    artifact = {"uri": quote(_path(line))}
    if not PurePath(_path(line)).is_absolute():
        artifact["uriBaseId"] = "%SRCROOT%"
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(line["line"], 1)}}}


def code_quality(records: Iterable[Record]) -> bytes:
    """GitLab's code quality report, as JSON in UTF-8. Findings whose opening line is not known are left out."""
    issues = [
        {
            "description": visible(record["message"]),
            "check_name": f"whoholds/{_rule(record)}",
            "fingerprint": _identity(record),
            "severity": _GITLAB[record["severity"]],
            "location": {"path": _path(record["opened"]), "lines": {"begin": max(record["opened"]["line"], 1)}},
        }
        for record in records
        if record.get("opened")
    ]
    return json.dumps(list({issue["fingerprint"]: issue for issue in issues}.values()), indent=1).encode()


def _identity(record: Record) -> str:
    """The fingerprint with the file: one function name may open in two files."""
    text = f"{record.get('fingerprint')}\n{_path(record['opened'])}"
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _rule(record: Record) -> str:
    return visible(record.get("rule") or "finding")


def _path(line: Record) -> str:
    return visible(shown_path(line["file"])).replace("\\", "/")


def _data(text: str) -> str:
    """Text as a workflow command takes it: one line, in which GitHub finds no further command."""
    return visible(text, lines=True).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
