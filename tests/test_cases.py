"""Runs every program under `cases/` in a process of its own, watched by environment variable alone, and compares its findings with those
written in it; `cases/README.md` explains how they are written. It must not import whoholds: only what a user sees counts."""

from __future__ import annotations

import ast
import functools
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tokenize
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PROGRAMS = sorted(path for path in (Path(__file__).parent / "cases").glob("*.py") if path.stem != "__init__")
SECONDS = 60.0  # nothing here takes more than a few; a hang must not stop the whole suite

SYSTEMS = {"": "sqlite", "postgres": "postgresql", "pgbouncer": "postgresql", "mariadb": "mysql"}
MARK = re.compile(r"#\s*(opened|spawned|part):\s*(.+?)\s*$")
HEADER = re.compile(r"^(source|needs|settings|exit|stderr|python):[ \t]*(.*)$", re.MULTILINE)
EXPECTED = re.compile(
    r"(?P<rule>[a-z][a-z-]+)"
    r"(?: (?P<severity>info|warning|error|any))?"
    r" x(?P<count>\d+\+?|\*)"
    r"(?: of (?P<part>\d+))?"
    r"(?: by (?P<by>\w+))?"
    r"(?: on (?P<system>\w+))?"
    r"(?: (?P<bound>since|before) (?P<version>\d+\.\d+))?",
)

Line = int | None


@dataclass(frozen=True, order=True)
class Row:
    """One line of the table that a failure shows: a finding expected, a finding got, or one part of either."""

    rule: str
    severity: str
    count: str
    opened: str
    spawned: str
    system: str

    def agrees(self, got: Row) -> bool:
        """Whether `got` is what this expected row asks for."""
        same = (self.rule, self.opened, self.spawned, self.system) == (got.rule, got.opened, got.spawned, got.system)
        severity = self.severity == got.severity or (self.severity == "any" and got.severity != "info")
        return same and severity and self._counts(int(got.count))

    def _counts(self, got: int) -> bool:
        if self.count == "*":
            return True
        if self.count.endswith("+"):
            return got >= int(self.count[:-1])
        return got == int(self.count)

    def cells(self) -> tuple[str, ...]:
        """The row as text, `spawned` by the line number alone."""
        return self.rule, self.severity, f"x{self.count}", self.opened, self.spawned, self.system


@dataclass(frozen=True)
class Case:
    """A program with what is written in it: its header, and the rows it expects."""

    path: Path
    header: dict[str, str]
    rows: tuple[Row, ...]
    parts: tuple[Row, ...]

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
        return {f"WHOHOLDS_{name}": value for name, _, value in (each.partition("=") for each in self.header.get("settings", "").split())}

    @property
    def python(self) -> tuple[int, ...]:
        """The oldest Python it runs on."""
        return tuple(int(each) for each in self.header.get("python", "3.10").split("."))

    @property
    def imports(self) -> set[str]:
        """The top-level names of the modules it imports."""
        nodes = list(ast.walk(ast.parse(self.path.read_text())))
        plain = (alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names)
        taken = (node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)
        return {name.partition(".")[0] for name in itertools.chain(plain, taken)}


def marks(path: Path) -> Iterator[tuple[str, str, int]]:
    """Every marking comment of a program: what it is, its text, and the line of code that it stands on, or just above."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
    code = sorted({token.start[0] for token in tokens if token.type not in ignored})
    for token in tokens:
        found = MARK.match(token.string) if token.type == tokenize.COMMENT else None
        if found:
            yield found[1], found[2], next(line for line in code if line >= token.start[0])


def read_case(path: Path) -> Case:
    """The program at `path` with its expectations; a comment that cannot be read is an error naming the file and the line."""
    header = dict(HEADER.findall(ast.get_docstring(ast.parse(path.read_text())) or ""))
    found = list(marks(path))
    spawned = {text: str(line) for kind, text, line in found if kind == "spawned"}
    default = SYSTEMS[header.get("needs", "").partition(",")[0].strip()]
    rows: list[Row] = []
    parts: list[Row] = []
    for kind, text, line in found:
        if kind == "spawned":
            continue
        for each in text.split(";"):
            said = EXPECTED.fullmatch(each.strip())
            if said is None or (kind == "opened") == (said["severity"] is None):
                pytest.fail(f"{path.name}:{line}: cannot read {each.strip()!r}", pytrace=False)
            if said["by"] and said["by"] not in spawned:
                pytest.fail(f"{path.name}:{line}: no line says `# spawned: {said['by']}`", pytrace=False)
            if not in_bounds(said["bound"], said["version"]):
                continue
            row = Row(said["rule"], said["severity"] or "", said["count"], str(line), spawned.get(said["by"], "-"), said["system"] or default)
            if kind == "opened":
                rows.append(row)
            if kind == "part" or said["part"]:
                parts.append(replace(row, severity="", count=said["part"] or said["count"], system=""))
    return Case(path, header, tuple(sorted(rows)), tuple(sorted(parts)))


def in_bounds(bound: str | None, version: str | None) -> bool:
    """Whether a finding that is bound to some versions of Python is expected on this one."""
    if bound is None or version is None:
        return True
    newer = sys.version_info[:2] >= tuple(int(each) for each in version.split("."))
    return newer if bound == "since" else not newer


@dataclass(frozen=True)
class Told:
    """What a run left behind: its exit code, what it printed, its journals' findings (the last telling of each), and its `run` lines."""

    code: int
    output: str
    findings: tuple[dict[str, Any], ...]
    runs: int


def run(case: Case, folder: Path, dsn: str | None, **enabled: str) -> Told:
    """Runs the program in `folder` with these variables and no other of ours; `{pid}.jsonl` there are its journals."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "OTEL_", "COV_", "COVERAGE_", "PG"))}
    env |= case.settings | enabled | ({"DSN": dsn} if dsn else {})
    done = subprocess.run(
        [sys.executable, case.path],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    last: dict[tuple[str, str], dict[str, Any]] = {}
    runs = 0
    for journal in sorted(folder.glob("*.jsonl")):
        for line in journal.read_text().splitlines():
            said = json.loads(line)
            runs += said["type"] == "run"
            if said["type"] == "finding":
                last[journal.name, said["id"]] = said
    return Told(done.returncode, done.stdout, tuple(last.values()), runs)


def where(case: Case, folder: Path, place: dict[str, Any] | None) -> str:
    """A line number when the place is in the program itself, else file and line."""
    if place is None:
        return "-"
    file = (folder / place["file"]).resolve()
    return str(place["line"]) if file == case.path.resolve() else f"{file.name}:{place['line']}"


def got_rows(case: Case, told: Told, folder: Path) -> tuple[list[Row], list[Row]]:
    """The findings and their parts as rows; equal ones of several processes are added up, as `report` does."""
    place = functools.partial(where, case, folder)
    summed: dict[Row, int] = {}
    parts: dict[Row, int] = {}
    for said in told.findings:
        system = said["database"].partition(":")[0]
        row = Row(said["rule"], said["severity"], "", place(said["opened"]), place(said["spawned"]), system)
        summed[row] = summed.get(row, 0) + said["count"]
        for part in said.get("parts") or ():
            row = Row(said["rule"], "", "", place(part["opened"]), place(part["spawned"]), "")
            parts[row] = parts.get(row, 0) + part["count"]
    return [replace(row, count=str(count)) for row, count in summed.items()], [replace(row, count=str(count)) for row, count in parts.items()]


def compare(expected: Iterable[Row], got: Iterable[Row], *, ignore: Callable[[Row], bool] = lambda _: False) -> list[tuple[str, Row]]:
    """Rows that stand on one side only, each with the side; a surplus row that `ignore` accepts is none."""
    left = list(got)
    wrong: list[tuple[str, Row]] = []
    for row in expected:
        match = next((each for each in left if row.agrees(each)), None)
        if match is None:
            wrong.append(("missing", row))
        else:
            left.remove(match)
    return wrong + [("too much", row) for row in left if not ignore(row)]


def table(rows: Iterable[tuple[str, Row]]) -> str:
    """Rows as aligned text, under their headings."""
    lines = [("", "rule", "severity", "count", "opened", "spawned", "database"), *((title, *row.cells()) for title, row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def complain(case: Case, told: Told, wrong: list[tuple[str, Row]], expected: Iterable[Row], got: Iterable[Row]) -> None:
    """Fails with both sides as one table, the messages that were said, and what the program printed."""
    if not wrong:
        return
    sides = [*wrong, *(("expected", row) for row in sorted(expected)), *(("got", row) for row in sorted(got))]
    messages = "\n".join(f"{said['severity']:8}{said['message']}" for said in told.findings)
    pytest.fail(f"{case.path.name}\n{table(sides)}\n\nsaid:\n{messages}\n\nprinted:\n{told.output}", pytrace=False)


@pytest.fixture
def dsn(case: Case, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Give the URL of the server that the program needs: the session's, or one of its own where it asks something of it."""
    with ExitStack() as stack:
        try:
            yield server(case, request, stack)
        except servers.NotInstalledError as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))


def server(case: Case, request: pytest.FixtureRequest, stack: ExitStack) -> str | None:
    """Start what is not yet there, until `stack` ends; PostgreSQL's limit is that of a role made for this program."""
    if case.needs == "mariadb":
        own = case.wants
        address = (
            stack.enter_context(servers.mariadb(max_connections=int(own["limit"])))
            if own
            else request.getfixturevalue("mariadb")
        )
        return "mysql://{user}@{host}:{port}/{database}".format(**address)
    if case.needs == "pgbouncer":
        url = request.getfixturevalue("postgres")
        mode, settings = case.wants.get("pool_mode", "session"), {k: v for k, v in case.wants.items() if k != "pool_mode"}
        return stack.enter_context(servers.pgbouncer(url, pool_mode=mode, **settings))
    if case.needs == "postgres":
        url = request.getfixturevalue("postgres")
        return stack.enter_context(limited(url, case.path.stem, int(case.wants["limit"]))) if case.wants else url
    assert not case.needs, f"{case.path.name} needs {case.needs!r}, which nobody has"
    return None


@contextmanager
def limited(admin: str, name: str, limit: int) -> Iterator[str]:
    """Give the URL of a role that exists while the block lasts and may open `limit` connections."""
    import psycopg2
    from psycopg2.sql import SQL, Identifier, Literal

    role = Identifier(f"case_{name}_{os.getpid()}"[:60])
    with closing(psycopg2.connect(admin)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {}").format(role, Literal(limit)))
        try:
            yield re.sub(r"//([^@/]*@)?", f"//{role.string}@", admin, count=1)
        finally:
            cursor.execute(SQL("DROP ROLE {}").format(role))


def runnable(case: Case) -> None:
    """Skips a program whose Python or libraries are not here."""
    if sys.version_info < case.python:
        pytest.skip(f"needs Python {case.header['python']}")
    missing = sorted(name for name in case.imports if importlib.util.find_spec(name) is None)
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


ALL = [pytest.param(read_case(path), id=path.stem) for path in PROGRAMS]
SPOKEN = [param for param in ALL if param.values[0].header.get("stderr")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", ALL)
def test_the_findings_are_exactly_those_written_in_the_program(case: Case, dsn: str | None, tmp_path: Path) -> None:
    """No finding is missing, none is too much, and each has its rule, severity, lines, count and kind of database."""
    runnable(case)
    told = run(case, tmp_path, dsn, WHOHOLDS="journal", WHOHOLDS_JOURNAL=str(tmp_path / "{pid}.jsonl"))
    assert told.code == int(case.header.get("exit", "0")), told.output
    assert told.runs, f"{case.path.name} was not watched: no journal\n{told.output}"
    findings, parts = got_rows(case, told, tmp_path)
    complain(case, told, compare(case.rows, findings, ignore=lambda row: row.severity == "info"), case.rows, findings)
    if case.parts:
        rules = {row.rule for row in case.parts}
        got = [part for part in parts if part.rule in rules]
        complain(case, told, compare(case.parts, got), case.parts, got)


@pytest.mark.parametrize("case", SPOKEN)
def test_the_same_is_read_on_stderr(case: Case, dsn: str | None, tmp_path: Path) -> None:
    """With `WHOHOLDS=1` alone each finding's first line names rule, count and both lines, and a clean program hears nothing."""
    runnable(case)
    told = run(case, tmp_path, dsn, WHOHOLDS="1")
    heard = [line for line in told.output.splitlines() if line.startswith("whoholds: ")]
    name = re.escape(case.path.name)
    for row in case.rows:
        if row.severity == "info":
            continue
        spawned = "" if row.spawned == "-" else rf".*{name}:{row.spawned}\b"
        count = r"\d+" if not row.count.isdigit() else row.count
        wanted = re.compile(rf"whoholds: {row.rule}: .*\b{count}\b.*{name}:{row.opened}\b{spawned}")
        assert any(wanted.search(line) for line in heard), f"{wanted.pattern}\n\n{told.output}"
    if all(row.severity == "info" for row in case.rows):
        assert "whoholds" not in told.output, told.output


def test_two_thirds_of_the_programs_have_something_to_find() -> None:
    """The catalogue keeps its balance: clean look-alikes are about a third of it."""
    cases = [read_case(path) for path in PROGRAMS]
    clean = sum(all(row.severity == "info" for row in case.rows) for case in cases)
    assert len(cases) >= 72  # noqa: PLR2004 (what was asked of it)
    assert 1 / 4 <= clean / len(cases) <= 1 / 2


def test_every_program_says_where_it_comes_from() -> None:
    """Each names a public issue, and says in a sentence what happens in it."""
    for path in PROGRAMS:
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert re.search(r"^source: \S+/\S+#\d+", docstring, re.MULTILINE), path.name
