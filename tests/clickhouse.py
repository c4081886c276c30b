"""`python -m tests.clickhouse`: the questions of docs/clickhouse.md in ClickHouse, which gives the answers of DuckDB.

It needs `pip install chdb`, which is ClickHouse as a Python package of half a gigabyte, and is therefore no part of the
tests. Journals are generated and ingested as the page says; each answer is compared with that of docs/sql.md. Then
the handles are multiplied to ten million in the table, and each question is asked and timed again.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.picture.generated import EPOCH, finding, handles, write_journal
from whoholds.reporting.records import iso

DOCS = Path(__file__).parents[1] / "docs"
ROWS = 10_000_000
OWN = 5_000  # handles of each of the two journals
_BLOCK = re.compile(r"^```sql\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MOMENT = "2026-11-26 06:29:49"


def write_journals(folder: Path) -> None:
    """Two journals with everything that the questions ask for."""
    for seed in range(2):
        own = handles(OWN, over=60, held=2, lines=8, seed=seed)
        for record in own[::10]:
            record.update(how="open", closed_at=None, end_key=None)
        for record in own[1::10]:
            record.update(kind="checkout", pool=7, connect_s=0.25)
        at = {"pid": 1, "database": own[0]["database"]}
        refused = {"type": "refused", "refused_at": iso(EPOCH + seed), "asked": own[0]["opened"], **at}
        peak = {"type": "peak", "count": 20 + seed, "time": iso(EPOCH + 1), **at}
        first = finding(own[1:3], fingerprint="0123456789abcdef", count=2, time=iso(EPOCH + 3))
        last = {**first, "count": 5, "time": iso(EPOCH + 4)}
        path = write_journal(folder / f"{seed}.jsonl", [*own, refused, peak, first, last])
        with path.open("a", encoding="utf-8") as journal:
            journal.write('{"type":"end","pid":')  # cut by a crash


def blocks(page: str, folder: Path) -> list[str]:
    """The page's blocks of SQL, for the journals in this folder and a moment in them."""
    text = (DOCS / page).read_text(encoding="utf-8").replace("runs/*.jsonl", f"{folder}/*.jsonl")
    return _BLOCK.findall(text.replace(_MOMENT, iso(EPOCH + 30)[:19].replace("T", " ")))


def plain(value: Any) -> Any:
    """A value as both engines can have it: a number, or text with times cut to whole seconds."""
    if isinstance(value, int | float):
        return float(value)
    return str(value)[:19] if re.match(r"\d{4}-\d\d-\d\d ", str(value)) else str(value)


def equal(one: list[Any], other: list[Any]) -> bool:
    """Whether two rows are equal, numbers nearly so."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(map(plain, one), map(plain, other), strict=True)
    )


def main() -> int:
    import chdb.session  # type: ignore[import-not-found]
    import duckdb

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_journals(folder)
        views, *asked = blocks("sql.md", folder)
        reference = duckdb.connect()
        reference.execute(views)
        clickhouse = chdb.session.Session()

        def rows(query: str) -> list[list[Any]]:
            out = str(clickhouse.query(query.rstrip().rstrip(";"), "JSONCompactEachRow"))
            return [json.loads(line) for line in out.splitlines() if line]

        clickhouse.query("CREATE DATABASE whoholds; USE whoholds")
        tables, ingestion, *questions = blocks("clickhouse.md", folder)
        for statement in (*tables.split(";\n"), ingestion):
            if statement.strip():
                clickhouse.query(statement.rstrip().rstrip(";"))
        wrong = 0
        for number, (query, other) in enumerate(zip(questions, asked, strict=True), 1):
            expected = [list(row) for row in reference.execute(other).fetchall()]
            found = rows(query)
            same = len(found) == len(expected) and all(
                equal(*pair) for pair in zip(sorted(found, key=str), sorted(expected, key=str), strict=True)
            )
            wrong += not same
            print(f"question {number:2}: {len(found):5} rows, {'as DuckDB' if same else 'NOT as DuckDB'}", flush=True)
        times = ROWS // (2 * OWN)
        copies = f"(SELECT number AS copy FROM numbers(1, {times - 1})) AS copies"
        more = f"SELECT handles.* REPLACE (pid + copy * 1000 AS pid) FROM handles CROSS JOIN {copies}"
        clickhouse.query(f"INSERT INTO handles {more}")
        print(f"with {rows('SELECT count() FROM handles')[0][0]} handles:", flush=True)
        for number, query in enumerate(questions, 1):
            began = time.perf_counter()
            rows(query)
            print(f"question {number:2}: {time.perf_counter() - began:5.2f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
