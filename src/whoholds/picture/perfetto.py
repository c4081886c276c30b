"""A run in the Trace Event Format, which Perfetto, Chrome's own viewer and VizTracer's `vizviewer` open.

Processes and owners are tracks; waits, holds and calls are slices, counts are counters, and an arrow leads from the
owner that started another to the first thing that the other opened. Findings are instants. The format is described in
"Trace Event Format" (Google, 2016); times are microseconds since the start of the run.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from whoholds.picture.bars import LAST_SEEN, OPEN, REFUSED
from whoholds.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.picture.bars import Bar
    from whoholds.picture.gathering import Gathered

    Event = dict[str, Any]


def trace_of(told: Gathered) -> bytes:
    """The trace as a JSON object, in UTF-8."""
    events = [*Trace(told).events()]
    about = {"whoholds": VERSION, "start": told.start / 1e6}  # seconds since the epoch
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}, allow_nan=False).encode()


class Trace:
    """The events of one run. A slice that would cross another of its owner goes to a further row of that owner."""

    def __init__(self, told: Gathered) -> None:
        self._told = told
        self._data = told.as_data()
        self._strings: list[str] = self._data["strings"]
        self._pids = self._unique_pids()
        self._rows: dict[tuple[int, int], list[tuple[int, int]]] = {}  # by owner: (track, where its last slice ends)
        self._tracks = 0
        self._names: list[Event] = []

    def events(self) -> Iterator[Event]:
        """All events: the names of tracks come last, which the format allows."""
        yield from self._processes()
        started: set[tuple[int, int]] = set()
        for number, bar in enumerate(self._told.bars):
            track = self._track(bar)
            yield from self._slices(number, bar, track)
            owner = (bar.process, bar.owner)
            if bar.spawner >= 0 and owner not in started:
                yield from self._arrow(number, bar, track)
            started.add(owner)
        yield from self._counts()
        yield from self._findings()
        yield from self._names

    def _unique_pids(self) -> list[int]:
        """A number for each process; of processes with equal pids, as in two containers, the later get others."""
        used: set[int] = set()
        pids = []
        for process in self._data["processes"]:
            pid = process["pid"]
            while pid in used:
                pid += 10_000_000  # above any pid of Linux
            used.add(pid)
            pids.append(pid)
        return pids

    def _processes(self) -> Iterator[Event]:
        for order, (pid, process) in enumerate(zip(self._pids, self._data["processes"], strict=True)):
            program = " ".join(str(part).rpartition("/")[2] for part in process.get("argv", [])[1:])
            yield _named("process_name", pid, 0, name=program[:100] or f"process {process['pid']}")
            yield _named("process_sort_index", pid, 0, sort_index=order)
            if process.get("host"):
                yield _named("process_labels", pid, 0, labels=f"process {process['pid']} on {process['host']}")

    def _text(self, number: int) -> str:
        return self._strings[number] if number >= 0 else ""

    def _place(self, line: int) -> str:
        if line < 0:
            return "an unknown line"
        file, number, function, *_ = self._data["lines"][line]
        return f"{self._text(file)}:{number} in {self._text(function)}"

    def _track(self, bar: Bar) -> int:
        """The track of a row of its owner that is free when the owner begins to wait for the handle."""
        return self._row_of((bar.process, bar.owner), bar.opened - bar.waited, bar.ended)

    def _row_of(self, owner: tuple[int, int], began: int, ended: int) -> int:
        rows = self._rows.setdefault(owner, [])
        for index, (track, last) in enumerate(rows):
            if last <= began:
                rows[index] = (track, max(ended, began + 1))
                return track
        self._tracks += 1
        rows.append((self._tracks, max(ended, began + 1)))
        name = self._text(owner[1]) or "unknown owner"
        name += f" ({len(rows)})" if len(rows) > 1 else ""
        self._names.append(_named("thread_name", self._pids[owner[0]], self._tracks, name=name))
        return self._tracks

    def _first_row(self, owner: tuple[int, int]) -> int:
        """The first track of the owner, for a slice of one microsecond: that is always inside or outside another."""
        rows = self._rows.get(owner)
        return rows[0][0] if rows else self._row_of(owner, 0, 0)

    def _slices(self, number: int, bar: Bar, track: int) -> Iterator[Event]:
        at = {"pid": self._pids[bar.process], "tid": track}
        opened, spawned = self._data["origins"][bar.origin]
        began = bar.opened - self._told.start
        held = max(bar.ended - bar.opened, 1)
        how, kind = self._text(bar.how), self._text(bar.kind)
        if bar.waited:
            name = "waits for a pool" if kind == "checkout" else "connects"
            yield {"ph": "X", "cat": "wait", "name": name, "ts": began - bar.waited, "dur": bar.waited, **at}
        facts = {
            "opened": self._place(opened),
            "spawned": self._place(spawned) if spawned >= 0 else "",
            "database": self._text(bar.database),
            "end": how,
            "scope": self._text(bar.scope),
            "trace_id": self._data["traces"].get(number, ""),
        }
        facts = {name: value for name, value in facts.items() if value}
        if how == REFUSED:
            yield {"ph": "i", "s": "t", "cat": "refused", "name": "refused", "ts": began, "args": facts, **at}
            return
        name = self._place(opened) + (", open at the end" if how in (OPEN, LAST_SEEN) else "")
        yield {"ph": "X", "cat": kind, "name": name, "ts": began, "dur": held, "args": facts, **at}
        done = 0
        for sql, start, lasted in self._data["statements"].get(number, ()):
            start = max(start, done)  # noqa: PLW2901 - calls that overlap would cross
            done = min(start + max(lasted, 1), held)
            if start < done:
                text = self._text(sql) or "call"
                yield {"ph": "X", "cat": "call", "name": text, "ts": began + start, "dur": done - start, **at}

    def _arrow(self, number: int, bar: Bar, track: int) -> Iterator[Event]:
        """From the owner that started this one: no later than at the moment when this one began to ask."""
        asked = bar.opened - bar.waited
        source = self._first_row((bar.process, bar.spawner))
        at = {"pid": self._pids[bar.process], "cat": "spawn", "name": "started"}
        spawned = self._data["origins"][bar.origin][1]
        began = asked - self._told.start
        name = f"starts {self._text(bar.owner)}"
        facts = {"spawned": self._place(spawned)}
        yield {**at, "ph": "X", "name": name, "ts": began, "dur": 1, "tid": source, "args": facts}
        yield {**at, "ph": "s", "id": number + 1, "ts": began, "tid": source}
        opened = bar.opened - self._told.start
        yield {**at, "ph": "f", "bp": "e", "id": number + 1, "ts": opened, "tid": track}

    def _counts(self) -> Iterator[Event]:
        """For each process and database how many connections are open, after each change."""
        changes = []
        for bar in self._told.bars:
            if self._text(bar.kind) == "connection" and self._text(bar.how) != REFUSED:
                changes += [(bar.opened, 1, bar.process, bar.database), (bar.ended, -1, bar.process, bar.database)]
        open_: Counter[tuple[int, int]] = Counter()
        for at, change, process, database in sorted(changes):
            open_[process, database] += change
            count = {"open": open_[process, database]}
            name = f"open to {self._text(database)}"
            yield {"ph": "C", "name": name, "ts": at - self._told.start, "pid": self._pids[process], "args": count}

    def _findings(self) -> Iterator[Event]:
        for finding in self._data["findings"]:
            yield {
                "ph": "i",
                "s": "p",
                "cat": finding["severity"],
                "name": self._text(finding["rule"]),
                "ts": finding["time"] or 0,
                "pid": self._pids[finding["process"]],
                "tid": 0,
                "args": {"message": self._text(finding["message"]), "report": self._text(finding["report"])},
            }


def _named(kind: str, pid: int, track: int, **args: object) -> Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": track, "args": args}
