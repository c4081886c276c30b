"""Journals of any size, generated: what a real one would say of so many handles."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from whoholds.reporting.records import iso

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = 1_700_000_000.0
SPAWNED = {"file": "/srv/shop/worker.py", "line": 17, "function": "serve", "source": "Thread(target=work).start()"}


def line(number: int) -> dict[str, Any]:
    """One of the program's opening lines."""
    function = f"view_{number}"
    return {"file": f"/srv/shop/{function}.py", "line": 10 + number, "function": function, "source": "with connect():"}


def handles(count: int, *, over: float, held: float, lines: int, seed: int = 1) -> list[dict[str, Any]]:
    """`handle` records: opened within `over` seconds from `lines` lines, held for about `held` seconds."""
    rng = random.Random(seed)
    spans = [(at, at + held * (0.5 + rng.random())) for at in (rng.random() * over for _ in range(count))]
    events = sorted((at, number, which) for number, span in enumerate(spans) for which, at in enumerate(span))
    stamps = {(number, which): stamp for stamp, (_, number, which) in enumerate(events, 1)}
    return [
        {
            "type": "handle",
            "key": stamps[number, 0],
            "end_key": stamps[number, 1],
            "kind": "connection",
            "driver": "psycopg",
            "database": "postgresql://app@db/shop",
            "opened_at": iso(EPOCH + opened, "microseconds"),
            "closed_at": iso(EPOCH + ended, "microseconds"),
            "how": "closed",
            "held_s": round(ended - opened, 6),
            "busy_s": round((ended - opened) * rng.random(), 6),
            "idle_s": 0.001,
            "uses": 2,
            "opened": line(number % lines),
            "spawned": SPAWNED,
            "owner": f"Thread-{number}",
            "backend_pid": 1000 + number,
            "pid": 1,
            "connect_s": 0.002,
            "statements": [["SELECT * FROM cars WHERE owner_id = %s", 0.001, round((ended - opened) / 3, 6)]],
        }
        for number, (opened, ended) in enumerate(spans)
    ]


def write_journal(path: Path, records: list[dict[str, Any]]) -> Path:
    """A journal with these records between those of a run's beginning and end."""
    run = {
        "type": "run",
        "version": "1",
        "argv": ["python", "/srv/shop/serve.py"],
        "pid": 1,
        "host": "web-1",
        "python": "3.12.1",
        "time": iso(EPOCH),
        "cwd": "/srv/shop",
        "limits": {"WHOHOLDS_TOO_MANY": "20"},
    }
    times = [record[name] for record in records for name in ("closed_at", "time") if record.get(name)]
    end = {"type": "end", "time": max(times, default=iso(EPOCH + 1)), "pid": 1}
    path.write_text("".join(json.dumps(record) + "\n" for record in (run, *records, end)), encoding="utf-8")
    return path


def finding(of: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A `finding` record about these handles."""
    first = of[0]
    return {
        "type": "finding",
        "id": "a-1",
        "rule": "too-many-at-once",
        "severity": "warning",
        "message": f"too-many-at-once: {first['opened']['file']} opened {len(of)} connections at once",
        "report": "whoholds: too-many-at-once: the whole report",
        "time": first["closed_at"],
        "count": len(of),
        "database": first["database"],
        "opened": first["opened"],
        "spawned": first["spawned"],
        "pid": 1,
        "handles": [record["key"] for record in of],
        **fields,
    }
