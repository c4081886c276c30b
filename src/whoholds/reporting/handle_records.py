"""Builds the records of handles and of refused requests, from which a run is drawn and queried.

This module must not make a look slow: statements and stacks are added to a limited number of records of each look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from whoholds.ledger.handle import CHECKOUT
from whoholds.ledger.opener import opener_of
from whoholds.ledger.scope import naming
from whoholds.reporting.records import here_record, iso, line_record, stack_record
from whoholds.text.redact import shown_name
from whoholds.text.sql import sanitise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.analysis.finding import Look
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.entries import Refusal
    from whoholds.ledger.handle import Handle, Request

WITH_STATEMENTS: Final = 50  # records of one look that get statements: five new ones of 100 characters take 0.2 ms
WITH_STACKS: Final = 1000  # pairs of opening line and spawn line whose first record gets stacks
LONGEST_STATEMENT: Final = 200  # characters


class HandleRecords:
    """The records of the handles of one process, look by look.

    The first record of each pair of opening line and spawn line has the stacks of its handle.
    """

    def __init__(self) -> None:
        self._with_stacks: set[tuple[Site | None, Site | None]] = set()

    def of(self, look: Look, handles: Iterable[Handle]) -> list[dict[str, Any]]:
        """The records of `handles`, which ended before the look or are open at the end."""
        room = WITH_STATEMENTS
        records = []
        for handle in handles:
            record = handle_record(handle, look.snapshot)
            if room or handle.told:
                statements = statements_of(handle)
                if statements:
                    room = max(room - 1, 0)
                    record["statements"] = statements
            record.update(self._stacks(handle, source=look.source))
            records.append(record)
        return records

    def _stacks(self, handle: Handle, *, source: bool) -> dict[str, Any]:
        spawn = handle.owner.spawn if handle.owner else None
        pair = (handle.site, spawn.site if spawn else None)
        if pair in self._with_stacks or len(self._with_stacks) >= WITH_STACKS or not handle.origin:
            return {}
        self._with_stacks.add(pair)
        stacks = {"stack": stack_record(handle.origin, source=source)}
        if spawn is not None and spawn.origin:
            stacks["spawn_stack"] = stack_record(spawn.origin, source=source)
        return stacks


def handle_record(handle: Handle, snapshot: Snapshot) -> dict[str, Any]:
    """The record of a handle that ended, or that is open at the end; times in ISO 8601, durations in seconds."""
    owner = handle.owner
    spawn = owner.spawn if owner else None
    record: dict[str, Any] = {
        "type": "handle",
        "key": handle.opened_stamp,
        "end_key": handle.closed_stamp,
        "kind": handle.kind,
        "driver": handle.driver,
        "database": handle.database.text,
        "opened_at": iso(snapshot.wall_time(handle.opened_at), "microseconds"),
        "closed_at": None if handle.closed_at is None else iso(snapshot.wall_time(handle.closed_at), "microseconds"),
        "how": handle.how or "open",
        "held_s": round(handle.held_s(snapshot.now), 6),
        "busy_s": round(handle.busy_s, 6) if handle.seen else None,
        "idle_s": round(handle.idle_s(snapshot.now), 6) if handle.seen else None,
        "uses": handle.uses if handle.seen else None,
        "opened": line_record(handle.site),
        "spawned": line_record(spawn.site if spawn else None),
        "owner": shown_name(owner.name) if owner else None,
        "backend_pid": handle.backend_pid,
        **here_record(),
    }
    if handle.referrer is not None:
        record["adopted"] = True
    if owner is not None:
        record["owner_kind"] = owner.kind
    if spawn is not None and spawn.by is not None:
        record["spawned_by"] = shown_name(spawn.by.name)
    if handle.connect_s is not None:
        record["connect_s"] = round(handle.connect_s, 6)
    if handle.kind != CHECKOUT and handle.in_transaction:
        record["in_transaction"] = True
    if handle.pool is not None:
        record["pool"] = handle.pool.key
    scope = naming(handle.scope)
    if scope is not None:
        record["scope"] = shown_name(scope.name)
        if scope.around:
            record["within"] = shown_name(scope.around[-1].name)
    opener = opener_of(handle)
    if opener is not None and opener[0] is not None:
        record["trace_id"], record["span_id"] = f"{opener[0].trace_id:032x}", f"{opener[0].span_id:016x}"
    return record


def statements_of(handle: Handle) -> list[tuple[str, float, float]]:
    """The last few calls on the handle, oldest first: statement without literals, start and duration in seconds.

    The start counts from the opening of the handle. The text of a call that runs no statement, such as a commit, is "".
    """
    return [
        (
            sanitise(sql, system=handle.database.system, limit=LONGEST_STATEMENT) if sql else "",
            round(began - handle.opened_at, 6),
            round(seconds, 6),
        )
        for sql, began, seconds in handle.statements
    ]


def refused_records(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """A record for each request that a server or a pool refused since the last look, with the line that asked."""
    for refusal in snapshot.refusals:
        yield from (_refused(refusal, request, snapshot) for request in refusal.requests)


def _refused(refusal: Refusal, request: Request, snapshot: Snapshot) -> dict[str, Any]:
    owner = request.owner
    spawn = owner.spawn if owner else None
    sites = snapshot.history.sites
    by = spawn.by if spawn else None
    began = request.began if refusal.by_pool is not None else refusal.at  # a server refuses at once
    return {
        "type": "refused",
        "database": refusal.database.text,
        "pool": refusal.by_pool.key if refusal.by_pool is not None else None,
        "began_at": iso(snapshot.wall_time(began), "microseconds"),
        "refused_at": iso(snapshot.wall_time(max(refusal.at, began)), "microseconds"),
        "asked": line_record(sites.of(request.origin)) if request.origin else None,
        "spawned": line_record(spawn.site or sites.of(spawn.origin)) if spawn is not None and spawn.origin else None,
        "spawned_by": shown_name(by.name) if by is not None else None,
        "owner": shown_name(owner.name) if owner else None,
        **here_record(),
    }
