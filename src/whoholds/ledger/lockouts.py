"""Statements that somebody else's lock made fail, and who had a transaction open on that database at that instant.

Everything here runs in the user's thread after such a failure, and at no other time. It is the one place where a hook
reads files: the identity of a sqlite file, and /proc/locks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.ledger import cpython, here
from whoholds.ledger import origin as origins
from whoholds.ledger.callers import awaited
from whoholds.ledger.file_locks import locks_on, same_database
from whoholds.ledger.handle import CHECKOUT, CONNECTION
from whoholds.ledger.opener import opener_of_owner
from whoholds.ledger.origin import capture
from whoholds.ledger.scope import current as current_scope
from whoholds.ledger.transactions import Begun, begun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from whoholds.ledger.file_locks import FileLocks
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.opener import Opener
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

WAITED = "waited"  # the lock did not go in time, or the statement was not to wait
DEADLOCK = "deadlock"  # the server ended one of several transactions that waited for each other
SNAPSHOT = "snapshot"  # sqlite: another connection has written since this transaction began to read
UNREAD = "unread"  # sqlite: a statement of the same connection is not read to its end
IN_A_STATEMENT, IN_TRANSACTION, READING = "in a statement", "idle in transaction", "with rows still to read"
STACKS = 20  # holders whose stacks are read, FRAMES of each
FRAMES = 16
MOST = 100  # lockouts that wait for a look, and lines of which the last lockout is known


class Holding(NamedTuple):
    """A connection, or the loan of one, that may have kept others out."""

    handle: Handle
    begun: Begun | None  # None: no transaction was known to be open, a statement ran or had rows to give
    state: str  # one of the three above
    unread: tuple[Origin, ...]  # of sqlite: the lines of the cursors that still had rows to give
    stack: Origin  # where its owner was


class Lockout:
    """A statement that was locked out at one line, with what was held at its first failure, until it succeeds."""

    __slots__ = (
        "again",
        "at",
        "caller",
        "calls",
        "command",
        "count",
        "elsewhere",
        "error",
        "handle",
        "holdings",
        "kind",
        "last_at",
        "note",
        "opener",
        "origin",
        "over",
        "owner",
        "scope",
        "sql",
        "succeeded",
        "waited",
        "was_begun",
    )

    def __init__(self, kind: str, at: float, handle: Handle, error: str, sql: Any, caller: int) -> None:
        self.kind = kind
        self.at = self.last_at = at  # seconds of the ledger's clock: the first failure, and the last
        self.handle = handle  # whose statement failed
        self.error = error
        self.sql = sql  # of a commit, the last statement before it
        self.again = False  # whether that statement itself is to be run again; if not, it is a commit
        self.calls = handle.calls
        self.caller = caller  # a thread's ident or the id of a task
        self.count = 1  # failures
        self.holdings: tuple[Holding, ...] = ()
        self.elsewhere: FileLocks | None = None  # what other processes hold, where it was asked and can be seen
        self.command: list[str] = []  # of the first of these processes; filled in by the look
        self.waited = 0.0  # seconds that the call took which failed first
        self.was_begun = False  # whether its own transaction had begun before
        self.note = ""
        self.origin: Origin = ()  # who ran the statement, and at which line
        self.owner: Owner | None = None
        self.opener: Opener | None = None
        self.scope: Any = None
        self.succeeded = False  # the same statement was run again, and was not locked out
        self.over = False  # a look has judged it


class Awaiting(list[Any]):
    """The ring of a handle whose statement was locked out: it notices when that statement succeeds.

    It stands in the place of a handle's plain list until then, so that statements of all other handles, and of this
    one before and after, pay nothing for it.
    """

    __slots__ = ("lockout",)

    def __init__(self, ring: Iterable[Any], lockout: Lockout) -> None:
        super().__init__(ring)
        self.lockout = lockout

    def __setitem__(self, place: Any, statement: Any) -> None:
        """A statement has succeeded."""
        lockout = self.lockout
        if lockout.again and statement[0] == lockout.sql and _is_same_work(lockout):
            lockout.succeeded = True
        if lockout.succeeded or lockout.over:
            plain = lockout.handle.ring = list(self)
            plain[place] = statement
        else:
            list.__setitem__(self, place, statement)


def _is_same_work(lockout: Lockout) -> bool:
    """Whether the request, the job or the task that was locked out runs here, and not the next one of its thread."""
    owner = lockout.owner if lockout.handle.asker is not None else here.current_owner()
    theirs = lockout.owner
    mine = owner is theirs or (owner is not None and theirs is not None and owner.whole is theirs.whole)
    return mine and (lockout.scope is None or current_scope(owner) is lockout.scope)


def plain(handle: Handle) -> Lockout | None:
    """Give the handle its plain ring back, for a statement that failed; gives the lockout that it waited for."""
    ring = handle.ring
    if type(ring) is not Awaiting:
        return None
    handle.ring = list(ring)
    return ring.lockout


class Lockouts:
    """The lockouts of one ledger that no look has taken yet."""

    def __init__(
        self,
        clock: Callable[[], float],
        who: Callable[[FrameType | None], tuple[Owner | None, Origin]],
        open_now: Callable[[], list[Handle]],
        ended_since: Callable[[float], list[Handle]],
    ) -> None:
        self._clock, self._who, self._open_now, self._ended_since = clock, who, open_now, ended_since
        self.queue: deque[Lockout] = deque(maxlen=MOST)
        self._latest: dict[tuple[Any, ...], Lockout] = {}  # by line and caller; each change one C call

    def failed(
        self,
        kind: str,
        handle: Handle,
        exc: BaseException,
        sql: Any,
        frame: FrameType | None,
        *,
        caller: int,
        waited: float,
        was_begun: bool,
    ) -> Lockout:
        """A call of `caller` on `handle` has raised `exc`, because somebody holds a lock; `frame` is the caller's.

        `sql` is its statement, `()` for a call without one; `waited` the seconds that it took; `was_begun` says whether
        its transaction was open before.
        """
        now = self._clock()
        by = handle.asker(frame) if handle.asker is not None else None
        owner, origin = by or self._who(frame)
        key = (*_line(origin), caller, handle.database)
        lockout = self._latest.get(key)
        if lockout is not None and not lockout.over and not lockout.succeeded:
            lockout.count += 1
            lockout.last_at = now
            lockout.handle, lockout.calls = handle, handle.calls
        else:
            lockout = Lockout(kind, now, handle, f"{type(exc).__name__}: {exc}".strip(), sql, caller)
            lockout.again = sql != ()
            if not lockout.again:
                lockout.sql = handle.statements[-1][0] if handle.statements else None
            lockout.waited, lockout.was_begun = waited, was_begun
            lockout.owner, lockout.origin = owner, origin
            lockout.opener = here.current_context() or opener_of_owner(owner)
            lockout.scope = current_scope(owner)
            self._examine(lockout, exc)
            if len(self._latest) >= MOST:
                self._latest.clear()
            self._latest[key] = lockout
            self.queue.append(lockout)
        self.await_success(lockout)
        return lockout

    @staticmethod
    def await_success(lockout: Lockout) -> None:
        """From now on the handle's statements are compared with the one that was locked out."""
        lockout.handle.ring = Awaiting(lockout.handle.ring, lockout)

    def clear(self) -> None:
        """Forget all, in a forked child."""
        self.queue.clear()
        self._latest.clear()

    def _examine(self, lockout: Lockout, exc: BaseException) -> None:
        """Note who holds what on that database at this instant."""
        failed = lockout.handle
        open_ = self._open_now()
        if lockout.kind == UNREAD:
            lockout.holdings = tuple(_holdings(lockout, [failed], READING))
            return
        since = lockout.at - lockout.waited
        if lockout.kind == DEADLOCK:  # the others go on at once, and may have ended by now
            open_ += self._ended_since(since)
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
            chosen = self._of_the_file(lockout, begun_there, running, idle)
        else:
            chosen = begun_there or running
        lockout.holdings = tuple(_holdings(lockout, [loans.get(handle, handle) for handle in chosen]))

    @staticmethod
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


def _line(origin: Origin) -> tuple[Any, ...]:
    """The innermost frame of the program's own: its code and offset; the innermost of all where there is none."""
    for place in range(0, len(origin), 2):
        if not origins.kind_of(origin[place].co_filename):  # type: ignore[union-attr]  # code objects at even places
            return origin[place : place + 2]
    return origin[:2]


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
        return awaited(task.get_coro(), FRAMES) if task is not None else ()
    return capture(frames.get(owner.ident), FRAMES)
