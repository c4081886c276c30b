"""Who shares what: two handles with one owner, two owners of one handle, two processes on one connection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from whoholds.analysis.finding import ERROR, WARNING, Finding
from whoholds.analysis.rules import BITS
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle
    from whoholds.limits import Limits

_STARVES = (
    "With {owners} such owner{s} and {at_once} held at once by each, a pool is safe from "
    "{owners} × ({at_once} − 1) + 1 = {safe}; a smaller one can starve: each waits for what the others hold."
)
_SHARED_SOCKET = "Parent and child write to one socket: answers get lost or swapped, TLS breaks (bad record mac)."
_SHARED_FILE = "SQLite's locks belong to a process: parent and child can both write, and the file can be damaged."
_LEAST = 2  # owners that wait for one another
_BIT = BITS["second-while-holding"]


def second_while_holding(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """An owner asked for another handle of the same pool or database while it held one."""
    del limits
    pairs: dict[tuple[object, object], list[tuple[Handle, Handle]]] = {}
    held: dict[Handle, int] = {}
    for outer, inner in snapshot.nestings:
        if not inner.told & _BIT and _starves(outer, inner, snapshot):
            pairs.setdefault((outer.site, inner.site), []).append((outer, inner))
            held[inner] = held.get(inner, 0) + 1
    for found in pairs.values():
        outer, inner = found[0]
        least = 1 if inner.pool is not None else _LEAST  # the other one may have been seen at an earlier look
        owners = max(_most_of_one(inner for _, inner in found), least)
        at_once = 1 + max(held[pair[1]] for pair in found)
        words = {"owners": owners, "s": "s" * (owners != 1), "at_once": at_once}
        yield Finding(
            "second-while-holding",
            WARNING,
            inner.database,
            tuple(dict.fromkeys(pair[1] for pair in found)),
            len({id(pair[1]) for pair in found}),
            "asked for {n} more while its owner held %d",
            (at_once - 1,),
            inner.site,
            inner.owner.spawn if inner.owner else None,
            other=("first opened", outer.site),
            why=(_STARVES.format(**words, safe=owners * (at_once - 1) + 1),),
            advice=("Pass the first connection on to the code that asks for the second, or give it back before.",),
        )


def _starves(outer: Handle, inner: Handle, snapshot: Snapshot) -> bool:
    """A bounded pool starves by one nesting; a database only where several owners of it nest at the same two lines."""
    if inner.pool is not None:
        return inner.kind == outer.kind == "checkout"
    if outer.kind != "connection" or inner.kind != "connection" or outer.pool is not None:
        return False
    if outer.site is None or inner.site is None:
        return False
    trend = snapshot.history.trends.get(inner.database)
    return trend is not None and len(trend.nested.get((outer.site, inner.site), ())) >= _LEAST


def _most_of_one(handles: Iterable[Handle]) -> int:
    """How many owners have some of the pool, or of the database, that most of them have."""
    owners: dict[object, set[int]] = {}
    for handle in handles:
        owners.setdefault(handle.pool or handle.database, set()).add(id(handle.owner))
    return max(map(len, owners.values()))


def shared_at_once(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Two threads or tasks were inside calls on one connection at the same time."""
    del limits
    for handle in snapshot.shared:
        callers, other_stack, stack, owner, inside = handle.shared
        entered = shown_name(owner.name) if owner else "the other"
        yield Finding(
            "shared-at-once",
            WARNING,
            handle.database,
            (handle,),
            len(callers),
            "opened a connection that %d threads or tasks use at the same time",
            (),
            handle.site,
            handle.owner.spawn if handle.owner else None,
            stacks=(
                (f"{shown_name(inside) or 'the one'}, who was inside,", other_stack),
                (f"{entered}, who came in,", stack),
            ),
            why=("Their statements, transactions and results mix; libpq may close the connection on both.",),
            advice=("Give each thread or task its own connection, or a lock around this one.",),
            adds_up=False,
        )


def shared_across_fork(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """A connection opened before a fork was used, or closed, in the child; of a database in memory each has a copy."""
    del limits
    for handle, owner, origin in snapshot.inherited:
        if _in_memory(handle.database):
            continue
        yield Finding(
            "shared-across-fork",
            ERROR,
            handle.database,
            (handle,),
            1,
            "opened {n} before a fork and a child process uses what it inherited",
            (),
            handle.site or (snapshot.history.sites.of(handle.origin) if handle.origin else None),
            handle.owner.spawn if handle.owner else None,
            other=("used", snapshot.history.sites.of(origin) if origin else None),
            stacks=((f"{shown_name(owner.name) if owner else 'the child'}, who used it", origin),) if origin else (),
            why=(_SHARED_FILE if handle.database.system == "sqlite" else _SHARED_SOCKET,),
            advice=("Connect after the fork: in a worker's start hook, or lazily in the child.",),
            adds_up=False,
        )


def _in_memory(database: Database) -> bool:
    """Whether it is one of sqlite3's that is no file: files are known by their absolute path."""
    return database.system == "sqlite" and database.name != ":temporary:" and not os.path.isabs(database.name)
