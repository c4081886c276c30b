"""Detector of statements that failed because another connection held a lock for too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.finding import ERROR, Also, Finding, Part, parts_of
from whoholds.detectors._closing import READ_ALL, way_of
from whoholds.detectors._server import how_to_ask
from whoholds.ledger.lockout import (
    DEADLOCK,
    IN_A_STATEMENT,
    IN_TRANSACTION,
    READING,
    SNAPSHOT,
    UNREAD,
    Holding,
    Lockout,
)
from whoholds.ledger.transactions import writes
from whoholds.text.redact import redact_argv, shown_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle
    from whoholds.settings.limits import Limits

COMMAND = 100  # characters shown of another process's command
SHOWN = 3  # transactions, and cursors, that have a sentence of their own
_AT_ONCE_S = 0.05  # a statement that failed sooner did not wait
_WHO_BLOCKS = {
    "postgresql": "SELECT pid, pg_blocking_pids(pid), application_name, state, query\n"
    "FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0",
    "mysql": "SELECT * FROM information_schema.innodb_trx",
}
_COMMIT = "End the transaction right after its last write ({}), and do slow work before or after it."
_IMMEDIATE = (
    "sqlite does not wait for a lock if a transaction that has already read starts to write: begin such a transaction "
    "with BEGIN IMMEDIATE, and run it again if it fails."
)
_IN_ORDER = (
    "Take locks in the same order everywhere (for rows: ORDER BY the key), keep transactions short, and run the failed "
    "transaction again from the beginning."
)
_UNWATCHED = (
    "a connection of this process that is not watched: one that was opened before the watch, or by a library that "
    "whoholds does not know."
)
_ONE_CONNECTION = "Pass the first connection to the code that uses the second, or end the first transaction beforehand."


def _summary(sql: object) -> str:
    """A statement's verbs and tables, without a literal."""
    from whoholds.text.sql import summary as summarised  # not needed in a program without such a finding

    return summarised(sql)


def locked(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of statements that were locked out and then given up.

    Each shows who had a transaction open on that database at the instant of the first failure, writers first.
    """
    del limits
    for lockout in snapshot.lockouts:
        holdings = _most_suspect_first(lockout)
        held = tuple(holding.handle for holding in holdings)
        parts = _parts(held)
        failed_at = snapshot.history.sites.of(lockout.origin) if lockout.origin else None
        owner = lockout.owner
        yield Finding(
            "locked",
            ERROR,
            lockout.handle.database,
            held,
            len(held) or 1,
            _phrase(lockout, holdings, parts),
            (parts[0].count,) if len(parts) > 1 else (),
            parts[0].site if parts else failed_at,
            parts[0].spawn if parts else owner.spawn if owner else None,
            parts=parts,
            why=tuple(_why(lockout, holdings, snapshot)),
            advice=_advice(lockout, holdings),
            also=Also.at("ended" if lockout.kind == DEADLOCK else "failed", failed_at, "; failure at "),
            doing=tuple((holding.handle, holding.stack) for holding in holdings if holding.stack),
            states=tuple((holding.handle, holding.state) for holding in holdings),
            error=lockout.error.partition("\n")[0],
            adds_up=False,
            times=lockout.count,
            opener=lockout.opener,
            names=() if parts or owner is None else (shown_name(owner.name),),
        )


def _most_suspect_first(lockout: Lockout) -> list[Holding]:
    """Those that touched what the statement touches, then those that wrote, then the oldest. A file has one lock."""
    holdings = list(lockout.holdings)
    if lockout.handle.database.system != "sqlite":
        mine = set(_words(lockout.sql))
        holdings.sort(key=lambda holding: mine.isdisjoint(_touched(holding)))
    return holdings


def _touched(holding: Holding) -> list[str]:
    return [word for sql in holding.begun.statements for word in _words(sql)] if holding.begun is not None else []


def _words(sql: object) -> list[str]:
    """The names of tables and the like in a statement's summary, without its verbs."""
    return [word.lower() for word in _summary(sql).split() if not word.isupper()]


def _parts(held: Sequence[Handle]) -> tuple[Part, ...]:
    """The handles grouped by opening line and spawn line, in the order in which the first of each group comes."""
    order = {handle: place for place, handle in enumerate(held)}
    return tuple(sorted(parts_of(held), key=lambda part: min(order[handle] for handle in part.handles)))


def _phrase(lockout: Lockout, holdings: Sequence[Holding], parts: Sequence[Part]) -> str:
    if not holdings:
        return _phrase_without(lockout)
    opened = "{verb} %d of {n}" if len(parts) > 1 else "{verb} {n}"
    first = holdings[0]
    if lockout.kind == DEADLOCK:
        what = "in a deadlock"
    elif first.state == READING:
        what = "with rows still to read"
    elif first.begun is None:
        what = "in a statement"
    elif len(holdings) == 1 and lockout.handle.database.system == "sqlite":
        what = "holding the lock"
    else:
        what = "in a transaction"
    return f"{opened} {what}"


def _phrase_without(lockout: Lockout) -> str:
    seen = lockout.elsewhere
    if lockout.kind == DEADLOCK:
        return "was ended by a deadlock with a connection that is not watched"
    if lockout.kind == SNAPSHOT:
        return "was locked out: another connection had written since it read"
    if lockout.by_another_process:
        return "was locked out by another process"
    if seen is not None and not lockout.by_this_process:
        return "was locked out, and the lock was gone a moment later"
    return "was locked out by a connection that is not watched"


def _why(lockout: Lockout, holdings: Sequence[Holding], snapshot: Snapshot) -> Iterator[str]:
    """Sentences on the statement, on each transaction, and on other processes."""
    yield f"{_what_failed(lockout)} failed after {lockout.waited:.1f} s."
    for holding in holdings[:SHOWN]:
        yield from _of_holding(lockout, holding, many=len(holdings) > 1)
        yield from _cursors(holding, snapshot)
    if len(holdings) > SHOWN:
        yield f"{len(holdings) - SHOWN} more had a transaction open."
    owner = lockout.owner
    if owner is not None and _waits_for_itself(lockout, holdings):
        kind = "thread" if owner.kind == "job" else owner.kind
        yield f"The same {kind} holds both connections, so it was waiting for itself."
    if not holdings:
        yield from _elsewhere(lockout)


def _what_failed(lockout: Lockout) -> str:
    if lockout.again:
        return _summary(lockout.sql) or "The statement"
    if lockout.commits:
        return "COMMIT"
    before = _summary(lockout.sql)
    return f"A call after {before}" if before else "A call"


def _waits_for_itself(lockout: Lockout, holdings: Sequence[Holding]) -> bool:
    """True if whoever was locked out has the most suspect transaction, too. A server sees no deadlock in that."""
    first = holdings[0].handle.owner if holdings and lockout.kind not in (UNREAD, DEADLOCK) else None
    return first is not None and first is lockout.owner


def _of_holding(lockout: Lockout, holding: Holding, *, many: bool) -> Iterator[str]:
    begun, owner = holding.begun, holding.handle.owner
    if begun is None or not begun.statements:
        return
    whose = f"The transaction of {shown_name(owner.name)}" if many and owner is not None else "Its transaction"
    first = _summary(begun.statements[0]) or "a statement"
    wrote = next((_summary(sql) for sql in begun.statements if writes(sql) and _summary(sql)), "")
    first += f", then {wrote}" if wrote and wrote != first and not first.startswith(wrote) else ""
    seconds = max(lockout.at - begun.at, 0.0)
    if begun.whole:
        yield f"{whose} began {seconds:.1f} s earlier, with {first}."
    else:
        yield f"{whose} had been open for more than {seconds:.1f} s. The earliest call still on record is {first}."


def _cursors(holding: Holding, snapshot: Snapshot) -> Iterator[str]:
    sites: list[Site] = [snapshot.history.sites.of(origin) for origin in holding.unread if origin]
    for site in dict.fromkeys(sites[:SHOWN]):
        yield f"The cursor made at {site.frame.place} in {site.frame.function} still has unread rows."


def _elsewhere(lockout: Lockout) -> Iterator[str]:
    seen = lockout.elsewhere
    pids = (*seen.writers, *seen.readers) if seen is not None and lockout.by_another_process else ()
    if pids:
        command = " ".join(" ".join(redact_argv(lockout.command)).split())
        command = f" {command[:COMMAND]}{' …' * (len(command) > COMMAND)}" if command else ""
        lock = f"{'write' if seen and seen.writers else 'read'} lock"
        yield f"Process {pids[0]} held a {lock}{':' * bool(command)}{command}."
    elif lockout.kind != SNAPSHOT:
        yield "No connection that whoholds watches in this process had a transaction open on this database."
        if seen is None:
            yield f"The lock was held by another process, or by {_UNWATCHED}"
        elif lockout.by_this_process:
            yield f"The lock was held by {_UNWATCHED}"
    database = lockout.handle.database
    if database.system != "sqlite":
        yield how_to_ask(database, "while it happens", _WHO_BLOCKS)


def _advice(lockout: Lockout, holdings: Sequence[Holding]) -> tuple[str, ...]:
    if lockout.kind == DEADLOCK:
        return (_IN_ORDER,)
    if lockout.kind == UNREAD or (holdings and holdings[0].state == READING):
        return (READ_ALL,)
    if _waits_for_itself(lockout, holdings):
        return (_ONE_CONNECTION,)
    at_once = lockout.was_begun and lockout.again and lockout.waited < _AT_ONCE_S
    if lockout.kind == SNAPSHOT or (at_once and lockout.handle.database.system == "sqlite"):
        return (_IMMEDIATE,)
    if holdings and holdings[0].state in (IN_TRANSACTION, IN_A_STATEMENT):
        return (_COMMIT.format(way_of(holdings[0].handle).commit),)
    return ()
