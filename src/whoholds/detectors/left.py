"""Detectors of handles that were not given back: left open at an end, freed unclosed, or open after the owner ended."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from whoholds.analysis.bringing import is_brought
from whoholds.analysis.finding import ERROR, INFO, WARNING, Finding, parts_of
from whoholds.analysis.rules import BITS, RULES
from whoholds.analysis.standing import is_let_go, is_stock, of_a_cell, thread_of
from whoholds.detectors._closing import how_to_close
from whoholds.ledger.entries import ORPHANED, THREAD_ENDED
from whoholds.ledger.handle import CHECKOUT, CLOSED, COLLECTED, CURSOR, FREED, Handle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.owner import Owner
    from whoholds.ledger.scope import Scope
    from whoholds.settings.limits import Limits

_UNTIL_COLLECTED = "Until the garbage collector runs, such a connection stays open and keeps its locks."
_UNTIL_COLLECTED_LENT = (
    "Until the garbage collector runs, such a connection keeps its locks, and the pool cannot lend it."
)
_UNTIL_COLLECTED_PRIVATE = "Until the garbage collector runs, such a database keeps its memory."
_REFERRED_TO = "Something still refers to {}, such as a list, a cache, a future, or an exception that was kept."
_OWNER = attrgetter("owner")
_FREED = (COLLECTED, FREED, ORPHANED, THREAD_ENDED)


def left_open(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of handles that are open at the end of a scope, of a watch or of the process.

    Handles that a pool has at home are left out.
    """
    del limits
    ending = snapshot.ending
    if ending is None and not snapshot.scopes:
        return
    open_ = snapshot.unreturned("left-open")
    over = _out_of_scope(snapshot, open_)
    for scope, handles in over.items():
        for group, severity in _singles_apart(snapshot, handles):
            for part in parts_of(group):
                left = _left(part.handles, scope.kind, scope.name)
                finding = Finding.of(part, "left-open", severity, *left, advice=how_to_close(part.handles))
                yield replace(finding, scope=scope.name)
    if ending is None:
        return
    named = {handle for handles in over.values() for handle in handles}
    open_ = [handle for handle in open_ if handle not in named]
    if ending.scope is not None:
        open_ = [handle for handle in open_ if ending.covers(handle)]
    elif ending.kind == "process":
        single = {handle for handle in open_ if snapshot.stands(handle) or is_stock(handle)}
        open_ = [handle for handle in open_ if handle not in single]
        leaks = {_lines(handle) for handle in open_}  # equal lines are merged into one finding: count only its leaks
        for part in parts_of(handle for handle in single if _lines(handle) not in leaks):
            yield Finding.of(part, "left-open", INFO, *_left(part.handles, ending.kind, ending.name))
    for part in parts_of(open_):
        yield Finding.of(
            part,
            "left-open",
            ERROR,
            *_left(part.handles, ending.kind, ending.name),
            why=_who_keeps(snapshot, part.handles),
            advice=how_to_close(part.handles),
        )


def _lines(handle: Handle) -> tuple[Site | None, Site | None]:
    """The opening line, and the line that spawned the owner."""
    spawn = handle.owner.spawn if handle.owner is not None else None
    return handle.site, spawn.site if spawn is not None else None


def _out_of_scope(snapshot: Snapshot, open_: list[Handle]) -> dict[Scope, list[Handle]]:
    """By each request or job that is over: the handles of `open_` that it opened and did not give back.

    Handles are left out while an owner that the request or job started still runs.
    """
    ends = dict(snapshot.scopes)
    found: dict[Scope, list[Handle]] = {}
    for handle in open_ if ends else ():
        scope: Scope | None = handle.scope
        if scope is not None and handle.opened_stamp < ends.get(scope, 0) and not _at_work(snapshot, handle, scope):
            found.setdefault(scope, []).append(handle)
    return found


def _at_work(snapshot: Snapshot, handle: Handle, scope: Scope) -> bool:
    owner = handle.owner
    if owner is None or owner.whole is getattr(scope, "owner", None):
        return False
    return not (snapshot.job_is_over(owner) if owner.kind == "job" else snapshot.gone(owner))


def _singles_apart(snapshot: Snapshot, handles: list[Handle]) -> list[tuple[list[Handle], str]]:
    """The handles in two groups with their severities: each chain's only handle (info), and all others (error).

    The only handle of its chain may be a global that was made at its first use and serves all later requests.
    """
    single = [handle for handle in handles if snapshot.first_of_its_chain(handle)]
    return [(single, INFO), ([handle for handle in handles if handle not in single], ERROR)]


def _left(group: tuple[Handle, ...], kind: str, name: str) -> tuple[str, str, str]:
    """The phrase and its two arguments: the name of the scope, and `, never used` if no handle was used."""
    when = {"process": "at exit", "watch": "at the end of the watch"}.get(kind, f"at the end of {kind} ")
    if kind == "process" and name:  # one of its interpreters ends, the process goes on
        when = "at the end of "
    never_used = ", never used" if not any(handle.uses or not handle.seen for handle in group) else ""
    did = "did not give back" if group[0].kind == "checkout" else "left open"
    return f"{did} {{n}} {when}%s%s", name, never_used


def _who_keeps(snapshot: Snapshot, group: tuple[Handle, ...]) -> tuple[str, ...]:
    gone = [handle.owner for handle in group if handle.owner is not None and snapshot.gone(handle.owner)]
    if not gone:
        return ()
    longest = max(snapshot.now - (owner.job_over_at or owner.ended_at or snapshot.now) for owner in gone)
    them = "it" if len(group) == 1 else "them"
    return (f"Something still refers to {them}, although {_owners(group)} ended {longest:.1f} s ago.",)


def _owners(group: tuple[Handle, ...]) -> str:
    kinds = {handle.owner.kind for handle in group if handle.owner is not None}
    kind = kinds.pop() if len(kinds) == 1 else "owner"
    return f"the {kind}" if len(group) == 1 else f"their {kind}s"


def collected_open(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of handles that were freed without having been closed.

    A connection that a thread kept for itself and that was freed because the thread ended is left out, and so is a
    pool's connection that was freed with its loan, which is named instead.
    """
    del limits
    freed = [
        handle
        for handle in snapshot.ended
        if handle.how in _FREED and handle.kind != CURSOR and handle.referrer is None  # else a close may be unseen
    ]
    if not freed:
        return
    lent = {handle.parent for handle in freed}
    freed = [handle for handle in freed if handle not in lent]
    owned = _threads_own(freed)
    lost = {handle for handle in freed if _is_lost(handle)}
    others = [handle for handle in freed if handle not in lost and handle.how != THREAD_ENDED and handle not in owned]
    for part in parts_of(lost):
        yield Finding.of(
            part,
            "collected-open",
            ERROR,
            "never gave back {n}, now lost to the pool",
            why=("This pool does not take back a connection that its borrower drops: it has one fewer from now on.",),
            advice=how_to_close(part.handles),
        )
    for late in (True, False):
        for part in parts_of(handle for handle in others if (handle.how != FREED) == late):
            first = part.handles[0]
            is_loan = first.kind == CHECKOUT
            until = _UNTIL_COLLECTED_PRIVATE if first.database.private else _UNTIL_COLLECTED
            yield Finding.of(
                part,
                "collected-open",
                WARNING if late and not all(map(_is_harmless, part.handles)) else INFO,
                f"never {'gave back' if is_loan else 'closed'} {{n}}, "
                f"freed {'by garbage collection' if late else 'with the last reference'}",
                why=(_UNTIL_COLLECTED_LENT if is_loan else until,) if late else (),
                advice=how_to_close(part.handles),
            )


def _is_lost(handle: Handle) -> bool:
    """True for a loan that its pool cannot take back by itself, if the pool was still open when the loan was freed."""
    pool = handle.pool
    if handle.kind != CHECKOUT or pool is None or handle.closed_at is None:
        return False
    return not pool.takes_back and handle.closed_at < pool.closed_at


def _is_harmless(handle: Handle) -> bool:
    """True if no one else is affected: the database was private to the handle, or a notebook's cell was run again."""
    return handle.database.private or of_a_cell(handle)


def _threads_own(freed: list[Handle]) -> set[Handle]:
    """The handles that threads kept for themselves and that were freed after their thread had ended.

    A thread keeps at most one handle of each chain for itself; where there are several, none is in the result.
    """
    by_thread: dict[tuple[object, Owner | None], list[Handle]] = {}
    for handle in freed:
        if handle.how == ORPHANED:
            by_thread.setdefault((handle.kept, thread_of(handle)), []).append(handle)
    return {handles[0] for handles in by_thread.values() if len(handles) == 1}


def owner_gone(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings of handles whose thread or task ended at least `limits.owner_gone` seconds ago, unused since then."""
    owners: set[Owner | None] = set()  # few, where the handles may be many
    for few in snapshot.few():
        owners.update(map(_OWNER, few))
    gone = {owner for owner in owners if owner is not None and owner.ended_at is not None}
    if not gone:
        return
    of_the_gone = [handle for handle in snapshot.open if handle.owner in gone]
    late = [
        handle
        for handle in snapshot.unreturned("owner-gone", of_the_gone)
        if handle.owner is not None
        and handle.owner.ended_at is not None
        and snapshot.now - handle.owner.ended_at >= limits.owner_gone
        and _unused_since(handle, handle.owner.ended_at)
        and not snapshot.stands(handle)
        and not of_a_cell(handle)
        and not is_stock(handle)
        and not is_let_go(handle)
        and not is_brought(handle, snapshot.now - limits.owner_gone)
    ]
    for part in parts_of(late):
        yield Finding.of(
            part,
            "owner-gone",
            ERROR,
            "{verb} {n}; %s ended %.1f s ago",
            _owner(part.handles),
            _gone_for(part.handles, snapshot.now),
            why=(_REFERRED_TO.format("it" if part.count == 1 else "them"),),
            advice=(*how_to_close(part.handles), *_of_a_pool(part.handles)),
        )


def _of_a_pool(group: tuple[Handle, ...]) -> tuple[str, ...]:
    """A sentence for connections that were never used: threads may have filled a pool of the program's own."""
    if len(group) == 1 or any(handle.uses or not handle.seen for handle in group):
        return ()
    return ("If a pool of the program's own keeps them, write `# whoholds: ignore[owner-gone]` on the opening line.",)


def _owner(group: tuple[Handle, ...]) -> str:
    """`owner thread`, the same for one and for several: the finding may be merged with others."""
    kinds = {handle.owner.kind for handle in group if handle.owner is not None}
    return f"owner {kinds.pop()}" if len(kinds) == 1 else "owner"


def _gone_for(group: tuple[Handle, ...], now: float) -> float:
    return max(now - (handle.owner.ended_at or now) for handle in group if handle.owner is not None)


def _unused_since(handle: Handle, ended_at: float) -> bool:
    inner = handle.parent or handle
    if inner.caller or inner.used_at > ended_at:
        return False
    owner = handle.owner
    handed_over = owner is not None and owner.kind != "task" and inner.used_by not in (0, owner.ident)
    return not handed_over


def given_back(snapshot: Snapshot, limits: Limits) -> Iterator[Finding]:
    """Findings (info) of handles that a finding had named and that were closed after all."""
    del limits
    if not snapshot.ended:
        return
    retracted = sum(BITS[rule.name] for rule in RULES.values() if rule.retracted)
    for part in parts_of([handle for handle in snapshot.ended if handle.told & retracted and handle.how == CLOSED]):
        longest = max(handle.held_s(snapshot.now) for handle in part.handles)
        yield Finding.of(part, "given-back", INFO, "{verb} {n}, closed after %.1f s", longest)
