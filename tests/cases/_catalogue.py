"""Reads what the programs beside this file expect of a run, from their docstrings and from comments in them.

It knows nothing of how they are run, and must not: `tests/test_cases.py` does that.

A docstring ends in lines `key: value`:

    source    the public issue that it is drawn from, `owner/repository#number`
    needs     `postgres`, `mariadb` or `pgbouncer`, and after a comma what it asks of it: `limit=4`
              (a role, for MariaDB a server, that may open four connections), or settings of a
              server of its own
    settings  `EVERY=0.1 OWNER_GONE=0.3`: the environment variables, each without its WHOHOLDS_
    exit      its exit code, where that is not 0
    stderr    `yes`: the same is also to be read on stderr when WHOHOLDS is 1
    python    the oldest Python that it runs on

A comment stands on the line that it names, or alone just above it:

    connection = connect(DSN)  # opened: left-open error x5 by work; given-back info x5 by work
    thread.start()             # spawned: work

That is: a finding of this rule and severity whose `opened` is this line, with a count of 5, and
whose `spawned` is the line that says `# spawned: work`; without `by` it must be null. `x*` is any
count and `x5+` at least 5, where time decides. `any` for the severity is warning or error. `on
sqlite` names the database where it is not the one that the program `needs`. `since 3.11` and
`before 3.11` bind a finding to versions of Python. Findings with parts: `x12 of 11` says that 11 of
the 12 are this line's own part, and `# part: too-many-at-once x1` names another. What is not
written must not be found, except `info`. Equal findings of several processes are added up.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))

SYSTEMS = {"": "sqlite", "postgres": "postgresql", "pgbouncer": "postgresql", "mariadb": "mysql"}
HEADER = re.compile(r"^(source|needs|settings|exit|stderr|python):[ \t]*(.*)$", re.MULTILINE)
MARK = re.compile(r"#\s*(opened|spawned|part):\s*(.+?)\s*$")
EXPECTED = re.compile(
    r"(?P<rule>[a-z][a-z-]+)"
    r"(?: (?P<severity>info|warning|error|any))?"
    r" x(?P<count>\d+\+?|\*)"
    r"(?: of (?P<part>\d+))?"
    r"(?: by (?P<by>\w+))?"
    r"(?: on (?P<system>\w+))?"
    r"(?: (?P<bound>since|before) (?P<version>\d+\.\d+))?",
)
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


class UnreadableError(Exception):
    """A comment that cannot be read; the message names file, line and text."""


@dataclass(frozen=True, order=True)
class Row:
    """One line of the table that a failure shows: a finding, or one part of a finding, expected or got."""

    rule: str
    severity: str
    count: str
    opened: str
    spawned: str
    system: str

    def agrees(self, got: Row) -> bool:
        """Whether `got` is what this expected row asks for."""
        mine = self.rule, self.opened, self.spawned, self.system
        severity = self.severity in (got.severity, "any" if got.severity != "info" else None)
        return mine == (got.rule, got.opened, got.spawned, got.system) and severity and self._counts(got)

    def _counts(self, got: Row) -> bool:
        if self.count == "*":
            return True
        if self.count.endswith("+"):
            return int(got.count) >= int(self.count[:-1])
        return got.count == self.count

    def cells(self) -> tuple[str, ...]:
        """Give the row as text."""
        return self.rule, self.severity, f"x{self.count}", self.opened, self.spawned, self.system


@dataclass(frozen=True)
class Case:
    """A program with what is written in it: its header, and the findings and parts that it expects."""

    path: Path
    header: dict[str, str]
    rows: tuple[Row, ...]
    parts: tuple[Row, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing but *info* is expected."""
        return all(row.severity == "info" for row in self.rows)

    @property
    def needs(self) -> str:
        """The server it needs: `postgres`, `mariadb`, `pgbouncer`, or nothing."""
        return self.header.get("needs", "").partition(",")[0].strip()

    @property
    def wants(self) -> dict[str, str]:
        """What it asks of its server: `limit`, or settings of a server of its own."""
        return dict(re.findall(r"(\w+)=(\w+)", self.header.get("needs", "")))

    @property
    def settings(self) -> dict[str, str]:
        """Its settings as environment variables."""
        said = (each.partition("=") for each in self.header.get("settings", "").split())
        return {f"WHOHOLDS_{name}": value for name, _, value in said}

    @property
    def python(self) -> tuple[int, ...]:
        """The oldest Python it runs on."""
        return version(self.header.get("python", "3.10"))

    @property
    def imports(self) -> set[str]:
        """The top-level names of the modules it imports."""
        nodes = list(ast.walk(ast.parse(self.path.read_text())))
        plain = (alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names)
        taken = (node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)
        return {name.partition(".")[0] for name in chain(plain, taken)}


def version(text: str) -> tuple[int, ...]:
    """Give `3.11` as numbers that compare."""
    return tuple(int(each) for each in text.split("."))


def read(path: Path) -> Case:
    """Give the program with its expectations on this Python. Raises UnreadableError."""
    header = dict(HEADER.findall(ast.get_docstring(ast.parse(path.read_text())) or ""))
    marks = list(_marks(path))
    spawned = {text: str(line) for kind, text, line in marks if kind == "spawned"}
    rows: list[Row] = []
    parts: list[Row] = []
    case = Case(path, header, (), ())
    for kind, text, line in marks:
        for each in text.split(";") if kind != "spawned" else ():
            said = EXPECTED.fullmatch(each.strip())
            if said is None or (kind == "opened") != bool(said["severity"]):
                raise UnreadableError(f"{path.name}:{line}: cannot read {each.strip()!r}")
            if said["by"] and said["by"] not in spawned:
                raise UnreadableError(f"{path.name}:{line}: no line says `# spawned: {said['by']}`")
            if not _bound(said):
                continue
            system = said["system"] or SYSTEMS[case.needs]
            by = spawned.get(said["by"], "-")
            row = Row(said["rule"], said["severity"] or "", said["count"], str(line), by, system)
            if kind == "opened":
                rows.append(row)
            if kind == "part" or said["part"]:
                parts.append(replace(row, severity="", count=said["part"] or said["count"], system=""))
    return replace(case, rows=tuple(sorted(rows)), parts=tuple(sorted(parts)))


def _bound(said: re.Match[str]) -> bool:
    """Whether the finding is expected on this Python."""
    if not said["bound"]:
        return True
    return (said["bound"] == "since") == (sys.version_info[:2] >= version(said["version"]))


def _marks(path: Path) -> Iterator[tuple[str, str, int]]:
    """Give every marking comment: kind, text, and the line of code that it stands on or just above."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    code = sorted({token.start[0] for token in tokens if token.type not in NO_CODE})
    for token in tokens:
        found = MARK.match(token.string) if token.type == tokenize.COMMENT else None
        if found:
            yield found[1], found[2], next(line for line in code if line >= token.start[0])
