"""What a process holds now, described once, as a JSON-ready object: docs/dump.md describes its fields.

`whoholds.holders()`, the dump, `whoholds top` and the page in an application all show this description, and
`reporting.held` is its one text. Nothing here asks a server or waits for the program.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from whoholds.analysis.cost import memory_of
from whoholds.analysis.finding import parts_of
from whoholds.analysis.frames import shown_path
from whoholds.analysis.work import work_of
from whoholds.ledger.handle import CHECKOUT, CONNECTION
from whoholds.ledger.opener import opener_of
from whoholds.ledger.origin import identity
from whoholds.reporting.group_records import group_record, located, state_of, users_line
from whoholds.reporting.pools import pool_records
from whoholds.reporting.records import finding_record, iso, process_record, stack_record
from whoholds.reporting.words import database_name
from whoholds.text.redact import shown_name
from whoholds.watching.tags import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from whoholds.analysis.finding import Part
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.watching.watch import Watch

FORM = 1  # of the object: it rises if a field changes its meaning, not if there are more
GROUPS = 200  # of all databases, the largest; the others are only counted
HOLDERS = 50  # of a group that are described one by one, the oldest first
POOLS = 100  # that somebody waits for, or of which most is wanted
FINDINGS = 100  # the latest
LINES = 50  # that have opened most


def held_now(handles: Iterable[Handle]) -> list[Handle]:
    """Those of `handles` that somebody holds.

    Handles that a pool or a thread has at home are left out, and so are a pool's own connections, for which its loans
    stand.
    """
    return [
        handle
        for handle in handles
        if handle.open and not handle.at_home and (handle.pool is None or handle.kind != CONNECTION)
    ]


def description_of(watch: Watch, held: Sequence[Handle], doing: dict[Handle, Origin], now: float) -> dict[str, Any]:
    """The whole description of this process, of which `held` are held at `now`, a time of the ledger's clock.

    `doing` has the live stacks of the holders, as far as they are known. The watch has taken a look just before.
    """
    snapshot, source = watch.snapshot, watch.limits.source
    findings = watch.findings
    described: dict[str, Any] = _with_places(
        {
            "type": "holders",
            "form": FORM,
            "process": _process(watch),
            "held": len(held),
            "kept": sum(handle.open and handle.at_home and handle.kind == CONNECTION for handle in watch.handles),
            "databases": database_records(held, now, doing, source=source, limits=_limits(watch)),
            "pools": pool_descriptions(snapshot) if snapshot is not None else [],
            "pools_left_out": max(len(watch.history.demands) - POOLS, 0),
            "opening": _opening(watch),
            "findings": [finding_record(finding, source=source) for finding in findings[-FINDINGS:]],
            "findings_left_out": max(len(findings) - FINDINGS, 0) + watch.repeats.dropped,
            "settings": watch.limits.as_text(),
            "libraries": dict(watch.history.drivers),
            "asides": [aside._asdict() for aside in watch.asides.all[-FINDINGS:]],
            "cost": _cost(watch),
        }
    )
    return described


def _process(watch: Watch) -> dict[str, Any]:
    now = time.time()
    return {
        "program": shown_name(program()),
        **process_record(),
        "started": iso(_started(now) or watch.began),
        "watched_since": iso(watch.began),
        "now": iso(now),
    }


def _started(now: float) -> float | None:
    """When this process was started, in seconds since the epoch; None where the system does not say."""
    try:
        with open("/proc/self/stat", "rb") as stat:  # noqa: PTH123 - pathlib is not imported
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime", "rb") as uptime:  # noqa: PTH123 - likewise
            up = float(uptime.read().split()[0])
        return now - up + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


# --- who holds ------------------------------------------------------------------------------------------------------


def database_records(
    held: Sequence[Handle],
    now: float,
    doing: dict[Handle, Origin],
    *,
    source: bool = True,
    limits: dict[str, int] | None = None,
) -> list[dict[str, Any]]:
    """What is held, by database and then by opening line and spawn line; where most is held first.

    There are `GROUPS` groups at most, the largest. A database says how many of its lines are left out, and is left out
    itself if all of them are.

    `limits` has for servers the number of connections that they allow, as far as it is known.
    """
    by_database: dict[str, list[Handle]] = {}
    for handle in held:
        by_database.setdefault(handle.database.text, []).append(handle)
    parts = {text: parts_of(handles) for text, handles in by_database.items()}
    largest = sorted((part for each in parts.values() for part in each), key=lambda part: -part.count)
    listed = set(map(id, largest[:GROUPS]))
    records = [
        {
            "database": text,
            "name": database_name(handles[0].database),
            "server": handles[0].database.server,
            "limit": (limits or {}).get(handles[0].database.server),
            "count": len(handles),
            "groups": [_group(part, now, doing, source=source) for part in parts[text] if id(part) in listed],
            "lines_left_out": sum(id(part) not in listed for part in parts[text]),
        }
        for text, handles in sorted(by_database.items(), key=lambda item: -len(item[1]))
    ]
    return [record for record in records if record["groups"]]


def _limits(watch: Watch) -> dict[str, int]:
    """What each server allows: the number that it said, else the setting."""
    known = watch.limits.server_limit
    servers = {handle.database.server for handle in watch.handles if handle.database.host} if known else ()
    return {**dict.fromkeys(servers, known), **watch.history.server_limits}


def _group(part: Part, now: float, doing: dict[Handle, Origin], *, source: bool) -> dict[str, Any]:
    """The record of a group, with its holders one by one, and each stack of theirs once."""
    numbers: dict[tuple[object, ...], tuple[int, Origin]] = {}
    holders = [_holder(handle, now, doing.get(handle, ()), numbers) for handle in part.handles[:HOLDERS]]
    return {
        **group_record(part, now, doing, {}, source=source),
        "opened_so_far": part.site.opened if part.site is not None else None,
        "holders": holders,
        "stacks": [stack_record(origin, source=source) for _, origin in numbers.values()],
        "opening_stack": stack_record(part.handles[0].origin, source=source),
    }


def _holder(
    handle: Handle, now: float, stack: Origin, numbers: dict[tuple[object, ...], tuple[int, Origin]]
) -> dict[str, Any]:
    """One holder; its stack is added to `numbers`, unless it is there already."""
    owner = handle.owner
    line = users_line(stack)
    opener = opener_of(handle)
    trace = f"{opener[0].trace_id:032x}" if opener is not None and opener[0] is not None else None
    return {
        "name": shown_name(owner.name) if owner is not None else None,
        "kind": owner.kind if owner is not None else None,
        "work": shown_name(work_of([handle])),
        "state": state_of(handle, {}),
        "held_s": round(handle.held_s(now), 3),
        "idle_s": round(handle.idle_s(now), 3) if handle.seen else None,
        "uses": handle.uses if handle.seen else None,
        "backend_pid": handle.backend_pid,
        "trace_id": trace,
        "now": located(line),
        "stack": numbers.setdefault(identity(stack), (len(numbers), stack))[0] if stack else None,
    }


def pool_descriptions(snapshot: Snapshot) -> list[dict[str, Any]]:
    """`POOLS` pools at most, as the journal describes them, with the number of connections that are lent now."""
    out: dict[int, int] = {}
    for handle in snapshot.open:
        if handle.kind == CHECKOUT and handle.pool is not None and handle.open:
            out[handle.pool.key] = out.get(handle.pool.key, 0) + 1
    return [{**record, "out": out.get(record["key"], 0)} for record in pool_records(snapshot, POOLS)]


# --- what was opened, and what it has cost --------------------------------------------------------------------------


def _opening(watch: Watch) -> dict[str, Any]:
    """How many handles were opened since the watch began, and by which lines, those that opened most first."""
    sites = sorted((site for site in watch.history.sites if site.opened), key=lambda site: -site.opened)
    lines = [{"count": site.opened, "opened": located(site.frame)} for site in sites[:LINES] if site.origin]
    return {"count": watch.history.opened, "lines": lines}


def _cost(watch: Watch) -> dict[str, Any]:
    """What the watch has cost this process; the memory is an estimate."""
    cost = watch.cost
    handles = watch.handles
    elapsed = max(time.time() - watch.began, cost.cpu_s, 0.001)
    return {
        "looks": cost.looks,
        "cpu_s": round(cost.cpu_s, 6),
        "cpu_share": round(cost.cpu_s / elapsed, 6),
        "events": cost.events,
        "dropped": cost.dropped,
        "open": len(handles),
        "memory_bytes": memory_of(handles, watch.history),
    }


def _with_places(value: Any) -> Any:
    """The same object, in which each line has its `place`: only this process knows what its paths are relative to."""
    if isinstance(value, list):
        return [_with_places(item) for item in value]
    if not isinstance(value, dict):
        return value
    described = {name: _with_places(item) for name, item in value.items()}
    if "file" in described and "line" in described and "place" not in described:
        described["place"] = f"{shown_path(described['file'])}:{described['line']}"
    return described
