"""Statements that failed because of a lock, as the ledger keeps them until a look takes them.

Everything here runs in the user's thread after such a failure, or after a statement that succeeds when it is run again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from whoholds.ledger import here
from whoholds.ledger import origin as origins
from whoholds.ledger.holdings import examine
from whoholds.ledger.lockout import Lockout
from whoholds.ledger.opener import opener_of_owner
from whoholds.ledger.scope import current as current_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

MOST = 100  # lockouts that wait for a look, and lines of which the last lockout is known


class Awaiting(list[Any]):
    """The ring of a handle whose statement was locked out: it notices when that statement succeeds.

    It stands in the place of a handle's plain list until then, so that statements of all other handles, and of this
    one before and after, pay nothing for it.
    """

    __slots__ = ("handle", "lockout")

    def __init__(self, ring: Iterable[Any], handle: Handle, lockout: Lockout) -> None:
        super().__init__(ring)
        self.handle = handle  # not always the lockout's, which is the last on which it was tried
        self.lockout = lockout

    def __setitem__(self, place: Any, statement: Any) -> None:
        """A statement has succeeded."""
        lockout = self.lockout
        if lockout.again and statement[0] == lockout.sql and _is_same_work(lockout):
            lockout.succeeded = True
        if lockout.succeeded or lockout.over:
            plain = self.handle.ring = list(self)
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
        # asks what was open before the watch, and whose calls nobody sees, for its state now; set by adoption
        self.ask_adopted: Callable[[], None] = _nothing

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
        commits: bool = False,
    ) -> Lockout:
        """A call of `caller` on `handle` has raised `exc`, because somebody holds a lock; `frame` is the caller's.

        `sql` is its statement, `()` for a call without one; `waited` the seconds that it took; `was_begun` says whether
        its transaction was open before, and `commits` that the call is a commit.
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
            lockout.waited, lockout.was_begun, lockout.commits = waited, was_begun, commits
            lockout.owner, lockout.origin = owner, origin
            lockout.opener = here.current_context() or opener_of_owner(owner)
            lockout.scope = current_scope(owner)
            self.ask_adopted()
            examine(lockout, exc, self._open_now(), self._ended_since)
            if len(self._latest) >= MOST:
                self._latest.clear()
            self._latest[key] = lockout
            self.queue.append(lockout)
        self.await_success(handle, lockout)
        return lockout

    @staticmethod
    def await_success(handle: Handle, lockout: Lockout) -> None:
        """From now on the handle's statements are compared with the one that was locked out."""
        handle.ring = Awaiting(handle.ring, handle, lockout)

    def clear(self) -> None:
        """Forget all, in a forked child."""
        self.queue.clear()
        self._latest.clear()
        self.ask_adopted = _nothing


def _nothing() -> None:
    return None


def _line(origin: Origin) -> tuple[Any, ...]:
    """The innermost frame of the program's own: its code and offset; the innermost of all where there is none."""
    for place in range(0, len(origin), 2):
        if not origins.kind_at(origin, place):
            return origin[place : place + 2]
    return origin[:2]
