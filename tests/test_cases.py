"""Runs every program under `cases/` in a process of its own, watched by environment variable alone, and
compares its findings with those written in it; `cases/_catalogue.py` says how. Only what a user sees
counts: whoholds itself is never imported here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers
from tests.cases._catalogue import PROGRAMS, SYSTEMS, Case, Row, read
from tests.needs import none_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Side = tuple[str, Row]

pytestmark = pytest.mark.once

SECONDS = 60.0  # nothing here takes more than a few; a hang must not stop the whole suite
FOREIGN = ("WHOHOLDS", "OTEL_", "COV_", "COVERAGE_", "PG", "PYTHONWARNINGS", "DJANGO_")

NOISE = re.compile(r"^(whoholds: |Exception ignored)", re.MULTILINE)  # has no place in a program's output
LEAK = Row("left-open", "error", "5", "9", "12", "postgresql")
CASES = [read(path) for path in PROGRAMS]
every_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.path.stem) for case in CASES])
spoken_case = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.path.stem) for case in CASES if case.header.get("stderr")]
)


@every_case
def test_the_findings_are_exactly_those_written_in_the_program(case: Case, dsn: str | None, tmp_path: Path) -> None:
    """None is missing, none too much; each has its rule, severity, lines, count and kind of database."""
    told = run(case, tmp_path, dsn, WHOHOLDS="journal", WHOHOLDS_JOURNAL=str(tmp_path / "{pid}.jsonl"))
    assert told.code == int(case.header.get("exit", "0")), told.output
    assert told.watched, f"{case.path.name} was not watched: its journals know no connection\n{told.output}"
    complain(case, told, case.rows, told.rows)
    assert not too_long(case, told), told.messages
    rules = {part.rule for part in case.parts}
    complain(case, told, case.parts, [part for part in told.parts if part.rule in rules])
    if not any(row.rule == "refused" for row in case.rows):  # there the exception's note may be printed
        assert not NOISE.search(told.output), told.output


@spoken_case
def test_the_same_is_read_on_stderr(case: Case, dsn: str | None, tmp_path: Path) -> None:
    """With `WHOHOLDS=1` alone the first line of each finding names rule, count and both lines."""
    told = run(case, tmp_path, dsn, WHOHOLDS="1")
    heard = [line for line in told.output.splitlines() if line.startswith("whoholds: ")]
    name = re.escape(case.path.name)
    for row in case.rows:
        count = row.count if row.count.isdigit() else r"\d+"
        spawned = "" if row.spawned == "-" else rf", spawned at line {row.spawned}\b"
        wanted = rf"whoholds: {row.rule}: .*{name}:{row.opened}\b.*\b{count}\b.*{spawned}"
        said = any(re.search(wanted, line) for line in heard)
        said |= re.search(rf"^  Also {row.rule}: .*\b{count}\b", told.output, re.MULTILINE) is not None
        assert said == (row.severity != "info"), f"{wanted}\n\n{told.output}"
    assert not case.clean or not NOISE.search(told.output), told.output


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions take no notes")
@pytest.mark.parametrize("case", [case for case in CASES if case.path.stem == "refused_dies"])
def test_a_refusal_carries_the_answer_in_its_traceback(case: Case, dsn: str | None, tmp_path: Path) -> None:
    """A program that dies of it prints, in the note, the line that opened and the line that spawned."""
    told = run(case, tmp_path, dsn, WHOHOLDS="journal", WHOHOLDS_JOURNAL=str(tmp_path / "{pid}.jsonl"))
    (row,) = case.rows
    last = told.output.strip().splitlines()[-1]
    assert f"{case.path.name}:{row.opened}" in last
    assert f"{case.path.name}:{row.spawned}" in last
    assert "127.0.0.1" not in last


def test_the_catalogue_keeps_its_balance() -> None:
    """Most programs have something to find, and at least every third is a clean look-alike."""
    clean = sum(case.clean for case in CASES)
    assert len(CASES) >= 72
    assert len(CASES) / 3 <= clean <= len(CASES) / 2


def test_every_program_says_where_it_comes_from() -> None:
    """Each names the public issue that it is drawn from."""
    assert not [case.path.name for case in CASES if not re.fullmatch(r"\S+/\S+#\d+", case.header.get("source", ""))]


@pytest.mark.parametrize(
    ("got", "side"),
    [
        ((), "missing"),
        ((LEAK, replace(LEAK, rule="owner-gone")), "too much"),
        ((replace(LEAK, count="4"),), "missing"),
        ((replace(LEAK, opened="8"),), "missing"),
        ((replace(LEAK, spawned="-"),), "missing"),
        ((replace(LEAK, severity="info"),), "missing"),
        ((replace(LEAK, system="sqlite"),), "missing"),
        ((LEAK, replace(LEAK, rule="given-back", severity="info")), None),
    ],
)
def test_the_comparison_overlooks_nothing(got: tuple[Row, ...], side: str | None) -> None:
    """Whatever differs fails, and the table says on which side; only an *info* may be added."""
    told = Told(0, "")
    if side is None:
        complain(CASES[0], told, [LEAK], got)
        return
    with pytest.raises(pytest.fail.Exception, match=rf"(?m)^{side} +{got[-1].rule if got else LEAK.rule}"):
        complain(CASES[0], told, [LEAK], got)


# First lines that name three lines of code may be longer than `WHOLE`, and so may that of a case with long names.
LONGER = {
    "second-while-holding": 200,
    "refused": 195,
    "shared-at-once": 180,
    "waiting-too-long": 190,
    "standing_cells_clean": 180,
}
TEST_SERVER = re.compile(r"to \w+@127\.0\.0\.1:\d+/\w+")  # its name and port are longer than those of a usual one
ANSWER, WHOLE = 80, 160  # columns: of rule and opening line, and of the whole first line


def too_long(case: Case, told: Told) -> list[str]:
    """Give the first lines whose answer, or which themselves, have too many columns for a terminal or a pager."""
    long = []
    for rule, opened, message in told.first_lines:
        line = f"whoholds: {message}".replace(f"{case.path.parent}{os.sep}", "")
        line = TEST_SERVER.sub("to app@db/shop", line).partition(" (×")[0]  # without what a repeat adds
        answer = re.match(rf"whoholds: {rule}: {re.escape(opened)} in [\w<>]+ ", line)
        if not answer or len(answer[0]) > ANSWER + 1 or len(line) > LONGER.get(case.path.stem, LONGER.get(rule, WHOLE)):
            long.append(f"{len(line)}: {line}")
    return long


@dataclass(frozen=True)
class Told:
    """What a run left behind; `watched`: its journals know a connection to the database that it uses."""

    code: int
    output: str
    rows: tuple[Row, ...] = ()
    parts: tuple[Row, ...] = ()
    watched: bool = False
    messages: tuple[str, ...] = ()
    first_lines: tuple[tuple[str, str, str], ...] = ()  # (rule, opening line, first line) of each finding


def run(case: Case, folder: Path, dsn: str | None, **enabled: str) -> Told:
    """Run the program in `folder`, where its journals are, with these variables and no others of ours."""
    for name in case.imports:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    env |= case.settings | enabled | ({"DSN": dsn} if dsn else {})
    done = subprocess.run(
        [sys.executable, case.path],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    journals: list[dict[str, dict[str, Any]]] = []
    seen: set[str] = set()
    for journal in sorted(folder.glob("*.jsonl")):
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        seen |= {said["database"].partition(":")[0] for said in lines if said.get("database")}
        journals.append({said["id"]: said for said in lines if said["type"] == "finding"})
    last = [said for journal in journals for said in journal.values()]
    messages = tuple(f"{said['severity']:8} {said['message']}" for said in last)
    rows = [[finding_row(case, folder, said) for said in journal.values()] for journal in journals]
    parts = [
        [as_row(case, folder, part, said["rule"]) for said in journal.values() for part in said.get("parts") or ()]
        for journal in journals
    ]
    watched = SYSTEMS[case.needs] in seen
    first_lines = tuple((said["rule"], opening_line(said["opened"]), said["message"]) for said in last)
    return Told(done.returncode, done.stdout, added_up(rows), added_up(parts), watched, messages, first_lines)


def opening_line(opened: dict[str, Any]) -> str:
    """Give the file's name and the line."""
    return f"{Path(opened['file']).name}:{opened['line']}"


def finding_row(case: Case, folder: Path, said: dict[str, Any]) -> Row:
    """Give a finding as a row."""
    row = as_row(case, folder, said, said["rule"])
    return replace(row, severity=said["severity"], system=said["database"].partition(":")[0])


def as_row(case: Case, folder: Path, said: dict[str, Any], rule: str) -> Row:
    """Give a finding, or a part of one, as a row without severity and database."""
    opened, spawned = (line_of(case, folder, said[end]) for end in ("opened", "spawned"))
    return Row(rule, "", str(said["count"]), opened, spawned, "")


def line_of(case: Case, folder: Path, place: dict[str, Any] | None) -> str:
    """Give the line number where the place is in the program itself, else file and line."""
    if place is None:
        return "-"
    file = (folder / place["file"]).resolve()
    return str(place["line"]) if file == case.path.resolve() else f"{file.name}:{place['line']}"


def added_up(processes: list[list[Row]]) -> tuple[Row, ...]:
    """Add up equal rows of several processes, as `report` does; two in one process stay two, by mistake."""
    once: dict[Row, int] = {}
    rows: list[Row] = []
    for process in processes:
        seen = Counter(replace(row, count="") for row in process)
        for row in process:
            kind = replace(row, count="")
            if seen[kind] > 1:
                rows.append(row)
            else:
                once[kind] = once.get(kind, 0) + int(row.count)
    return tuple(sorted([*rows, *(replace(kind, count=str(count)) for kind, count in once.items())]))


def complain(case: Case, told: Told, expected: Iterable[Row], got: Iterable[Row]) -> None:
    """Fail where the two differ, with both as a table, what was said, and what the program printed."""
    missing, surplus = [], list(got)
    for row in expected:
        match = next((each for each in surplus if row.agrees(each)), None)
        surplus.remove(match) if match else missing.append(row)
    wrong = [("missing", row) for row in missing]
    wrong += [("too much", row) for row in surplus if row.severity != "info"]
    if wrong:
        sides = [*wrong, *(("expected", row) for row in expected), *(("got", row) for row in got)]
        said = "\n".join(told.messages)
        pytest.fail(f"{case.path.name}\n{table(sides)}\n\nsaid:\n{said}\n\nprinted:\n{told.output}", pytrace=False)


def table(sides: Iterable[Side]) -> str:
    """Give the rows as aligned text, under their headings."""
    heading = ("", "rule", "severity", "count", "opened", "spawned", "database")
    lines = [heading, *((side, *row.cells()) for side, row in sides)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in aligned)


@pytest.fixture
def dsn(case: Case, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Give the URL of the server that the program needs: the session's, or one of its own."""
    if sys.version_info < case.python:
        pytest.skip(f"needs Python {case.header['python']}")
    if missing := list(filter(none_here, case.imports)):
        pytest.skip(f"{', '.join(missing)}: not to be had for this Python")
    with ExitStack() as stack:
        try:
            url = server(case, request, stack)
        except servers.NotInstalledError as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
        yield url


def server(case: Case, request: pytest.FixtureRequest, stack: ExitStack) -> str | None:
    """Give the URL of a server that is there until `stack` ends; `limit` is that of a role made for it."""
    wants = dict(case.wants)
    limit = int(wants.pop("limit", 0))
    if not case.needs:
        return None
    if case.needs == "mariadb":
        shared = nullcontext(request.getfixturevalue("mariadb")) if not limit else None
        address = stack.enter_context(shared or servers.mariadb(max_connections=limit))
        return "mysql://{user}@{host}:{port}/{database}".format(**address)
    if case.needs == "postgres" and wants:
        numbers = {name: int(value) for name, value in wants.items()}
        return stack.enter_context(servers.postgres(user="app", database="shop", **numbers))
    url = str(request.getfixturevalue("postgres"))
    if case.needs == "pgbouncer":
        return stack.enter_context(servers.pgbouncer(url, **wants))
    return stack.enter_context(limited(url, case.path.stem, limit)) if limit else url


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
