"""Builds the records of findings, handles, peaks and runs: the JSON objects of the journal and the log output.

Their fields are a contract (docs/findings.md). This module must not open a file or decide what is reported.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter
from datetime import datetime, timezone
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import holder_of, made_at, not_looked_at, owner_names
from whoholds.analysis.frames import frames
from whoholds.ledger import faults
from whoholds.ledger.cpython import interpreter
from whoholds.ledger.handle import CHECKOUT, CURSOR
from whoholds.ledger.origin import identity
from whoholds.reporting.first_line import message, reason
from whoholds.reporting.report import text
from whoholds.text.redact import redact, redact_argv, shown_name
from whoholds.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from whoholds.analysis.asking import Asking
    from whoholds.analysis.finding import Aside, Finding, Part
    from whoholds.analysis.frames import Frame
    from whoholds.analysis.history import Peak
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.settings.limits import Limits

OWNERS = 10
MOST_KEYS = 1000  # handles of a finding whose keys are listed
HOST = socket.gethostname()


def iso(seconds: float, timespec: str = "milliseconds") -> str:
    """Seconds since the epoch as ISO 8601 text in UTC, by default with milliseconds."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec=timespec).replace("+00:00", "Z")


def finding_record(finding: Finding, *, source: bool = True) -> dict[str, Any]:
    """A finding as a record, for the journal and for the fields of a log record.

    `message` and `report` are rendered here, once for all outputs. If the finding cannot be described in full, the
    record has only the fields that every finding has, with no lines and stacks. The function does not raise.
    """
    first_line = message(finding)
    try:
        record = _described(finding, first_line, source=source)
    except Exception as error:  # noqa: BLE001 - it must not take the other findings of the look with it
        faults.note(error, "whoholds.report")
        record = _undescribed(finding, first_line)
    record["report"] = text(finding, source=source, first=first_line)
    return record


def _undescribed(finding: Finding, first_line: str) -> dict[str, Any]:
    return {
        "type": "finding",
        "id": finding.id,
        "fingerprint": "",
        "rule": finding.rule,
        "severity": finding.severity,
        "message": first_line,
        "matter": finding.matter or finding.id,
        "time": iso(finding.time),
        "count": finding.count,
        "database": finding.database.text,
        **dict.fromkeys(("opened", "spawned")),
        **{name: [] for name in ("owners", "stack", "spawn_stack")},
        **here_record(),
        "host": HOST,
    }


def _described(finding: Finding, first_line: str, *, source: bool) -> dict[str, Any]:
    first = finding.handles[0] if finding.handles else None
    spawn = finding.spawn
    owners = finding.parts[0].owners if finding.parts else finding.names or owner_names(finding.handles)
    record: dict[str, Any] = {
        "type": "finding",
        "id": finding.id,
        "fingerprint": finding.fingerprint,
        "rule": finding.rule,
        "severity": finding.severity,
        "message": first_line,
        "matter": finding.matter or finding.id,
        "reason": reason(finding),
        "time": iso(finding.time),
        "count": finding.count,
        "database": finding.database.text,
        "opened": line_record(finding.site),
        "spawned": line_record(finding.spawned),
        "owners": list(owners[:OWNERS]),
        "stack": stack_record(first.origin, source=source) if first else [],
        "spawn_stack": stack_record(spawn.origin, source=source) if spawn else [],
        **here_record(),
        "host": HOST,
    }
    if finding.parts:
        record["parts"] = [_part(part, source=source) for part in finding.parts]
    record |= _made(finding.in_order, source=source)
    if first is not None:
        record["handles"] = [handle.opened_stamp for handle in finding.handles[:MOST_KEYS]]
        record["held_s"] = round(max(handle.held_s(finding.now) for handle in finding.handles), 3)
        record["idle_s"] = round(max(handle.idle_s(finding.now) for handle in finding.handles), 3)
        if first.backend_pid is not None:
            record["backend_pid"] = first.backend_pid
    if finding.spans[0]:
        record["trace_id"], record["span_id"] = finding.spans
    if finding.also is not None:
        record["other"] = {"what": finding.also.what, **(line_record(finding.also.site) or {})}
    record |= _queue(finding)
    if finding.scope:
        record["scope"] = shown_name(finding.scope)
    if finding.error:
        record["error"] = redact(finding.error)
    if finding.why or finding.advice:
        record["why"] = [redact(sentence) for sentence in (*finding.why, *finding.advice)]
    record |= _now(finding, source=source)
    return record


def aside_record(aside: Aside, wall: float) -> dict[str, Any]:
    """The record of a part of whoholds that stands aside, and why. `wall` is in seconds since the epoch."""
    return {"type": "aside", "slug": aside.slug, "reason": aside.reason, "time": iso(wall), **here_record()}


def _now(finding: Finding, *, source: bool) -> dict[str, Any]:
    """The field `now`: the live stacks of the holders, each once with the number and names of its holders.

    The most frequent is the first. If not all holders were looked at, `not_looked_at` says how many were not.
    """
    by_stack: dict[tuple[object, ...], tuple[Origin, dict[object, str]]] = {}
    for name, origin in finding.stacks:
        by_stack.setdefault(identity(origin), (origin, {}))[1][name] = name
    doing = finding.looked_at
    for handle, origin in doing.items():
        if origin and handle.owner is not None:
            names = by_stack.setdefault(identity(origin), (origin, {}))[1]
            names.setdefault(holder_of(handle.owner), shown_name(handle.owner.name))
    groups = sorted(by_stack.values(), key=lambda item: -len(item[1]))
    now = [
        {"count": len(names), "owners": list(names.values())[:OWNERS], "stack": stack_record(origin, source=source)}
        for origin, names in groups
    ]
    unseen = not_looked_at(finding.handles, doing) if doing else 0
    return {**({"now": now} if now else {}), **({"not_looked_at": unseen} if unseen else {})}


def _part(part: Part, *, source: bool) -> dict[str, Any]:
    return {
        "count": part.count,
        "opened": line_record(part.site),
        "spawned": line_record(part.spawned),
        "owners": list(part.owners[:OWNERS]),
        **_made(part.handles, source=source),
    }


def _made(handles: Iterable[Handle], *, source: bool) -> dict[str, Any]:
    """The field `made`: the line that made the sessions which borrowed; no field where it would tell nothing more."""
    frame = made_at(handles, source=source)
    return {} if frame is None else {"made": frame_record(frame)}


def _queue(finding: Finding) -> dict[str, Any]:
    """The fields that only `waiting-too-long` has."""
    if not finding.verdict:
        return {}
    return {"verdict": finding.verdict, "waiting": [asking_record(asking) for asking in finding.waiting]}


def asking_record(asking: Asking) -> dict[str, Any]:
    """Those who wait for a pool at one line, and for how many seconds the first of them has waited."""
    return {
        "count": asking.count,
        "longest_s": round(asking.longest_s, 3),
        "asked": line_record(asking.site),
        "spawned": line_record(asking.spawned),
        "owners": list(asking.owners[:OWNERS]),
    }


def line_record(site: Site | None) -> dict[str, Any] | None:
    """The line of a site as `frame_record` gives it; None if it is not known."""
    return frame_record(site.frame) if site is not None and site.origin else None


def frame_record(frame: Frame) -> dict[str, Any]:
    """A frame as an object with four fields: file, line, function and source."""
    return {"file": frame.file, "line": frame.line, "function": frame.function, "source": frame.source}


def stack_record(origin: Origin, *, source: bool) -> list[dict[str, Any]]:
    """The frames of an origin as `frame_record` gives them, innermost first."""
    return [frame_record(frame) for frame in frames(origin, source=source)]


_began: dict[int, str] = {}  # by process id, one entry: when this process wrote its first `run` record


def run_record(limits: Limits, wall: float) -> dict[str, Any]:
    """The first record of a watch in the journal: the program, machine, time, working directory and settings.

    `process_began` is the same for all watches of a process, and tells it from a later process of the same number.
    """
    pid = os.getpid()
    if pid not in _began:
        _began.clear()
        _began[pid] = iso(wall, "microseconds")
    began = {"process_began": _began[pid]}
    return {"type": "run", **process_record(), "time": iso(wall), **began, "limits": limits.as_text()}


def process_record() -> dict[str, Any]:
    """The process that runs: its program, number, machine, working directory, and versions of Python and whoholds."""
    return {
        "version": VERSION,
        "argv": redact_argv(getattr(sys, "orig_argv", sys.argv)),
        **here_record(),
        "parent": os.getppid(),
        "host": HOST,
        "python": sys.version.split()[0],
        "cwd": _working_directory(),
    }


def here_record() -> dict[str, int]:
    """The number of the process, and that of the interpreter where it is not the process's main one."""
    number = interpreter()
    return {"pid": os.getpid(), "interpreter": number} if number else {"pid": os.getpid()}


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # the folder was deleted while the program ran, as when a new release replaces it
        return ""


HELD_LINES = 20  # lines of an `open` record, those with the most handles


def open_record(snapshot: Snapshot) -> dict[str, Any]:
    """The record of what is open now, by opening line and database.

    If a process is killed, this is the last that its journal says. Cursors are left out, and so are a pool's own
    connections, because the pool's loans are included.
    """
    held = [
        handle for handle in snapshot.open if handle.kind != CURSOR and (handle.pool is None or handle.kind == CHECKOUT)
    ]
    counts = Counter(map(_HOLDS, held))
    oldest = dict(zip(map(_HOLDS, reversed(held)), reversed(held), strict=True))
    return {
        "type": "open",
        "time": iso(snapshot.wall),
        **here_record(),
        "count": len(held),
        "lines": [
            {
                "kind": kind,
                "database": database.text,
                "count": count,
                "opened": line_record(site),
                "since": iso(snapshot.wall_time(oldest[site, database, kind].opened_at)),
            }
            for (site, database, kind), count in counts.most_common(HELD_LINES)
        ],
    }


_HOLDS = attrgetter("site", "database", "kind")


def peak_record(peak: Peak, database: Database, snapshot: Snapshot) -> dict[str, Any]:
    """The record of a new highest number of connections open at once to one database, those of pools included.

    `limit` is the number that the server said it allows; None if it was not asked.
    """
    return {
        "type": "peak",
        "database": database.text,
        "count": peak.count,
        "limit": snapshot.history.server_limits.get(database.server),
        "time": iso(snapshot.wall_time(peak.at)),
        **here_record(),
    }


def end_record(wall: float, left_out: Mapping[str, int]) -> dict[str, Any]:
    """The last record of a process that was watched to its end.

    `left_out` has by severity the number of findings that were only counted, if there are any. A process without this
    record still runs, was killed, or could not write.
    """
    more = {"findings_left_out": dict(left_out)} if left_out else {}
    return {"type": "end", "time": iso(wall), **here_record(), **more}
