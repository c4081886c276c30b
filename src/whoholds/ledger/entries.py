"""What a look takes out of the ledger: refusals, sharings, and the entries since the look before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle, Pool, Request
    from whoholds.ledger.lockout import Lockout
    from whoholds.ledger.opener import Opener
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner


THREAD_ENDED = "thread ended"  # freed because the thread that kept it for itself ended
ORPHANED = "collected after its thread"  # freed by the collector when the thread that had opened it was gone


class Refusal:
    """A server or a pool that would give no more, and what was open at that instant."""

    __slots__ = (
        "at",
        "by_pool",
        "count",
        "database",
        "error",
        "note",
        "open",
        "opener",
        "origin",
        "owner",
        "requests",
        "stamp",
    )

    def __init__(self, at: float, database: Database, error: str, held: list[Handle]) -> None:
        self.at = at
        self.database = database
        self.error = error  # "OperationalError: …", as the program got it
        self.open = held
        self.count = 1  # requests refused in this burst
        self.by_pool: Pool | None = None
        self.note = ""
        self.owner: Owner | None = None
        self.opener: Opener | None = None  # the trace of the request that was refused
        self.origin: Origin = ()
        self.stamp = 0
        self.requests: list[Request] = []  # those that were refused, the first `ASKED` of a burst


ASKED = 100  # refused requests of one burst that are remembered
PARENT = -1  # the caller inside a handle that a fork brought along: the first use meets it


class Sharing(NamedTuple):
    """Several callers inside calls on one connection at once: all of them, and the first two's stacks."""

    callers: set[int]
    inside: Origin
    came_in: Origin
    owner: Owner | None  # of the one who came in
    inside_name: str = ""  # of the thread or task that was inside


class Entries(NamedTuple):
    """What `Ledger.take` gives the tick."""

    now: float
    stamp: int
    open: list[Handle]
    ended: list[Handle]
    refusals: list[Refusal]
    shared: list[Handle]
    inherited: list[tuple[Handle, Owner | None, Origin]]
    pools: list[Pool]
    dropped: int
    scopes: tuple[tuple[Any, int], ...] = ()  # scopes that are over, each with the stamp of its end
    requests: tuple[Request, ...] = ()  # that wait now for a pool's connection
    lockouts: tuple[Lockout, ...] = ()  # statements that a lock made fail
