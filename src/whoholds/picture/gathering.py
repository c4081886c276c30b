"""Gathers what journals say into the data of a picture: columns of numbers, and tables of the texts that they name.

Journals may be damaged or hostile: a value of the wrong type is left out, and nothing here may raise for it.

The file is long because each type of record has its method, and all of them fill the same tables.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from whoholds.picture.bars import ENDS, LAST_SEEN, OPEN, REFUSED, Bar, columns, in_order
from whoholds.picture.tables import Texts, micros, moment, whole
from whoholds.reporting.summary import Contents, headline
from whoholds.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whoholds.reporting.reading import Records
    from whoholds.reporting.summary import Process

MOST_BARS: Final = 200_000  # handles and refused requests that are drawn
MOST_STILL_HELD: Final = 200  # bars for one line of an `open` record


class Gathered(Contents):
    """What journals say, as the data of a picture: `as_data`. Raises OSError if a journal cannot be read."""

    def __init__(self, journals: Iterable[Records], lost: Iterable[str] = ()) -> None:
        self.texts = Texts()
        self._processes: dict[Process, dict[str, Any]] = {}  # in the order of their first records
        self._bars: list[Bar] = []
        self._more_bars = 0
        self._statements: dict[tuple[int, int], list[tuple[int, int, int]]] = {}  # by process and key
        self._traces: dict[tuple[int, int], str] = {}
        self._stacks: dict[int, tuple[int, int]] = {}  # by origin: stack and spawn stack of its first handle
        self._handles_of: dict[tuple[Process, str], dict[int, None]] = {}  # by finding: keys of its handles
        self._first_said: dict[tuple[Process, str], int | None] = {}  # by finding
        self._databases: dict[int, dict[str, Any]] = {}
        super().__init__(journals, lost)
        if self._more_bars:
            self.remarks.append(f"{self._more_bars} further handles, beyond {MOST_BARS}, are not drawn")

    # --- one method for each type of record ---------------------------------------------------------------------------

    def _process(self, record: dict[str, Any], key: Process | None = None) -> dict[str, Any]:
        """The process of a record, whose journal may have lost its `run` record."""
        key = key or self.process_of(record)
        process = self._processes.get(key)
        if process is None:
            pid = whole(key[1]) or 0
            process = self._processes[key] = {"number": len(self._processes), "pid": pid, "folder": "", "last": 0}
        at = moment(record.get("time")) or moment(record.get("closed_at")) or 0
        process["last"] = max(process["last"], at)
        return process

    def _drawn_run(self, record: dict[str, Any]) -> None:
        Contents._run(self, record)
        process = self._process(record)
        process.pop("ended", None)
        if "record" in process:  # it is watched again
            return
        folder = record.get("cwd")
        process.update(
            record=record,
            folder=folder if isinstance(folder, str) else "",
            began=moment(record.get("time")),
        )

    def _drawn_end(self, record: dict[str, Any]) -> None:
        process = self._process(record, self.ending(record))
        Contents._end(self, record)
        process["ended"] = moment(record.get("time"))

    def _drawn_handle(self, record: dict[str, Any]) -> None:
        Contents._handle(self, record)
        process = self._process(record)
        opened = moment(record.get("opened_at"))
        held = micros(record.get("held_s"))
        if opened is None or held is None:
            return
        if len(self._bars) >= MOST_BARS:
            self._more_bars += 1
            return
        texts, folder, number = self.texts, process["folder"], process["number"]
        ended = moment(record.get("closed_at"))
        key = whole(record.get("key")) or 0
        origin = texts.origin(record.get("opened"), record.get("spawned"), folder)
        how = record.get("how")
        self._bars.append(
            Bar(
                opened=opened,
                ended=max(opened, opened + held if ended is None else ended),
                process=number,
                key=key,
                end_key=whole(record.get("end_key")) or 0,
                kind=texts.text(record["kind"]),
                database=self._database(record),
                driver=texts.text(record.get("driver")),
                origin=origin,
                owner=texts.text(record.get("owner")),
                how=texts.text(how if how in ENDS else OPEN),
                waited=max(micros(record.get("connect_s")) or 0, 0),
                busy=_or(micros(record.get("busy_s")), -1),
                idle=_or(micros(record.get("idle_s")), -1),
                uses=_or(whole(record.get("uses")), -1),
                scope=texts.text(record.get("within") or record.get("scope")),
                pool=_or(whole(record.get("pool")), -1),
                backend=whole(record.get("backend_pid")) or 0,
                in_transaction=int(record.get("in_transaction") is True),
                spawner=texts.text(record.get("spawned_by")),
            )
        )
        process["last"] = max(process["last"], self._bars[-1].ended)
        self._details(record, (number, key), origin, folder)

    def _details(self, record: dict[str, Any], bar: tuple[int, int], origin: int, folder: str) -> None:
        statements = record.get("statements")
        if isinstance(statements, list):
            shown = [self._statement(one) for one in statements[:5]]
            self._statements[bar] = [one for one in shown if one is not None]
        trace = record.get("trace_id")
        if isinstance(trace, str):
            self._traces[bar] = trace[:32]
        stacks = (self.texts.stack(record.get("stack"), folder), self.texts.stack(record.get("spawn_stack"), folder))
        if max(stacks) >= 0:
            self._stacks.setdefault(origin, stacks)

    def _statement(self, value: object) -> tuple[int, int, int] | None:
        if not isinstance(value, list) or len(value) != 3:  # noqa: PLR2004 - text, start, duration
            return None
        began, lasted = micros(value[1]), micros(value[2])
        return None if began is None or lasted is None else (self.texts.text(value[0]), began, lasted)

    def _drawn_refused(self, record: dict[str, Any]) -> None:
        process = self._process(record)
        refused = moment(record.get("refused_at"))
        if refused is None:
            return
        if len(self._bars) >= MOST_BARS:
            self._more_bars += 1
            return
        texts = self.texts
        self._bars.append(
            Bar(
                opened=refused,
                ended=refused,
                process=process["number"],
                kind=texts.text("connection" if record.get("pool") is None else "checkout"),
                database=self._database(record),
                origin=texts.origin(record.get("asked"), record.get("spawned"), process["folder"]),
                owner=texts.text(record.get("owner")),
                how=texts.text(REFUSED),
                spawner=texts.text(record.get("spawned_by")),
                waited=max(refused - (moment(record.get("began_at")) or refused), 0),
                pool=_or(whole(record.get("pool")), -1),
            )
        )

    def _drawn_peak(self, record: dict[str, Any]) -> None:
        Contents._peak_record(self, record)
        self._process(record)
        database = self._databases[self._database(record)]
        database["peak"] = max(database["peak"], record["count"])
        limit = whole(record.get("limit"))
        if limit:
            database["limit"] = limit

    def _drawn_finding(self, record: dict[str, Any]) -> None:
        Contents._finding(self, record)
        self._process(record)
        finding = self.process_of(record), record["id"]
        self._first_said.setdefault(finding, moment(record.get("time")))
        keys = record.get("handles")
        if isinstance(keys, list):
            said = dict.fromkeys(key for key in keys if whole(key) is not None)
            known = {**self._handles_of.get(finding, {}), **said}
            count = whole(record.get("count"))  # if they do not add up to it, the finding is about one moment, its last
            self._handles_of[finding] = said if count is not None and len(known) > count else known

    def _kept(self, record: dict[str, Any]) -> dict[str, Any]:
        process = self._process(record)
        return {**record, "journal": self._journal, "process": process["number"], "folder": process["folder"]}

    def _drawn_open(self, record: dict[str, Any]) -> None:
        Contents._held_now(self, record)
        self._process(record)

    _TAKE: ClassVar[dict[str, Callable[[Any, dict[str, Any]], None]]] = {
        **Contents._TAKE,
        "run": _drawn_run,
        "end": _drawn_end,
        "handle": _drawn_handle,
        "refused": _drawn_refused,
        "peak": _drawn_peak,
        "finding": _drawn_finding,
        "open": _drawn_open,
    }

    def _database(self, record: dict[str, Any]) -> int:
        number = self.texts.text(record["database"])
        self._databases.setdefault(number, {"name": number, "peak": 0, "limit": 0})
        return number

    # --- the results -------------------------------------------------------------------------------------------------

    @cached_property
    def bars(self) -> list[Bar]:
        """All bars, in the order of their openings."""
        return in_order([*self._bars, *self._still_held()])

    @property
    def start(self) -> int:
        """The beginning of what is known, in microseconds since the epoch."""
        return min([bar.opened - bar.waited for bar in self.bars] + self._times("began"), default=0)

    @property
    def end(self) -> int:
        """The end of what is known, in microseconds since the epoch."""
        return max([bar.ended for bar in self.bars] + self._times("last") + self._times("ended"), default=self.start)

    def as_data(self, title: str = "", table: str = "lines") -> dict[str, Any]:
        """The data of the page: `start` in milliseconds since the epoch, all other times in microseconds since then."""
        bars, start, end = self.bars, self.start, self.end
        number_of = {(bar.process, bar.key): index for index, bar in enumerate(bars) if bar.key}
        processes = self._processes_as_data(start)
        findings = [self._finding_as_data(key, number_of, start) for key in self._findings]
        return {
            "version": 1,
            "whoholds": VERSION,
            "title": title,
            "table": table,
            "headline": headline(self.run).removeprefix("whoholds: "),
            "start": start / 1000,
            "length": max(end - start, 1),
            "processes": processes,
            "databases": list(self._databases.values()),
            "findings": findings,
            "pools": [self._pool_as_data(process, record) for (process, _), record in self._pools.items()],
            "bars": columns(bars, start),
            "statements": _by_number(self._statements, number_of),
            "traces": _by_number(self._traces, number_of),
            "stacks_of": self._stacks,
            "asides": self.asides,
            "remarks": self.remarks,
            **self.texts.as_data(),  # the last: what stands above has added its own texts
        }

    def _times(self, name: str) -> list[int]:
        return [process[name] for process in self._processes.values() if process.get(name)]

    def _still_held(self) -> list[Bar]:
        """Bars for what the processes without an end held when they were last looked at."""
        bars = []
        for process, record in self.held.items():
            known = self._processes[process]
            for line in record["lines"]:
                since = moment(line.get("since")) or known["last"]
                bars += [
                    Bar(
                        opened=since,
                        ended=max(since, known["last"]),
                        process=known["number"],
                        kind=self.texts.text(line["kind"]),
                        database=self._database(line),
                        origin=self.texts.origin(line.get("opened"), None, known["folder"]),
                        how=self.texts.text(LAST_SEEN),
                    )
                ] * min(line["count"], MOST_STILL_HELD)
        return bars

    def _processes_as_data(self, start: int) -> list[dict[str, Any]]:
        known = [("argv", list), ("host", str), ("python", str), ("version", str), ("cwd", str), ("parent", int)]
        processes = []
        for process in self._processes.values():
            record = process.get("record", {})
            data = {name: record.get(name) for name, kind in known if isinstance(record.get(name), kind)}
            limits = record.get("limits")
            data["limits"] = limits if isinstance(limits, dict) else {}
            for name in ("began", "ended", "last"):
                at = process.get(name)
                data[name] = at - start if at else None
            processes.append({"pid": process["pid"], **data})
        return processes

    def _pool_as_data(self, key: Process, record: dict[str, Any]) -> dict[str, Any]:
        process = self._processes.get(key, {"number": 0, "folder": ""})
        return {
            **{name: record.get(name) for name in ("key", "max", "loans", "wanted", "used_share", "sizes")},
            "wait": [micros(record["wait_s"].get(name)) or 0 for name in ("p50", "p99", "longest")],
            "held": [micros(record["held_s"].get(name)) or 0 for name in ("p50", "p99", "longest")],
            "refused": whole(record.get("timeouts")) or 0,
            "name": self.texts.text(record["name"]),
            "line": self.texts.line(record.get("made"), process["folder"]),
            "process": process["number"],
        }

    def _finding_as_data(
        self, finding: tuple[Process, str], number_of: dict[tuple[int, int], int], start: int
    ) -> dict[str, Any]:
        record = self._findings[finding]
        texts, folder, process = self.texts, record["folder"], record["process"]
        at = self._first_said.get(finding)
        numbers = [number_of.get((process, key)) for key in self._handles_of.get(finding, {})]
        stacks = ("stack", "spawn_stack")
        now = record.get("now")
        return {
            "id": texts.text(record["id"]),
            "matter": texts.text(record.get("matter") or record["id"]),
            "rule": texts.text(record.get("rule")),
            "severity": record["severity"],
            "message": texts.text(record["message"]),
            "report": texts.text(record.get("report") or record["message"]),
            "count": record.get("count") or 0,
            "time": None if at is None else at - start,
            "database": texts.text(record.get("database")),
            "origin": texts.origin(record.get("opened"), record.get("spawned"), folder),
            "process": process,
            "bars": sorted(number for number in numbers if number is not None),
            "trace": texts.text(record.get("trace_id")),
            "stacks": [texts.stack(record.get(name), folder) for name in stacks],
            "now": [
                (whole(one.get("count")) or 0, texts.stack(one.get("stack"), folder))
                for one in (now if isinstance(now, list) else [])
                if isinstance(one, dict)
            ],
        }


def _by_number(of: dict[tuple[int, int], Any], number_of: dict[tuple[int, int], int]) -> dict[int, Any]:
    """The values by the numbers of their bars."""
    return {number_of[bar]: value for bar, value in of.items() if bar in number_of}


def _or(value: int | None, other: int) -> int:
    return other if value is None else value
