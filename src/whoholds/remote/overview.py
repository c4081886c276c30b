"""All watched processes of this machine at one moment, as the rows of three tables and as plain text.

The values come from the descriptions that the processes gave: pure functions, which ask nobody.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from whoholds.reporting.group_records import IDLE, IN_A_STATEMENT, IN_TRANSACTION
from whoholds.reporting.words import number_of, place_of_group, recorded_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Row = dict[str, Any]


@dataclass
class Overview:
    """The rows by database, by opening line and by process, and what to say about those that did not answer."""

    databases: list[Row] = field(default_factory=list)
    lines: list[Row] = field(default_factory=list)
    processes: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    silent: int = 0  # watched processes that did not answer

    @property
    def summary(self) -> str:
        """`20 watched processes hold 61 connections, 12 of them idle in transaction; 3 requests wait for a pool`."""
        if self.silent and not self.processes:
            return f"{self.silent} watched process{'es do' if self.silent > 1 else ' does'} not answer"
        held = sum(row["held"] for row in self.processes)
        idle = sum(row[IN_TRANSACTION] for row in self.lines)
        waiting = sum(row["waiting"] for row in self.processes)
        several = len(self.processes) != 1
        who = f"{len(self.processes)} watched process{'es hold' if several else ' holds'}"
        text = f"{who} {number_of(held, 'connection')}"
        text += f", {idle} of them idle in transaction" if idle else ""
        wait = f"; {number_of(waiting, 'request')} {'waits' if waiting == 1 else 'wait'} for a pool"
        return text + (wait if waiting else "")


# Of each table: the key of a column in a row, its head, and whether it is a number.
DATABASES: Final = (
    ("name", "database", False),
    ("held", "held", True),
    ("limit", "limit", True),
    ("share", "of limit", True),
    ("processes", "processes", True),
)
LINES: Final = (
    ("place", "opened at", False),
    ("held", "held", True),
    (IDLE, "idle", True),
    (IN_TRANSACTION, "in transaction", True),
    (IN_A_STATEMENT, "in a statement", True),
    ("longest_s", "longest", True),
    ("waiting", "waiting", True),
    ("rate", "opened/s", True),
    ("processes", "processes", True),
    ("database", "database", False),
)
PROCESSES: Final = (
    ("pid", "process", True),
    ("program", "program", False),
    ("held", "held", True),
    ("waiting", "waiting", True),
    ("rate", "opened/s", True),
    ("findings", "findings", True),
    ("cpu", "watch's CPU", True),
    ("says", "", False),
)


def overview(
    now: Mapping[int, dict[str, Any]], before: Mapping[int, dict[str, Any]], silent: Mapping[int, str], others: int = 0
) -> Overview:
    """The rows of the descriptions `now`, by process; `before` are earlier ones, with which rates are computed.

    `silent` says of processes why they did not answer, and `others` counts those that this user may not ask.
    """
    rates = {pid: _rates(said, before.get(pid)) for pid, said in now.items()}
    seen = Overview(
        sorted(_databases(now.values()), key=lambda row: (-(row["share"] or 0), -row["held"])),
        sorted(_lines(now, rates), key=lambda row: (-row["held"], -row["waiting"])),
        sorted(
            (_process(pid, said, rates[pid], silent.get(pid, "")) for pid, said in now.items()),
            key=lambda row: -row["held"],
        ),
    )
    unheard = {pid: why for pid, why in silent.items() if pid not in now}
    seen.silent = len(unheard)
    seen.remarks += [why if why.startswith("process ") else f"process {pid} {why}" for pid, why in unheard.items()]
    seen.remarks += [_UNLISTED.format(pid, count) for pid, said in now.items() if (count := _unlisted(said))]
    if not now and not unheard:
        seen.remarks.append("a process is listed here once it is watched (WHOHOLDS=1) and has opened a connection")
    if others:
        seen.remarks.append(f"watched processes of other users, which root may ask: {others}")
    return seen


_UNLISTED: Final = "process {} has so many lines that only the largest are listed; the others hold {} more"


def _unlisted(said: dict[str, Any]) -> int:
    """How many connections of a description belong to no group that it lists."""
    listed = sum(group["count"] for database in said["databases"] for group in database["groups"])
    return int(said["held"] - listed)


# --- rows -----------------------------------------------------------------------------------------------------------


def _databases(descriptions: Iterable[dict[str, Any]]) -> list[Row]:
    rows: dict[str, Row] = {}
    for said in descriptions:
        for database in said["databases"]:
            row = rows.setdefault(
                database["database"],
                {"name": str(database["name"]), "server": database["server"], "held": 0, "limit": None, "processes": 0},
            )
            row["held"] += database["count"]
            row["limit"] = max(filter(None, (row["limit"], database["limit"])), default=None)
            row["processes"] += 1
    servers = Counter[str]()
    for row in rows.values():
        servers[row["server"]] += row["held"]
    for row in rows.values():
        row["share"] = servers[row["server"]] / row["limit"] if row["limit"] else None
    return list(rows.values())


def _lines(now: Mapping[int, dict[str, Any]], rates: Mapping[int, dict[str, float | None]]) -> list[Row]:
    """A row for each opening line and database, and for each line at which somebody waits."""
    rows: dict[tuple[str, str], Row] = {}
    for pid, said in now.items():
        mine: dict[tuple[str, str], Row] = {}  # of this process
        for database in said["databases"]:
            for group in database["groups"]:
                place = place_of_group(group)
                row = mine[place, database["name"]] = _row(rows, place, database["name"])
                row["held"] += group["count"]
                row["longest_s"] = max(row["longest_s"], group["longest_s"])
                for state in (IDLE, IN_TRANSACTION, IN_A_STATEMENT):
                    row[state] += group["states"].get(state, 0)
                row["groups"].append((pid, group))
        for pool in said["pools"]:
            for asking in pool["waiting"]:
                place = recorded_place(asking["asked"])
                same = [row for (at, _), row in mine.items() if at == place]
                row = same[0] if same else _row(rows, place, "")
                mine[place, row["database"]] = row
                row["waiting"] += asking["count"]
        for (place, _), row in mine.items():
            row["processes"] += 1
            rate = rates[pid].get(place)
            row["rate"] = row["rate"] if rate is None else (row["rate"] or 0.0) + rate
    return list(rows.values())


def _row(rows: dict[tuple[str, str], Row], place: str, database: str) -> Row:
    new: Row = dict.fromkeys(("held", IDLE, IN_TRANSACTION, IN_A_STATEMENT, "waiting", "processes"), 0)
    new |= {"place": place, "database": database, "longest_s": 0.0, "rate": None, "groups": []}
    return rows.setdefault((place, database), new)


def _process(pid: int, said: dict[str, Any], rates: dict[str, float | None], says: str) -> Row:
    return {
        "pid": pid,
        "program": str(said["process"]["program"]),
        "held": said["held"],
        "waiting": sum(asking["count"] for pool in said["pools"] for asking in pool["waiting"]),
        "rate": rates[""],
        "findings": sum(finding["severity"] != "info" for finding in said["findings"]) + said["findings_left_out"],
        "cpu": said["cost"]["cpu_share"],
        "says": says,
    }


def _rates(now: dict[str, Any], before: dict[str, Any] | None) -> dict[str, float | None]:
    """Openings in a second, by opening line, and of the whole process under ""; None where they are not known yet."""
    if before is None or before["process"]["watched_since"] != now["process"]["watched_since"]:
        return {"": None}
    seconds = _moment(now) - _moment(before)
    if seconds <= 0:
        return {"": None}
    earlier = {recorded_place(line["opened"]): line["count"] for line in before["opening"]["lines"]}
    rates: dict[str, float | None] = {
        place: max(line["count"] - earlier.get(place, 0), 0) / seconds
        for line in now["opening"]["lines"]
        if (place := recorded_place(line["opened"]))
    }
    rates[""] = max(now["opening"]["count"] - before["opening"]["count"], 0) / seconds
    return rates


def _moment(said: dict[str, Any]) -> float:
    return datetime.fromisoformat(said["process"]["now"].replace("Z", "+00:00")).timestamp()


# --- text -----------------------------------------------------------------------------------------------------------


def shown(key: str, value: Any) -> str:
    """A value of a row as it stands in a column."""
    if value is None:
        return "-"
    if key in ("share", "cpu"):
        return f"{value:.0%}" if key == "share" else f"{value:.2%}"
    if key in ("longest_s", "rate"):
        return f"{value:.1f}{' s' if key == 'longest_s' else ''}"
    return str(value)


def matches(row: Row, wanted: str) -> bool:
    """Whether a text of the row contains `wanted`, in any case."""
    return not wanted or any(wanted.lower() in str(row.get(key, "")).lower() for key in _TEXTS)


_TEXTS: Final = ("place", "database", "name", "program", "pid")


def text(seen: Overview, wanted: str = "") -> str:
    """The whole overview as plain text; with `wanted`, only the rows that contain it."""
    lines = [f"whoholds: {seen.summary}", *(f"whoholds: {remark}" for remark in seen.remarks)]
    tables = ((DATABASES, seen.databases), (LINES, seen.lines), (PROCESSES, seen.processes))
    for columns, rows in tables:
        kept = [row for row in rows if matches(row, wanted)]
        if kept:
            lines += ["", *_table(columns, kept)]
    if wanted and not any(matches(row, wanted) for _, rows in tables for row in rows):
        lines.append(f"whoholds: no row contains {wanted!r}")
    return "\n".join(lines)


def _table(columns: tuple[tuple[str, str, bool], ...], rows: list[Row]) -> list[str]:
    cells = [[head for _, head, _ in columns]]
    cells += [[shown(key, row[key]) for key, _, _ in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, (_, _, number) in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in cells
    ]


def stacks_text(row: Row) -> str:
    """Who holds what a line has opened, oldest first, each with its process and its stack."""
    lines = [row["place"], ""]
    for pid, group in row["groups"]:
        for holder in group["holders"]:
            stack = group["stacks"][holder["stack"]] if holder["stack"] is not None else []
            work = f", for {holder['work']}" if holder["work"] else ""
            who = f"process {pid}, {holder['name'] or 'unknown'}{work}"
            lines.append(f"{who}: {holder['state']}, held for {holder['held_s']:.1f} s")
            lines += [f"    {recorded_place(frame)}" for frame in stack] or ["    where it is now is not known"]
            lines.append("")
    return "\n".join(lines)
