"""From the ledger's entries to a snapshot: handles get their lines here, once a tick."""

from __future__ import annotations

import sys
from operator import attrgetter
from typing import TYPE_CHECKING

from whoholds.analysis.asking import Wait
from whoholds.analysis.blame import is_ours, is_users, kind_of
from whoholds.analysis.bringing import give_to_the_waiting, place_requests, with_its_start
from whoholds.analysis.pauses import NONE as NO_PAUSES
from whoholds.analysis.snapshot import Ending, Snapshot
from whoholds.ledger import cpython, faults
from whoholds.ledger.handle import CHECKOUT, CONNECTION, CURSOR, Handle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.analysis.history import History
    from whoholds.analysis.pauses import Pauses
    from whoholds.analysis.sites import Site
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Pool
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner, Spawn
    from whoholds.ledger.scope import Scope


_WAITS_IN_A_TASK = sys.version_info < (3, 12)  # `wait_for`
_owner = attrgetter("owner")
_AWAITED = ("task", "job")  # kinds of owners whose results somebody waits for
SUSPENDED_S = 10.0  # a tick that comes later than this: the machine slept


def snapshot_of(
    taken: Entries,
    history: History,
    wall: float,
    *,
    every: float = 1.0,
    ending: Ending | None = None,
    pauses: Pauses = NO_PAUSES,
) -> Snapshot:
    """The snapshot of what the ledger gave, with `history` brought up to date. Once per tick.

    `every` is the time in seconds that was to lie between the look before and this one.
    """
    if ending is not None and ending.kind == "process":
        history.standing.end(taken.now)
    history.standing.every = every
    _forgive_sleep(taken, history, every)
    new = [handle for handle in taken.ended if handle.site is None]
    for few in pauses.between(taken.open):
        new += [handle for handle in few if handle.site is None]
    for few in pauses.between(new):
        _place(few, history)
    history.connections += [handle.kind for handle in new].count(CONNECTION)
    place_requests(taken)
    for pool in taken.pools:
        _place_pool(pool, history)
    for request in taken.requests:
        spawn = request.owner.spawn if request.owner is not None else None
        if spawn is not None and spawn.site is None:
            _place_spawn(spawn, history)
    _note_the_gone(taken, pauses)
    for few in pauses.between(taken.open):
        _note_changes(few, taken.now, history)
    nestings = history.update(taken, new, pauses)
    return Snapshot(
        taken.now,
        wall,
        taken.open,
        taken.ended,
        new,
        taken.refusals,
        taken.shared,
        taken.inherited,
        taken.pools,
        history,
        ending,
        nestings=nestings,
        scopes=taken.scopes,
        requests=Wait.of(taken.requests),
        lockouts=history.retries.take(
            taken, _over(taken, ending), at_end=ending is not None and ending.kind != "scope"
        ),
        pauses=pauses,
    )


def _over(taken: Entries, ending: Ending | None) -> set[Scope]:
    """The scopes that have ended since the look before, or end with this one."""
    over = {scope for scope, _ in taken.scopes}
    return over if ending is None or ending.scope is None else {*over, ending.scope}


def _note_the_gone(taken: Entries, pauses: Pauses) -> None:
    """Each owner that a look meets is asked once if it has ended; a job's worker and who began a task or job, too."""
    owners = set(map(_owner, taken.ended))
    for few in pauses.between(taken.open):
        owners.update(map(_owner, few))
    owners.update([owner.thread for owner in owners if owner is not None])
    owners.update([owner.spawn.by for owner in owners if owner is not None and owner.kind in _AWAITED and owner.spawn])
    for owner in owners:
        if owner is not None and owner.ended_at is None and owner.gone():
            owner.ended_at = taken.now


def _forgive_sleep(taken: Entries, history: History, every: float) -> None:
    """The time in which the machine was suspended counts neither as held nor as idle, nor as waiting."""
    lost = 0.0 if history.last_at is None else taken.now - history.last_at - every
    if lost > SUSPENDED_S:
        for handle in taken.open:
            if handle.opened_at <= taken.now - lost:
                handle.lost_s += lost
                handle.used_at = min(handle.used_at + lost, taken.now)
        for request in taken.requests:
            if request.began <= taken.now - lost:
                request.began += lost


def _note_changes(handles: Sequence[Handle], now: float, history: History) -> None:
    """Note who uses each open handle, which of them are at home no more, and which statements are not read to the end.

    Written out, because most looks do little else: each open handle passes here at each of them.
    """
    for handle in handles:
        if handle.at_home and handle.home_at:
            _note_taken_up(handle)
        user = handle.used_by
        if user:
            owner = handle.owner
            if user != handle.user or (owner is not None and user != owner.ident):
                _note_user(handle, owner)
        if handle.probe is None:
            if handle.ring and handle.probed != handle.calls:
                _note_listening(handle)
        elif handle.unread or handle.kind == CURSOR or handle.probed != handle.calls:
            try:
                if handle.kind == CURSOR:
                    _note_reading(handle, now)
                else:
                    _look_for_unread(handle, now, history)
            except Exception as error:  # noqa: BLE001 - as above
                faults.note(error, "whoholds.look")


def _note_taken_up(handle: Handle) -> None:
    """A handle in a home of a thread's own is at home no more where the thread took it up again, or ended."""
    owner = handle.owner
    if handle.used_at > handle.home_at or (owner is not None and owner.ended_at is not None):
        handle.at_home = False


def _note_user(handle: Handle, owner: Owner | None) -> None:
    """Somebody else uses it than at the last look, or a thread that did not open it used it and is gone."""
    kept, user = handle.kept, handle.used_by
    if kept is not None and not kept.in_turn:
        handed_back = owner is not None and owner.kind in ("thread", "job") and user != owner.ident
        kept.in_turn = handle.user not in (0, user) or (handed_back and cpython.thread_of(user) is None)
    handle.user = user


def _note_listening(handle: Handle) -> None:
    """Whether it waits for notifications from now on: LISTEN, or UNLISTEN, is among the last statements on it."""
    handle.probed = handle.calls
    for sql, began, _ in handle.statements:
        word = sql[:8].lower() if sql else ""
        if word[:6] in ("listen", b"listen"):
            handle.listens_since = began
        elif word in ("unlisten", b"unlisten"):
            handle.listens_since = None


def _note_reading(handle: Handle, now: float) -> None:
    """A server-side cursor whose rows were read since the last look was used until now.

    A cursor that ended with its transaction or its connection holds nothing more, unless it is run again and read.
    """
    was = handle.probed
    handle.probed, may_hold = handle.probe(handle)
    if handle.probed != was:
        handle.used_at = now
        handle.server_side = may_hold
    elif not may_hold:
        handle.server_side = False


def _look_for_unread(handle: Handle, now: float, history: History) -> None:
    """Which statements on it are not read to their ends; where one was read since, it was used until now."""
    was, handle.probed = handle.unread, handle.calls
    origins = handle.probe(handle) if handle.caller == 0 else ()
    handle.unread = tuple(_cursor_line(handle, origin, history) for origin in origins)
    if was and len(handle.unread) < len(was):
        handle.used_at = now


def _cursor_line(handle: Handle, origin: Origin, history: History) -> Site | None:
    """The program's line that made a cursor; the one that opened its connection where that is not known."""
    made = history.sites.of(origin) if origin else None
    ours = made is not None and not kind_of(made.frame.file)
    return made if ours or handle.site is None else handle.site


def _place(handles: Sequence[Handle], history: History) -> None:  # noqa: C901 - one sequence: each new handle passes
    """Give each of the new handles its line, and its owner the line that started it."""
    latest: Origin = ()  # of many open handles those of a loop have one stack
    latest_owner: Owner | None = None
    shared: Origin = ()
    index = caller = 0
    unknown = False
    for handle in handles:
        try:
            origin, owner = handle.origin, handle.owner
            if not origin:
                if handle.referrer is not None:
                    handle.site = history.sites.referred(handle.referrer)
                _place_start(owner, history)
                continue
            if origin is not latest or owner is not latest_owner:
                spawn, whole = owner and owner.spawn, origin
                if spawn is not None and (spawn.site is None or owner.kind == "task"):  # type: ignore[union-attr]
                    whole, owner = _continued(handle, history)
                # `_stands_for` of `sites`, written out: loans that came and went are many, and mostly of one line
                if whole != shared or whole[index] is not shared[index] or whole[caller] is not shared[caller]:
                    shared, site, index, caller = history.sites.shared(whole)
                if not is_users(site.file):
                    shared, site, index, caller = history.sites.shared(with_its_start(shared, owner))
                latest, latest_owner = origin, owner
                unknown = not site.tells and is_ours(site.file)  # C code alone has called us
            if unknown:
                handle.origin = ()
                continue
            handle.origin, handle.site = shared, site
            kind = handle.kind
            if kind == CHECKOUT or (kind == CONNECTION and handle.pool is None):  # a pool's own stock is nobody's
                site.opened += 1
                site.borrows = kind == CHECKOUT
        except Exception as error:  # noqa: BLE001 - one line that cannot be told must not hide the other handles
            faults.note(error, "whoholds.look")
            handle.origin = ()


def _continued(handle: Handle, history: History) -> tuple[Origin, Owner | None]:
    """The stack of a handle whose owner somebody started, with its start where that tells more, and the owner."""
    if _WAITS_IN_A_TASK and handle.owner is not None and handle.owner.kind == "task":
        give_to_the_waiting(handle)
    _place_start(handle.owner, history)
    return with_its_start(handle.origin, handle.owner), handle.owner


def _place_start(owner: Owner | None, history: History) -> None:
    if owner is not None and owner.spawn is not None and owner.spawn.site is None:
        _place_spawn(owner.spawn, history)


def _place_pool(pool: Pool, history: History) -> None:
    if pool.site is None and pool.origin:
        pool.site = history.sites.of(pool.origin)
    elif pool.site is None and pool.referrer is not None:
        pool.site = history.sites.referred(pool.referrer)


def _place_spawn(spawn: Spawn, history: History) -> None:
    """The line that started the owner; where only a library's frames are on the stack, the line that started theirs."""
    by = spawn.by.spawn if spawn.by else None
    if by is not None and by.site is None:
        _place_spawn(by, history)
    if not spawn.origin:
        return
    spawn.origin, site, *_ = history.sites.shared(spawn.origin)
    above = by.site if by is not None else None
    if above is not None and kind_of(site.frame.file) and not kind_of(above.frame.file):
        site = above
    if site.tells:
        spawn.site = site
