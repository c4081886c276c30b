"""Detectors of handles that are held without use: idle connections, idle transactions, and cursors left open."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from whoholds.analysis.finding import ERROR, INFO, WARNING, Finding, Part, parts_of
from whoholds.analysis.rules import BITS
from whoholds.analysis.standing import is_let_go, is_stock, listens, of_a_cell, of_a_worker_task
from whoholds.detectors import _habits
from whoholds.detectors._closing import READ_ALL, how_to_commit, how_to_hold
from whoholds.ledger.handle import CURSOR, Handle
from whoholds.ledger.transactions import begun, writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.snapshot import Ending, Snapshot
    from whoholds.settings.limits import Limits
    from whoholds.settings.matching import Threshold

_PORTAL = (
    "Close the cursor (`with connection.cursor(name) as cursor`): it stays open on the server until close(), "
    "even if its rows were read."
)
_KEEPS_LOCKS = "It keeps its locks: other transactions wait."
_KEEPS = {  # what a transaction that has written keeps from others
    "postgresql": "It keeps its locks and its snapshot: other transactions wait, and vacuum cannot clean up.",
    "sqlite": "It keeps its lock on the file: others who write wait, and fail with “database is locked”.",
}
_KEEPS_OF_READING = {  # what a transaction that has only read keeps from others, and a writing transaction, too
    "postgresql": "It keeps the locks of its queries: an ALTER TABLE waits for it, and all who come after that.",
    "mysql": "It keeps the locks of its queries: an ALTER TABLE waits for it, and all who come after that.",
    "sqlite": "It keeps its snapshot of the file: without WAL nobody else can commit a change meanwhile.",
}
_MAY_KEEP_LOCKS = "It keeps the locks that its statements took: other transactions may wait for them."
_HAS_BEGUN = "It has only begun, and keeps no lock yet: its first statement takes one."
_REGULAR = 2  # pauses between statements that show a regular use
_AS_LONG = 2.0  # until so many times the shortest pause the next statement may still come
HIGH, LOW = 0.8, 0.2  # shares of the server's limit: from HIGH the severity is error, below LOW it is info


def pressure(snapshot: Snapshot, limits: Limits, handle: Handle) -> float | None:
    """Open connections to the handle's server as a share of the server's limit; None if the limit is not known."""
    allowed = allowed_by(snapshot, limits, handle.database.server)
    if not allowed:
        return None
    return (
        sum(other.database.server == handle.database.server for other in snapshot.open if other.kind == "connection")
        / allowed
    )


def allowed_by(snapshot: Snapshot, limits: Limits, server: str) -> int:
    """The number of connections that `server` allows, from the settings or else the server; 0 if not known."""
    return limits.server_limit or snapshot.history.server_limits.get(server, 0)


def _by_pressure(snapshot: Snapshot, limits: Limits, group: tuple[Handle, ...]) -> str:
    share = pressure(snapshot, limits, group[0])
    if share is None:
        return WARNING
    return ERROR if share >= HIGH else INFO if share < LOW else WARNING


def _longer(handle: Handle, seconds: float, limit: Threshold) -> bool:
    return seconds > limit.least and seconds > limit.at(handle.site.frame if handle.site else None)


def held_too_long(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of handles that are held and have been idle for longer than the limit.

    Left out are handles that have unread results, are used regularly or wait for notifications, standing handles, the
    stock of a pool that no driver knows, a worker task's own connection, and handles that a notebook's cell opened. At
    the end of the process there are no findings: `left_open` reports what is still open.
    """
    if snapshot.process_ends:
        return
    now, least = snapshot.now, limits.held_too_long.least
    if snapshot.history.habits is not None:
        least = min(least, _habits.LEAST_S)
    before = now - least
    unused = [handle for few in snapshot.few() for handle in few if handle.used_at <= before]
    if not unused:
        return
    late = [
        handle
        for handle in snapshot.unreturned("held-too-long", unused)
        if (
            _longer(handle, handle.idle_s(now), limits.held_too_long)
            or _habits.is_unusually_long(snapshot, handle, handle.idle_s(now))
        )
        and not handle.unread
        and not listens(handle)
        and not snapshot.stands(handle)
        and not of_a_cell(handle)
        and not is_stock(handle)
        and not _is_used_regularly(handle, now)
        and not of_a_worker_task(handle, snapshot.open, now)
        and not is_let_go(handle)
    ]
    for part in parts_of(late):
        yield Finding.of(
            part,
            "held-too-long",
            _by_pressure(snapshot, limits, part.handles),
            "{verb} {n}, idle for %.0f of %.0f s",
            _idle_for(part.handles, now),
            max(handle.held_s(now) for handle in part.handles),
            why=_why_long(snapshot, limits, part.handles[0]),
            advice=how_to_hold(part.handles),
        )


def _why_long(snapshot: Snapshot, limits: Limits, handle: Handle) -> tuple[str, ...]:
    """A sentence on what the line is used to, if only that makes the time too long."""
    if _longer(handle, handle.idle_s(snapshot.now), limits.held_too_long):
        return ()
    usual = _habits.longest_usual(snapshot, handle)
    return (f"This line usually holds a connection for at most {usual:.1f} s; this time it is far longer.",)


def _is_used_regularly(handle: Handle, now: float) -> bool:
    """True for a heartbeat or a poll: the present pause is at most twice the shortest between its last statements."""
    began = [at for _, at, _ in handle.statements]
    gaps = [later - earlier for earlier, later in pairwise(began)]
    return len(gaps) >= _REGULAR and handle.idle_s(now) <= _AS_LONG * min(gaps)


def _idle_for(handles: tuple[Handle, ...], now: float) -> float:
    return max(handle.idle_s(now) for handle in handles)


def idle_in_transaction(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of handles that have an open transaction and have run nothing for longer than the limit.

    Left out are databases that only one connection can see: nobody else wants their locks.
    """
    now, least = snapshot.now, limits.idle_in_transaction.least
    open_ = [
        handle
        for few in snapshot.few()
        for handle in few
        if (handle.parent or handle).in_transaction and not handle.database.private
    ]
    if not open_:
        return
    late = [
        handle
        for handle in snapshot.unreturned("idle-in-transaction", open_)
        if now - handle.used_at > least and _longer(handle, handle.idle_s(now), limits.idle_in_transaction)
    ]
    for part in parts_of(late):
        yield Finding.of(
            part,
            "idle-in-transaction",
            _by_pressure(snapshot, limits, part.handles),
            "{verb} {n}, idle for %.0f s",
            _idle_for(part.handles, now),
            why=_what_it_keeps(part.handles),
            advice=how_to_commit(part.handles),
        )


def _what_it_keeps(handles: tuple[Handle, ...]) -> tuple[str, ...]:
    """A sentence on what the transactions keep from others, as far as their last statements tell."""
    system = handles[0].database.system
    transactions = [begun(handle) for handle in handles]
    if any(writes(sql) for transaction in transactions for sql in transaction.statements):
        return (_KEEPS.get(system, _KEEPS_LOCKS),)
    if any(transaction.wrote or not transaction.statements for transaction in transactions):  # or so it may be
        return (_KEEPS["sqlite"] if system == "sqlite" else _MAY_KEEP_LOCKS,)
    if any(transaction.has_locks for transaction in transactions):
        return tuple(filter(None, [_KEEPS_OF_READING.get(system)]))
    return (_HAS_BEGUN,)


def cursor_left_open(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of cursors that keep a server-side portal or a lock past the limit or past the end of their scope.

    A lock in a database that only one connection can see is in nobody's way.
    """
    now, bit = snapshot.now, BITS["cursor-left-open"]
    ending = snapshot.ending
    late, over = [], []
    unread = [
        handle
        for few in snapshot.few()
        for handle in few
        if (handle.unread and not handle.database.private) or handle.server_side
    ]
    for handle in unread:
        if handle.told & bit or not (handle.unread or handle.kind == CURSOR):
            continue
        if ending is not None and ending.covers(handle):
            over.append(handle)
        elif _longer(handle, handle.idle_s(now), limits.held_too_long):
            late.append(handle)
    for handles, ended in ((late, None), (over, ending)):
        for part in parts_of(handle for handle in handles if handle.kind == CURSOR):
            when, word = _until(part.handles, now, ended)
            yield Finding.of(part, "cursor-left-open", WARNING, f"left {{n}} open {when}", word, advice=(_PORTAL,))
        for part in parts_of(handle for handle in handles if handle.kind != CURSOR):
            yield from _half_read(part, now, ended)


def _until(handles: tuple[Handle, ...], now: float, ended: Ending | None) -> tuple[str, object]:
    """How long the handles were left, as a phrase with one placeholder: to the end of a scope, or for some seconds."""
    return (f"at the end of {ended.kind} %s", ended.name) if ended else ("for %.0f s", _idle_for(handles, now))


def _half_read(part: Part, now: float, ended: Ending | None) -> Iterator[Finding]:
    """A finding for each line whose cursors have statements that are not read to their ends.

    The finding's count is the number of these statements.
    """
    lines = Counter(site for handle in part.handles for site in handle.unread)
    for site, count in lines.items():
        holders = tuple(handle for handle in part.handles if site in handle.unread)
        when, word = _until(holders, now, ended)
        if count == 1:
            words: tuple[object, ...] = (word,)
            phrase = f"left a statement half read on {{n}} {when}, which keeps a lock"
        else:
            words = (count, word)
            phrase = f"left %d statements half read {when}, which keeps a lock"
        part_ = Part(holders, site, part.spawn)
        finding = Finding.of(part_, "cursor-left-open", WARNING, phrase, *words, advice=(READ_ALL,))
        yield replace(finding, count=count)
