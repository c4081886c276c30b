"""Handle, one thing opened that must be given back, and Pool. Filled in by the user's threads.

Nothing here locks, logs, compares the user's objects or keeps one alive.
"""

from __future__ import annotations

from whoholds.ledger.cpython import only_in

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any
    from weakref import ref

    from whoholds.ledger.database import Database
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner
    from whoholds.ledger.referrer import Referrer


CONNECTION = "connection"
CHECKOUT = "checkout"
CURSOR = "cursor"
CLOSED = "closed"  # close was called, or the loan was given back
RING = 5  # statements remembered of each connection
COLLECTED = "collected"  # freed by the cyclic collector, nobody had closed it
FREED = "freed"  # freed when its last reference went, nobody had closed it
UNSEEN = -1  # the caller of a loan whose connection nobody watches: whether it is used cannot be seen
OVER = "over"  # its connection or pool went first, and it with that


class Pool:
    """A library's pool: it owns its connections, and what its borrowers hold is judged instead."""

    __slots__ = (
        "__weakref__",
        "closed",
        "closed_at",
        "idle_max",
        "idle_min",
        "key",
        "lost",
        "max",
        "name",
        "named",
        "origin",
        "ref",
        "referrer",
        "site",
        "spare",
        "system",
        "takes_back",
        "timeouts",
        "waiting",
    )

    def __init__(self, key: int, name: str, origin: Origin, maximum: int | None, system: str = "") -> None:
        self.key = key  # its stamp, from the ledger
        self.name = name
        self.named = False  # whether the program has given it that name, which is else the name of its class
        self.origin = origin  # the line that made it
        self.max = maximum  # connections it may have, None: as many as are asked for
        self.idle_min: int | None = None
        self.idle_max: int | None = None
        self.system = system
        self.waiting: set[Request] = set()  # the requests that wait now; each change one C call
        self.timeouts = 0  # requests that ran out of patience
        self.closed = False
        self.closed_at = float("inf")  # seconds of the ledger's clock
        self.takes_back = True  # whether it gets a loan back that the borrower dropped without giving it back
        self.lost: list[Handle] = []  # loans that it never got back, and with each a place; filled in by the look
        self.ref: Any = None  # a weak reference to the library's pool, where its type allows
        self.spare: Any = None  # takes a connection out of the library's pool for a question: see `Lender.spare`
        self.site: Any = None
        self.referrer: Referrer | None = None  # of a pool that was there before the watch: who refers to it

    @property
    def pending(self) -> int:
        """How many requests wait for a connection now."""
        return len(self.requests)

    @property
    def requests(self) -> list[Request]:
        """Those requests, in no order. Whose request was interrupted waits no longer: nobody else has it then."""
        self.waiting.difference_update(only_in(self.waiting))
        return list(self.waiting)


class Request:
    """Somebody asks for a connection: who, at which line, since when. Filled in by the thread that asks.

    It waits from its making until `answered`, or until nobody has it any more. Who asks a pool that is watched has a
    Handle from the beginning, which becomes the loan: owner, line and time are asked for once.
    """

    __slots__ = ("began", "looked_at", "origin", "owner", "pool", "told")

    def __init__(self, pool: Pool | None, owner: Owner | None, origin: Origin, began: float) -> None:
        self.pool = pool  # None: a server is asked
        self.owner = owner
        self.origin = origin
        self.began = began  # seconds of the ledger's clock
        self.looked_at = False  # by a look, which has then asked what its owner held
        self.told = 0  # bits of the rules that a finding has named it for
        if pool is not None:
            pool.waiting.add(self)

    def answered(self) -> None:
        """It has its connection, or an exception."""
        if self.pool is not None:
            self.pool.waiting.discard(self)


class Handle(Request):
    """One thing opened that must be given back. The only value in whoholds that changes.

    Of a pool's loan it is made when the borrower asks; until the pool gives it is in no ledger, and has no stamp.

    Times are seconds of the ledger's clock (monotonic); stamps come from one counter, which orders openings and
    closings exactly where the clock would not. Written by the user's threads, each change one C call; read by the
    thread that ticks.
    """

    __slots__ = (
        "asker",
        "at_home",
        "backend_pid",
        "caller",
        "calls",
        "calls_after",
        "calls_s",
        "calls_s_after",
        "closed_at",
        "closed_stamp",
        "connect_s",
        "context",
        "database",
        "driver",
        "home_at",
        "how",
        "in_transaction",
        "inherited",
        "kept",
        "kind",
        "ledger",
        "listens_since",
        "loan",
        "lost_s",
        "made",
        "opened_at",
        "opened_stamp",
        "parent",
        "probe",
        "probed",
        "ref",
        "referrer",
        "ring",
        "scope",
        "server_side",
        "shared",
        "site",
        "unread",
        "used_at",
        "used_by",
        "user",
    )

    def __init__(self, kind: str, driver: str, where: Database, owner: Owner | None, origin: Origin) -> None:
        self.kind = kind
        self.driver = driver
        self.database = where
        self.owner = owner
        self.origin = origin
        self.ledger: Any = None  # where it was told of
        self.opened_at = self.used_at = 0.0
        self.began = 0.0  # when a pool was asked for it
        self.looked_at = False
        self.opened_stamp = 0
        self.closed_at: float | None = None
        self.closed_stamp: int | None = None
        self.how = ""  # how it ended: one of the constants above
        self.connect_s: float | None = None  # how long opening took
        self.calls = 0  # that have ended; of a loan those that its connection had seen before it was lent
        self.calls_s = 0.0  # seconds inside them
        self.calls_after: int | None = None  # the same when the borrower's uses had ended
        self.calls_s_after = 0.0
        self.caller = 0  # who is inside a call now: a thread ident or the id of a task; 0: nobody
        self.used_by: int = 0  # the last caller
        self.in_transaction: bool | None = False  # of sqlite None right after a rollback
        self.server_side = False  # a cursor that holds something on the server or a lock
        self.at_home = False  # a pool has it, or a thread keeps it for its next request
        self.home_at = 0.0  # when a thread put it aside: used after that, it is at home no more
        self.inherited = False  # opened before a fork, by the parent
        self.pool: Pool | None = None
        self.parent: Handle | None = None  # of a loan the connection that was lent: see `lent`
        self.loan: Handle | None = None  # of a pool's connection the last loan
        self.backend_pid: int | None = None
        self.made: Origin = ()  # of a loan that a session borrowed: where the session was made
        self.ref: ref[Any] | None = None
        self.referrer: Referrer | None = None  # of what was open before the watch: who refers to it; it has no origin
        self.context: Any = None  # what tracing.current() gave at the opening, or None
        self.scope: Any = None  # the scope it was opened in, or None
        self.ring: Any = ()  # once there are any, a list of the last: (sql, started_at, seconds) at calls % RING
        self.probe: Any = None  # for sqlite3: tells which statements are not read to their ends; of a cursor: its row
        self.asker: Any = None  # for aiosqlite: tells who awaits the call that runs now, and at which line
        self.probed = -1  # `calls` when the tick last asked
        self.unread: Any = ()  # what it told: for each the line that made its cursor, where known
        self.shared: Any = None  # a ledger.Sharing, once two were inside calls at once
        self.site: Any = None  # filled in on the tick
        self.user = 0  # likewise: the last caller that a look saw
        self.kept: Any = None  # likewise: what its chain of lines opened to its database, counted
        self.listens_since: float | None = None  # likewise: when it began to LISTEN, unless it ended that since
        self.told = 0  # bits of the rules that a finding has named it for
        self.lost_s = 0.0  # seconds in which the machine slept: nobody held anything then

    @property
    def open(self) -> bool:
        """Whether nobody has closed it and it is not freed."""
        return self.closed_stamp is None

    @property
    def must_be_returned(self) -> bool:
        """Whether somebody has to close it or give it back: not a pool's own connection, not a cursor."""
        return self.kind == CHECKOUT or (self.kind == CONNECTION and self.pool is None)

    def held_s(self, now: float) -> float:
        """Seconds from opening to closing, or to `now`."""
        return max((now if self.closed_at is None else self.closed_at) - self.opened_at - self.lost_s, 0.0)

    def lent(self, connection: Handle) -> None:
        """It is a loan of `connection` from now on: what is called on that until `settle` are the loan's own uses."""
        self.calls, self.calls_s = connection.calls, connection.calls_s
        self.calls_after = None
        self.parent = connection

    def settle(self) -> None:
        """End the borrower's uses: later calls on the connection are the pool's, or those of the next borrower.

        A second call changes nothing. Called when the loan is given back, before the pool resets the connection.
        """
        connection = self.parent
        if connection is not None and self.calls_after is None:
            if connection.used_at > self.used_at:  # noqa: PLR1730 - `max` is a call, and each loan passes here
                self.used_at = connection.used_at
            self.calls_s_after = connection.calls_s
            self.calls_after = connection.calls

    def leave_out(self, uses: int, busy_s: float) -> None:
        """Leave out the library's own calls: those since the loan had so many uses, and so many seconds in them."""
        connection = self.parent
        if connection is not None and self.calls_after is None:
            self.calls = connection.calls - uses
            self.calls_s = connection.calls_s - busy_s

    @property
    def uses(self) -> int:
        """Calls on it that have ended; of a loan those on its connection while it was lent."""
        connection = self.parent
        if connection is None:
            return self.calls
        after = self.calls_after
        return (connection.calls if after is None else after) - self.calls

    @uses.setter
    def uses(self, calls: int) -> None:
        self.calls = calls

    @property
    def busy_s(self) -> float:
        """Seconds inside those calls."""
        connection = self.parent
        if connection is None:
            return self.calls_s
        after = connection.calls_s if self.calls_after is None else self.calls_s_after
        return max(after - self.calls_s, 0.0)

    @busy_s.setter
    def busy_s(self, seconds: float) -> None:
        self.calls_s = seconds

    @property
    def running(self) -> bool:
        """Whether a call is under way on it, or on the connection that it is a loan of."""
        return self.closed_stamp is None and (self.parent or self).caller > 0

    @property
    def seen(self) -> bool:
        """Whether its uses can be seen.

        Not those of a loan whose connection nobody watches, nor those before the watch of what was open already.
        """
        inner = self.parent or self
        return (self.kind != CHECKOUT or self.parent is not None) and (inner.referrer is None or inner.calls > 0)

    def idle_s(self, now: float) -> float:
        """Seconds since its last use ended, until `now` or its end; 0 while a call runs on it or may run."""
        if self.closed_stamp is None and (self.parent or self).caller:
            return 0.0
        used, connection = self.used_at, self.parent
        if connection is not None and self.calls_after is None:
            used = max(used, connection.used_at)
        return max((now if self.closed_at is None else self.closed_at) - used, 0.0)

    @property
    def statements(self) -> list[tuple[Any, float, float]]:
        """The last few (sql or None, started at, seconds), oldest first; of a loan those run while it was lent."""
        connection = self.parent
        if connection is None:
            return sorted(filter(None, self.ring), key=_second)
        until = self.closed_at
        return [
            one
            for one in connection.statements
            if one[1] >= self.opened_at and (until is None or one[1] + one[2] <= until)
        ]

    def __repr__(self) -> str:
        state = "open" if self.open else self.how
        return f"<{state} {self.kind} {self.opened_stamp} to {self.database}>"


class Loan(Handle):
    """A pool's loan, made when its borrower asks. What a connection alone has, it has in common with all other loans.

    `Ledger.asks` fills in what a look may read of a request, `Ledger.lent` the rest, and `Loan()` nothing: a program
    borrows with each request.
    """

    __slots__ = ()
    __init__ = object.__init__
    kind = CHECKOUT
    in_transaction = False
    server_side = False
    home_at = 0.0
    used_by = 0
    loan = None
    ring = ()
    probe = None
    probed = -1
    listens_since = None
    unread = ()
    asker = None
    shared = None


def _second(statement: tuple[Any, float, float]) -> float:
    return statement[1]
