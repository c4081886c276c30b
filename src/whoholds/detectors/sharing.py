"""Detectors of sharing: one owner of two handles, two callers in one connection, two processes on one connection."""

from __future__ import annotations

import os
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from whoholds.analysis.finding import ERROR, INFO, WARNING, Also, Finding
from whoholds.detectors._closing import ONE_IS_ENOUGH, how_to_fork
from whoholds.ledger.handle import Handle, Pool
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.nesting import Nesting
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Request
    from whoholds.ledger.origin import Origin
    from whoholds.settings.limits import Limits

_STARVES = (
    "A pool of at least {owners} × ({at_once} − 1) + 1 = {safe} cannot deadlock here: so far, {owners} owner{s} "
    "held {at_once} at once. In a smaller pool, each can wait for a connection that another one holds."
)
_SHARED_SOCKET = "Parent and child use the same socket: answers get lost or swapped, and TLS breaks (bad record mac)."
_SHARED_FILE = "SQLite's locks belong to a process: parent and child can both write, and the file can be damaged."
_MIXED = "Statements, transactions and results of the two get mixed up, and the connection may break."
_IN_TURN = "{} lets one wait for the other, and they share one transaction: a commit or rollback of one is of both."
_TOGETHER = {  # driver → what it makes of two callers at once
    **{name: _IN_TURN.format(name) for name in ("sqlite3", "psycopg2", "psycopg")},
    "asyncpg": "asyncpg refuses the second call with “another operation is in progress”.",
    "aiopg": "aiopg refuses the second call with a RuntimeError.",
}
_LEAST = 2  # owners that it takes to wait for one another
INFINITE = float("inf")
_ROOM = 4  # a pool that lends so many times the safe number is far from starving


def second_while_holding(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of owners that requested a handle while they held one of the same pool or database.

    It does not matter whether the owner got the second handle.
    """
    del limits
    if not snapshot.nestings:
        return
    groups: dict[tuple[Site | None, Site | None], list[Nesting]] = {}
    for nesting in snapshot.nestings:
        if nesting.inners and _starves(nesting):
            groups.setdefault((nesting.held_at, nesting.asked_at), []).append(nesting)
    held = Counter(chain.from_iterable([nesting.inners for group in groups.values() for nesting in group]))
    for group in groups.values():
        yield _nested(group, held)


def _starves(nesting: Nesting) -> bool:
    """True if owners may wait for one another: with a pool always, with a database if at least `_LEAST` owners nest."""
    return isinstance(nesting.lender, Pool) or nesting.nesters >= _LEAST


def _nested(group: list[Nesting], held: Counter[Handle | Request]) -> Finding:
    """The finding of one pair of lines.

    `held` has, by each second handle or request, the number of handles that its owner held at that time.
    """
    first = group[0]
    all_inners = first.inners if len(group) == 1 else [inner for nesting in group for inner in nesting.inners]
    inners = dict.fromkeys(all_inners)  # each once
    handles = tuple([inner for inner in inners if isinstance(inner, Handle) and inner.opened_stamp])
    outers = tuple(dict.fromkeys([outer for nesting in group for outer in nesting.outers]))
    owners = max(*(nesting.pair.most for nesting in group), 1 if isinstance(first.lender, Pool) else _LEAST)
    at_once = 1 + max(map(held.__getitem__, inners))
    safe = owners * (at_once - 1) + 1
    in_vain = len(inners) - len(handles)
    asker = first.inners[0].owner
    lends, room = _lends(group)
    parts = first.parts
    return Finding(
        "second-while-holding",
        INFO if (room >= _ROOM * safe or _opens_for_all(first.lender)) and not in_vain else WARNING,
        first.outers[0].database,
        handles or outers,
        len(inners),
        f"asked %s for one more{_in_vain(in_vain, len(inners))} while holding %d",
        (_times(len(inners)), *((_times(in_vain),) if 0 < in_vain < len(inners) else ()), at_once - 1),
        first.asked_at,
        asker.spawn if asker else None,
        also=Also.at("the first taken", parts[0] if parts else first.held_at, " taken at "),
        why=(
            *(_parting(*parts) if parts else ()),
            *lends,
            _STARVES.format(owners=owners, s="s" * (owners != 1), at_once=at_once, safe=safe),
        ),
        advice=(ONE_IS_ENOUGH,),
        held=outers,
    )


def _opens_for_all(lender: Pool | Database) -> bool:
    """Whether nobody has to wait for another's connection: SQLite opens its file as often as it is asked to."""
    return not isinstance(lender, Pool) and lender.system == "sqlite"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count}×"


def _in_vain(count: int, asked: int) -> str:
    return ", in vain," if count == asked else ", %s in vain," if count else ""


def _parting(held: Site, asked: Site) -> tuple[str, ...]:
    first, second = held.frame, asked.frame
    if first.place == second.place:  # `with pool.connection() as first, pool.connection() as second:`
        return ("Both were taken at the same line, one after the other.",)
    return (f"Both were taken at the same line: {first.function} gets there by {first.place}, then by {second.place}.",)


def _lends(group: list[Nesting]) -> tuple[tuple[str, ...], float]:
    """How many handles the smallest of the pools lends at most, as a sentence and as a number.

    `(), 0` for a database, where nobody knows the number.
    """
    pools = [nesting.lender for nesting in group if isinstance(nesting.lender, Pool)]
    if not pools:
        return (), 0.0
    least = min(pool.max or INFINITE for pool in pools)
    return (("The pool has no limit of its own." if least == INFINITE else f"The pool lends at most {least}."),), least


def shared_at_once(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of connections on which two threads or tasks were inside calls at the same time."""
    del limits
    for handle in snapshot.shared:
        sharing = handle.shared
        first, second = _site(sharing.inside, snapshot), _site(sharing.came_in, snapshot)
        together = first is second
        names = [
            shown_name(name) or "another" for name in (sharing.inside_name, sharing.owner.name if sharing.owner else "")
        ]
        at = [f" at {site.frame.place}" if site is not None else "" for site in (first, second)]
        yield Finding(
            "shared-at-once",
            WARNING,
            handle.database,
            (handle,),
            len(sharing.callers),
            f"opened a connection that %d %s used at once{' at %s' * bool(first and not together)}",
            (
                len(sharing.callers),
                f"{sharing.owner.kind}s" if sharing.owner else "callers",
                *((first.frame.place,) if first and not together else ()),
            ),
            handle.site,
            handle.owner.spawn if handle.owner else None,
            also=Also.at("another", second, ", both at " if together else " and at "),
            stacks=(
                (f"first, inside a call: {names[0]}", sharing.inside),
                (f"second, in another call: {names[1]}", sharing.came_in),
            ),
            names=tuple(dict.fromkeys(names)),
            why=(
                f"{names[0]} was inside a call{at[0]} when {names[1]} began another{at[1]}.",
                _TOGETHER.get(handle.driver, _MIXED),
            ),
            advice=("Give each thread or task its own connection, or guard this connection with a lock.",),
            adds_up=False,
        )


def _site(origin: Origin, snapshot: Snapshot) -> Site | None:
    return snapshot.history.sites.of(origin) if origin else None


def shared_across_fork(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of connections that were opened before a fork and used or closed in the child.

    Databases in memory are left out, because parent and child have a copy each.
    """
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
            "opened {n} before a fork, used in the child",
            (),
            handle.site or (snapshot.history.sites.of(handle.origin) if handle.origin else None),
            handle.owner.spawn if handle.owner else None,
            also=Also.at("used", snapshot.history.sites.of(origin) if origin else None, " at "),
            stacks=((f"used in the child by {shown_name(owner.name) if owner else 'it'}", origin),) if origin else (),
            why=(_SHARED_FILE if handle.database.system == "sqlite" else _SHARED_SOCKET,),
            advice=(how_to_fork(handle),),
            adds_up=False,
        )


def _in_memory(database: Database) -> bool:
    """True for an SQLite database in memory: a database in a file has an absolute path as its name."""
    return database.system == "sqlite" and database.name != ":temporary:" and not os.path.isabs(database.name)
