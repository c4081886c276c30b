"""The habits of earlier runs: from a baseline, which keeps them, or from a journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from whoholds.analysis.habits import MANY, Habit, place_of
from whoholds.ledger.handle import CLOSED, CURSOR
from whoholds.reporting.files import open_for_reading
from whoholds.reporting.reading import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def read(path: Path) -> dict[str, Habit]:
    """The habits that the file holds, by place. Raises OSError, or ValueError if it is no baseline and no journal."""
    with open_for_reading(path) as file:
        first = file.readline(1 << 20)
        try:
            is_journal = "type" in json.loads(first)
        except ValueError:
            is_journal = False
        if not is_journal:
            content = json.loads(first + file.read())
            if not isinstance(content, dict) or "version" not in content:
                raise ValueError("is no baseline and no journal")
            return _kept(content.get("habits", []))
    return of_journals([Journal(path)])


def of_journals(journals: Iterable[Journal]) -> dict[str, Habit]:
    """The habits of the runs in these journals, by place. Raises OSError."""
    habits: dict[str, Habit] = {}
    for journal in journals:
        for record in journal:
            if record["type"] == "open":
                for line in record["lines"]:
                    _add(habits, line["opened"], Habit(most=line["count"]))
            elif record["type"] == "handle" and record.get("how") == CLOSED and record["kind"] != CURSOR:
                held_s = record.get("held_s")
                if isinstance(held_s, int | float):
                    _add(habits, record["opened"], Habit(1, float(held_s), 1))
    return habits


def _add(habits: dict[str, Habit], line: dict[str, Any] | None, habit: Habit) -> None:
    if line is None:
        return
    place = place_of(line["file"], line["function"])
    if place in habits or len(habits) < MANY:
        habits[place] = habits.get(place, Habit()).with_(habit)


def as_entries(habits: dict[str, Habit]) -> list[dict[str, Any]]:
    """The habits as a baseline keeps them, sorted by place."""
    return [
        {"opened": place, **habit._asdict(), "held_s": round(habit.held_s, 3)}
        for place, habit in sorted(habits.items())
    ]


def _kept(entries: Any) -> dict[str, Habit]:
    kinds = {"opened": str, "most": int, "held_s": int | float, "holds": int}
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict)
        and entry.keys() == kinds.keys()
        and all(isinstance(entry[k], t) for k, t in kinds.items())
        for entry in entries
    ):
        raise ValueError("an entry of its habits has not opened, most, held_s, holds")
    return {entry["opened"]: Habit(entry["most"], float(entry["held_s"]), entry["holds"]) for entry in entries[:MANY]}
