"""Detector of requests that a server or a pool refused, with who held the connections at that instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.asking import owners_of
from whoholds.analysis.demand import Present
from whoholds.analysis.finding import ERROR, Also, Finding, parts_of, share
from whoholds.detectors._bounds import advice
from whoholds.detectors._closing import how_to_close
from whoholds.detectors._server import how_to_ask, how_to_ask_pgbouncer, is_pgbouncers
from whoholds.detectors.idle import allowed_by
from whoholds.ledger.handle import CHECKOUT, CONNECTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from whoholds.analysis.finding import Part
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.entries import Refusal
    from whoholds.ledger.handle import Handle
    from whoholds.settings.limits import Limits

FEW = 0.5  # share of the server's limit below which this process holds few connections, and others hold the rest
_WHO_HOLDS = {
    "postgresql": "SELECT pid, usename, application_name, client_addr, state, now() - state_change AS since, query\n"
    "FROM pg_stat_activity ORDER BY state_change",
    "mysql": "SHOW FULL PROCESSLIST",
}


def refused(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of requests that a server or a pool refused.

    Each shows which handles were held at that instant, grouped, the largest group first.
    """
    for refusal in snapshot.refusals:
        lost = tuple(refusal.by_pool.lost) if refusal.by_pool is not None else ()
        held = tuple(dict.fromkeys((*lost, *_of_the_same(refusal, snapshot))))
        parts = parts_of(held)
        allowed = allowed_by(snapshot, limits, refusal.database.server)
        site = parts[0].site if parts else _asked_at(refusal, snapshot)
        yield Finding(
            "refused",
            ERROR,
            refusal.database,
            held,
            len(held),
            _refused_phrase(refusal, parts, lost),
            (share(parts[0].count, len(held)),) if parts else (),
            site,
            parts[0].spawn if parts else refusal.owner.spawn if refusal.owner else None,
            parts=parts,
            why=(
                *_why_refused(refusal, held, allowed, snapshot.history.others),
                *(why_lost(lost) or _how_big(refusal, held, snapshot)),
            ),
            advice=how_to_close(lost) if lost else advice(parts) if parts else (),
            also=Also.at("refused", _asked_at(refusal, snapshot), " at "),
            error=refusal.error,
            adds_up=False,
            times=refusal.count,
            opener=refusal.opener,
        )


def _asked_at(refusal: Refusal, snapshot: Snapshot) -> Site | None:
    return snapshot.history.sites.of(refusal.origin) if refusal.origin else None


def _of_the_same(refusal: Refusal, snapshot: Snapshot) -> tuple[Handle, ...]:
    """The handles of that pool or server that were held at the instant of the refusal.

    A connection that was just being made then is included: the server had already given it a slot.
    """
    pool = refusal.by_pool
    if pool is not None:
        return tuple(handle for handle in refusal.open if handle.pool is pool and handle.kind == CHECKOUT)
    server = refusal.database.server
    there = dict.fromkeys(refusal.open)
    for handle in (*snapshot.open, *snapshot.ended):
        began = handle.opened_at - (handle.connect_s or 0.0)
        if began <= refusal.at <= handle.opened_at:
            there[handle] = None
    return tuple(handle for handle in there if handle.kind == CONNECTION and handle.database.server == server)


def _refused_phrase(refusal: Refusal, parts: Sequence[Part], lost: Sequence[Handle]) -> str:
    if not parts:
        return f"was refused a connection: {'the pool ran out' if refusal.by_pool else 'the server allows no more'}"
    by = "the pool ran out" if refusal.by_pool is not None else "the server refused more"
    return f"had {{verb}} %s{{n}}{', held or lost,' if lost else ''} when {by}"


def why_lost(lost: Sequence[Handle]) -> tuple[str, ...]:
    """A sentence for each line that borrowed handles which the pool never got back."""
    return tuple(_lost_at(part.site, part.count) for part in parts_of(lost) if part.site is not None)


def _lost_at(site: Site, count: int) -> str:
    were, them, places = ("was", "it", "its place") if count == 1 else ("were", "them", "their places")
    return (
        f"{count} {were} borrowed at {site.frame.place} and never given back: the program dropped {them}, and the pool "
        f"has lost {places}."
    )


def _how_big(refusal: Refusal, held: tuple[Handle, ...], snapshot: Snapshot) -> tuple[str, ...]:
    """A sentence on how many were wanted of the pool.

    Empty if a server refused, or if a holder itself asked a pool, this one or another: it cannot give back sooner.
    """
    pool = refusal.by_pool
    given_up = [request for other in snapshot.refusals for request in other.requests]
    if pool is None or not owners_of(held).isdisjoint(owners_of(given_up) | owners_of(snapshot.requests)):
        return ()
    demand, _ = snapshot.demand_of(pool)
    present = Present.of(pool, held, (), refusal.at)
    return (demand.sentence(present._replace(waiting=[request.began for request in refusal.requests])),)


def holds_few(held: int, allowed: int) -> bool:
    """True if a process with `held` connections holds so few of those `allowed` (0: not known) that others matter."""
    return not allowed or held < FEW * allowed


def _why_refused(
    refusal: Refusal, held: tuple[Handle, ...], allowed: int, others: Mapping[str, str]
) -> tuple[str, ...]:
    why = []
    pool = refusal.by_pool
    if pool is not None:
        why.append(f"The pool lends at most {pool.max}." if pool.max else "The pool has no limit of its own.")
    elif is_pgbouncers(refusal.error):
        why.append(how_to_ask_pgbouncer(refusal.database))
    elif holds_few(len(held), allowed):
        few = f"This process holds {len(held)}"
        few += (
            f" of the {allowed} that the server allows; others hold the rest."
            if allowed
            else "; if the server allows more than that, others hold the rest."
        )
        asked = others.get(refusal.database.server)
        why += [few, asked] if asked else []
        listed = asked is not None and "\n" in asked  # below its first line are the largest groups of others
        ask = how_to_ask(refusal.database, "what they do" if listed else "who they are", _WHO_HOLDS)
        why.append(ask if asked else f"{few} {ask}")
    return tuple(why)
