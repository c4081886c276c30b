"""Lockout, a statement that failed because of a lock, and Holding, what may have been in its way: values.

Filled in by the thread whose statement failed, and read by the look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from whoholds.ledger.file_locks import FileLocks
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.opener import Opener
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner
    from whoholds.ledger.transactions import Begun

WAITED = "waited"  # the lock did not go in time, or the statement was not to wait
DEADLOCK = "deadlock"  # the server ended one of several transactions that waited for each other
SNAPSHOT = "snapshot"  # sqlite: another connection has written since this transaction began to read
UNREAD = "unread"  # sqlite: a statement of the same connection is not read to its end
IN_A_STATEMENT, IN_TRANSACTION, READING = "in a statement", "idle in transaction", "with rows still to read"


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
        "commits",
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
        self.sql = sql  # of a call without a statement, such as a commit, the last statement before it
        self.again = False  # whether that statement itself is to be run again
        self.commits = False  # whether the call was a commit
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

    @property
    def by_another_process(self) -> bool:
        """Whether another process certainly has the lock: the system says so, which it can for a sqlite file alone.

        Elsewhere this process may have it, too, by a connection that nobody watches: one that was opened before the
        watch, or by a library without a driver.
        """
        seen = self.elsewhere
        if seen is None or (seen.own and self.again):  # a commit that failed has a lock of its own
            return False
        return bool(seen.writers or seen.readers)

    @property
    def by_this_process(self) -> bool:
        """Likewise, whether this process certainly has it; without holdings, by a connection that is not watched."""
        seen = self.elsewhere
        if seen is None or self.by_another_process:
            return False
        return seen.own or (seen.own_reads and not self.was_begun)  # a transaction that had begun may read itself
