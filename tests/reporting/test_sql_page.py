"""docs/sql.md: each of its queries runs in DuckDB on real journals, and its answer is that of a count in Python."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from tests.picture.generated import EPOCH, finding, handles, write_journal
from whoholds.reporting.records import iso

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
VIEWS, *QUERIES = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def records() -> list[list[dict[str, Any]]]:
    """The records of two journals of process 1, in each of which a line holds too many, and one is refused."""
    journals = []
    for seed in range(2):
        own = handles(60, over=5, held=2, lines=4, seed=seed)
        for record in own[::10]:
            record.update(how="open", closed_at=None, end_key=None)
        for record in own[1::10]:
            record.update(kind="checkout", pool=7, connect_s=0.25)
        refused = {
            "type": "refused",
            "database": own[0]["database"],
            "refused_at": iso(EPOCH + seed),
            "asked": own[0]["opened"],
            "pid": 1,
        }
        peak = {"type": "peak", "database": own[0]["database"], "count": 20 + seed, "pid": 1, "time": iso(EPOCH + 1)}
        first = finding(own[1:3], fingerprint="0123456789abcdef", count=2, time=iso(EPOCH + 3))
        journals.append([*own, refused, peak, first, {**first, "count": 5, "time": iso(EPOCH + 4)}])
    return journals


@pytest.fixture(scope="module")
def answer(records: list[list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Gives the rows of the query of that number, in which `replaced` is written anew."""
    folder = tmp_path_factory.mktemp("sql")
    (folder / "runs").mkdir()
    for number, own in enumerate(records):
        path = write_journal(folder / "runs" / f"{number}.jsonl", own)
        with path.open("a") as journal:
            journal.write('{"type":"end","pid":')  # cut by a crash
    database = needed("duckdb").connect()
    assert "'runs/*.jsonl'" in VIEWS
    database.execute(VIEWS.replace("runs/*.jsonl", f"{folder}/runs/*.jsonl"))

    def rows(number: int, *replaced: str) -> list[tuple[Any, ...]]:
        query = QUERIES[number - 1]
        for before, after in zip(replaced[::2], replaced[1::2], strict=True):
            assert before in query
            query = query.replace(before, after)
        found: list[tuple[Any, ...]] = database.execute(query).fetchall()
        return found

    return rows


def all_handles(records: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The handles of both journals."""
    return [record for own in records for record in own if record["type"] == "handle"]


def place(record: dict[str, Any]) -> str:
    """The opening line as the page's macro writes it."""
    opened = record["opened"]
    return f"{opened['file']}:{opened['line']} in {opened['function']}"


def most_at_once(records: list[dict[str, Any]]) -> int:
    """The most that were open at once, counted by the stamps."""
    changes = [(record["key"], 1) for record in records]
    changes += [(record["end_key"], -1) for record in records if record["end_key"]]
    count = most = 0
    for _, change in sorted(changes):
        count += change
        most = max(most, count)
    return most


def test_there_are_ten() -> None:
    """One block of views comes before them."""
    assert len(QUERIES) == 10


def test_what_each_line_opened_and_had_at_once(records: list[list[dict[str, Any]]], answer: Callable[..., Any]) -> None:
    """Questions 1 and 2; two processes of equal pids are told apart."""
    counts = Counter((place(record), record["kind"]) for record in all_handles(records))
    assert {(line, kind): count for line, kind, count in answer(1)} == dict(counts)
    lines = {place(record) for record in all_handles(records)}
    most = {
        line: max(
            most_at_once([one for one in own if one["type"] == "handle" and place(one) == line]) for own in records
        )
        for line in lines
    }
    assert dict(answer(2)) == most


def test_how_long_and_how_busy(records: list[list[dict[str, Any]]], answer: Callable[..., Any]) -> None:
    """Questions 3 and 4."""
    longest = max(all_handles(records), key=lambda record: record["held_s"])
    assert (answer(3)[0][0], answer(3)[0][3]) == (place(longest), longest["held_s"])
    line, idle, _ = answer(4)[0]
    own = [record for record in all_handles(records) if place(record) == line]
    assert idle == pytest.approx(sum(record["held_s"] - record["busy_s"] for record in own))


def test_what_was_open(records: list[list[dict[str, Any]]], answer: Callable[..., Any]) -> None:
    """Questions 5 and 6."""
    never = Counter((place(one), one["how"]) for one in all_handles(records) if one["how"] == "open")
    assert {(line, how): count for line, how, count in answer(5)} == dict(never)
    moment = EPOCH + 2.5
    rows = answer(6, "2026-11-26 06:29:49", iso(moment)[:-1])
    expected = [
        one["owner"]
        for one in all_handles(records)
        if one["opened_at"] <= iso(moment, "microseconds")
        and (one["closed_at"] is None or one["closed_at"] > iso(moment, "microseconds"))
    ]
    assert sorted(row[2] for row in rows) == sorted(expected) != []


def test_waits_and_refusals(records: list[list[dict[str, Any]]], answer: Callable[..., Any]) -> None:
    """Questions 7 and 8."""
    loans = [record for record in all_handles(records) if record["kind"] == "checkout"]
    assert sum(row[1] for row in answer(7)) == len(loans) > 0
    assert sum(row[2] for row in answer(7)) == pytest.approx(0.25 * len(loans))
    assert sum(row[2] for row in answer(8)) == 2


def test_findings_and_peaks(answer: Callable[..., Any]) -> None:
    """Questions 9 and 10: of each finding the last record counts."""
    ((fingerprint, rule, runs, count, _, message),) = answer(9)
    assert (fingerprint, rule, runs, count) == ("0123456789abcdef", "too-many-at-once", 2, 10)
    assert message.startswith("too-many-at-once: ")
    assert answer(10) == [("web-1", "postgresql://app@db/shop", 21)]


def test_every_field_is_one_that_records_have() -> None:
    """A wrong name would give NULL, and no error."""
    fields = set(re.findall(r"->>? '(\w+)'", "".join((VIEWS, *QUERIES))))
    journal = json.dumps([handles(1, over=1, held=1, lines=1), finding(handles(1, over=1, held=1, lines=1))])
    known = {"type", "pid", "pool", "refused_at", "asked", "host", "fingerprint", "count", "time", "opened", "spawned"}
    assert {field for field in fields - known if f'"{field}"' not in journal} == set()
