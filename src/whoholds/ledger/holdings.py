"""Who had a transaction open on a database at the moment when a statement there failed because of a lock.

Called in the thread whose statement failed. It is the one place where a hook reads files: the identity of a sqlite
file, and /proc/locks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.ledger import cpython
from whoholds.ledger.callers import stack_of_task
from whoholds.ledger.file_locks import locks_on, name_of, same_database
from whoholds.ledger.handle import CHECKOUT, CONNECTION
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
from whoholds.ledger.origin import capture
from whoholds.ledger.transactions import begun

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

STACKS = 20  # holders whose stacks are read, FRAMES of each
FRAMES = 16


def examine(
    lockout: Lockout,
    exc: BaseException,
    open_: list[Handle],
    ended_since: Callable[[float], list[Handle]],
) -> None:
    """Note who holds what on that database at this instant."""
    failed = lockout.handle
    if lockout.kind == UNREAD:
        lockout.holdings = tuple(_holdings(lockout, [failed], READING))
        return
    since = lockout.at - lockout.waited
    if lockout.kind == DEADLOCK:  # the others go on at once, and may have ended by now
        open_ = list(dict.fromkeys(open_ + ended_since(since)))  # one may end between the two questions
    loans = {handle.parent: handle for handle in open_ if handle.kind == CHECKOUT and handle.parent is not None}
    databases = {handle.database for handle in open_}
    same = {database for database in databases if same_database(database, failed.database)}
    there = [
        handle for handle in open_ if handle.kind == CONNECTION and handle is not failed and handle.database in same
    ]
    begun_there = [handle for handle in there if handle.in_transaction]
    running = [handle for handle in there if handle.caller > 0 and not handle.in_transaction]
    if lockout.kind == DEADLOCK:
        begun_there = [handle for handle in there if handle.caller > 0 or handle.used_at >= since]
        chosen = _named_by_the_server(there, exc) or begun_there
    elif failed.database.system == "sqlite":
        idle = [handle for handle in there if not handle.in_transaction and handle.caller == 0]
        chosen = _of_the_file(lockout, begun_there, running, idle)
    else:
        chosen = begun_there or running
    lockout.holdings = tuple(_holdings(lockout, [loans.get(handle, handle) for handle in chosen]))


def _of_the_file(
    lockout: Lockout, begun_there: list[Handle], running: list[Handle], idle: list[Handle]
) -> list[Handle]:
    """Which connections to a sqlite file kept others out: those in a transaction, unless another process writes."""
    database = lockout.handle.database
    on_disk = not database.private and "?" not in database.name
    seen = lockout.elsewhere = locks_on(database.name) if on_disk else None
    known = {handle: begun(handle) for handle in begun_there}
    writing = any(transaction.wrote for transaction in known.values())
    if seen is not None and seen.writers and not seen.own:
        lockout.command = [name_of(seen.writers[0])]  # it may end before the next look
        return []
    if seen is not None and seen.own and not writing and lockout.again:  # a commit that failed writes itself
        return running  # in its first statement; or nobody, and a connection that is not watched writes
    if seen is not None and seen.wal and not writing:  # there readers are in nobody's way
        return []
    if not writing:
        begun_there = [handle for handle, transaction in known.items() if transaction.has_locks]
    if lockout.kind == SNAPSHOT:
        return begun_there if writing else []
    reading = [] if writing else [handle for handle in idle if _unread(handle)]
    return begun_there + reading or ([] if seen is not None else running)


def _unread(handle: Handle) -> tuple[Origin, ...]:
    return tuple(handle.probe(handle)) if handle.probe is not None else ()


def _named_by_the_server(handles: list[Handle], exc: BaseException) -> list[Handle]:
    """Those whose server process PostgreSQL names in the detail of a deadlock."""
    detail = getattr(exc, "detail", None) or getattr(getattr(exc, "diag", None), "message_detail", None)
    if detail is None and exc.args and type(exc.args[0]) is dict:
        detail = exc.args[0].get("D")
    if type(detail) is not str:
        return []
    words = detail.replace(";", " ").replace(".", " ").split()
    pids = {word for before, word in zip(words, words[1:]) if before.lower() == "process"}  # noqa: B905, RUF007 - pairs
    return [handle for handle in handles if str(handle.backend_pid) in pids]


def _holdings(lockout: Lockout, handles: list[Handle], state: str = "") -> list[Holding]:
    """What each of the handles holds: those that wrote first, and then the oldest."""
    holdings = []
    for handle in handles:
        inner = handle.parent or handle
        # in a deadlock each waited in a statement, although it may have gone on since
        doing = IN_A_STATEMENT if lockout.kind == DEADLOCK else state or _state(inner)
        unread = _unread(inner) if doing == READING else ()
        transaction = begun(handle) if inner.in_transaction or lockout.kind == DEADLOCK else None
        holdings.append(Holding(handle, transaction, doing, unread, ()))
    holdings.sort(key=_writer_first)
    frames = cpython.current_frames() if cpython.has_gil() else {}
    try:
        return [
            holding._replace(stack=_stack(holding.handle.owner, lockout, frames)) if place < STACKS else holding
            for place, holding in enumerate(holdings)
        ]
    finally:
        frames.clear()


def _state(inner: Handle) -> str:
    return IN_A_STATEMENT if inner.caller > 0 else IN_TRANSACTION if inner.in_transaction else READING


def _writer_first(holding: Holding) -> tuple[bool, int]:
    return holding.begun is None or not holding.begun.wrote, holding.handle.opened_stamp


def _stack(owner: Owner | None, lockout: Lockout, frames: dict[int, FrameType]) -> Origin:
    """Where the owner is: the innermost frames of a thread or of a suspended task; () where that cannot be seen."""
    if owner is None or owner.kind == "greenlet":
        return ()
    if owner is lockout.owner:
        return lockout.origin
    if owner.gone():
        return ()
    if owner.kind == "task":
        task = owner.ref() if owner.ref is not None else None
        return stack_of_task(task, FRAMES) if task is not None else ()
    return capture(frames.get(owner.ident), FRAMES)
