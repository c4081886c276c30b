"""What was opened, by whom and where: Database, Owner, Handle and Pool, filled in by the user's threads.

Nothing here locks, logs, compares the user's objects or keeps one alive.
"""

from __future__ import annotations

import sys
from _functools import partial  # type: ignore[import-not-found]  # functools brings half of the standard library
from _weakref import ref

from whoholds.ledger.origin import from_lines, line_at

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from whoholds.analysis.lines import Site
    from whoholds.ledger.ledger import Ledger
    from whoholds.ledger.origin import Origin

CONNECTION = "connection"
CHECKOUT = "checkout"
CURSOR = "cursor"

CLOSED = "closed"  # close was called, or the loan was given back
RING = 5  # statements remembered of each connection
COLLECTED = "collected"  # freed by the cyclic collector, nobody had closed it
FREED = "freed"  # freed when its last reference went, nobody had closed it
UNSEEN = -1  # the caller of a loan whose connection nobody watches: whether it is used cannot be seen
OVER = "over"  # its connection or pool went first, and it with that


class Database:
    """One database as the client names it; never a password. `private` tells apart those that only one can see."""

    __slots__ = ("__weakref__", "host", "name", "port", "private", "system", "text", "user")

    def __init__(
        self,
        system: str,
        user: str = "",
        host: str = "",
        port: int | None = None,
        name: str = "",
        *,
        private: bool = False,
    ) -> None:
        self.system = system
        self.user = user
        self.host = host
        self.port = port
        self.name = name
        self.private = private
        at = f"{user}@{host}" if user else host
        where = f"{at}:{port}" if port else at
        self.text = f"{system}://{where}/{name}"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Database({self.text!r})"

    @property
    def server(self) -> str:
        """The server alone, `system://host:port`: what has a limit of its own. A file is its own server."""
        if not self.host:
            return self.text
        return f"{self.system}://{self.host}:{self.port}" if self.port else f"{self.system}://{self.host}"


_databases: dict[tuple[Any, ...], ref[Database]] = {}  # one C call per change; each goes with its last handle


def database(system: str, user: str = "", host: str = "", port: int | None = None, name: str = "") -> Database:
    """The one Database with these values while anybody has it, so that handles are grouped by identity."""
    key = (system, user, host, port, name)
    known = _databases.get(key)
    found = known() if known is not None else None
    if found is None:
        found = Database(system, user, host, port, name)
        # pop(key, reference): called with the reference for its default
        first = _databases.setdefault(key, ref(found, partial(_databases.pop, key)))()
        found = first if first is not None else found
    return found


class Spawn:
    """The call that started an owner: where, whose, and the trace that was current there."""

    __slots__ = ("by", "context", "origin", "scope", "site", "width")

    def __init__(self, origin: Origin, by: Owner | None, context: Any = None, scope: Any = None) -> None:
        self.origin = origin
        self.by = by  # the owner that made the call; ancestry is cut at Owner.MAX_DEPTH
        self.context = context  # what tracing.current() gave, or None
        self.scope = scope  # the scope that the call was made in, or None
        self.width: int | None = None  # of an executor: how many workers it may have
        self.site: Site | None = None  # filled in on the tick

    def __reduce__(self) -> tuple[Any, ...]:
        """As lines of text: a Process that is spawned is pickled, and with it the call that started it."""
        pairs = zip(self.origin[::2], self.origin[1::2], strict=True)
        return _spawned, ([(code.co_filename, line_at(code, at), code.co_name) for code, at in pairs],)  # type: ignore[union-attr,arg-type]


def _spawned(lines: list[tuple[str, int, str]]) -> Spawn:
    return Spawn(from_lines(lines), None)


class Owner:
    """The thread, and the task, greenlet or executor job in it, that opened a handle. Held weakly."""

    __slots__ = (
        "__weakref__",
        "depth",
        "ended_at",
        "ident",
        "is_worker",
        "job_over_at",
        "kind",
        "name",
        "ref",
        "spawn",
        "thread",
    )

    MAX_DEPTH = 4

    def __init__(self, kind: str, name: str, ref: Any, ident: int, spawn: Spawn | None, thread: Any = None) -> None:
        self.kind = kind  # "thread", "task", "job" or "greenlet"
        self.name = name
        self.ref = ref  # weak reference to the Thread, Task or greenlet, or None where there is none
        self.ident = ident  # of the thread it ran in when it first opened something
        self.thread = thread  # for a job: the owner that is its worker thread
        self.ended_at: float | None = None  # monotonic seconds; when a tick first saw it gone
        self.job_over_at: float | None = None  # when a job returned, though its worker lives
        self.is_worker = False  # a thread that runs an executor's jobs
        by = spawn.by if spawn else None
        self.depth: int = by.depth + 1 if by else 0
        if spawn and self.depth >= self.MAX_DEPTH:
            spawn.by = None
        self.spawn = spawn

    def gone(self) -> bool:
        """Whether it has ended; a job is not gone while its worker lives. Called by the thread that ticks."""
        if self.kind == "job":
            worker: Owner | None = self.thread
            return worker.gone() if worker is not None else self.job_over_at is not None
        if self.ref is None:
            return self.ident not in sys._current_frames()
        alive = self.ref()
        if alive is None:
            return True
        if self.kind == "thread":
            threading = sys.modules.get("threading")
            return threading is None or threading._active.get(alive.ident) is not alive
        if self.kind == "task":
            return bool(alive.done())
        return bool(alive.dead)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


class Pool:
    """A library's pool: it owns its connections, and what its borrowers hold is judged instead."""

    __slots__ = (
        "__weakref__",
        "closed",
        "idle_max",
        "idle_min",
        "key",
        "max",
        "name",
        "origin",
        "ref",
        "site",
        "system",
        "timeouts",
        "waiting",
    )

    def __init__(self, key: int, name: str, origin: Origin, maximum: int | None, system: str = "") -> None:
        self.key = key  # its stamp, from the ledger
        self.name = name
        self.origin = origin  # the line that made it
        self.max = maximum  # connections it may have, None: as many as are asked for
        self.idle_min: int | None = None
        self.idle_max: int | None = None
        self.system = system
        self.waiting: set[object] = set()  # one for each request that waits now; each change one C call
        self.timeouts = 0  # requests that ran out of patience
        self.closed = False
        self.ref: Any = None  # a weak reference to the library's pool, where its type allows
        self.site: Site | None = None

    @property
    def pending(self) -> int:
        """How many requests wait for a connection now."""
        return len(self.waiting)

    def asked(self) -> Callable[[], None]:
        """A request waits from now on; the call ends that."""
        request = object()
        self.waiting.add(request)
        answered: Callable[[], None] = partial(self.waiting.discard, request)
        return answered


class Handle:
    """One thing opened that must be given back. The only value in whoholds that changes.

    Times are seconds of the ledger's clock (monotonic); stamps come from one counter, which orders openings and
    closings exactly where the clock would not. Written by the user's threads, each change one C call; read by the
    thread that ticks.
    """

    __slots__ = (
        "at_home",
        "backend_pid",
        "busy_s",
        "caller",
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
        "kind",
        "ledger",
        "lost_s",
        "opened_at",
        "opened_stamp",
        "origin",
        "owner",
        "parent",
        "pool",
        "probe",
        "probed",
        "ref",
        "ring",
        "scope",
        "server_side",
        "shared",
        "site",
        "told",
        "unread",
        "used_at",
        "used_by",
        "uses",
    )

    def __init__(self, kind: str, driver: str, where: Database, owner: Owner | None, origin: Origin) -> None:
        self.kind = kind
        self.driver = driver
        self.database = where
        self.owner = owner
        self.origin = origin
        self.ledger: Ledger | None = None  # where it was told of
        self.opened_at = self.used_at = 0.0
        self.opened_stamp = 0
        self.closed_at: float | None = None
        self.closed_stamp: int | None = None
        self.how = ""  # how it ended: one of the constants above
        self.connect_s: float | None = None  # how long opening took
        self.uses = 0
        self.busy_s = 0.0
        self.caller = 0  # who is inside a call now: a thread ident or the id of a task; 0: nobody
        self.used_by: int = 0  # the last caller
        self.in_transaction = False
        self.server_side = False  # a cursor that holds something on the server or a lock
        self.at_home = False  # a pool has it, or a thread keeps it for its next request
        self.home_at = 0.0  # when a thread put it aside: used after that, it is at home no more
        self.inherited = False  # opened before a fork, by the parent
        self.pool: Pool | None = None
        self.parent: Handle | None = None
        self.backend_pid: int | None = None
        self.ref: ref[Any] | None = None
        self.context: Any = None  # what tracing.current() gave at the opening, or None
        self.scope: Any = None  # the scope it was opened in, or None
        self.ring: Any = ()  # once there are any, a list of the last: (sql, started_at, seconds) at uses % RING
        self.probe: Any = None  # for sqlite3: tells whether a statement is not read to its end
        self.probed = -1  # `uses` when the tick last asked
        self.unread: Site | None = None  # what it was told: the line that made the cursor, where known
        self.shared: Any = None  # a ledger.Sharing, once two were inside calls at once
        self.site: Site | None = None  # filled in on the tick
        self.told = 0  # bits of the rules that a finding has named it for
        self.lost_s = 0.0  # seconds in which the machine slept: nobody held anything then

    @property
    def open(self) -> bool:
        """Whether nobody has closed it and it is not freed."""
        return self.closed_stamp is None

    def held_s(self, now: float) -> float:
        """Seconds from opening to closing, or to `now`."""
        return max((now if self.closed_at is None else self.closed_at) - self.opened_at - self.lost_s, 0.0)

    def idle_s(self, now: float) -> float:
        """Seconds since its last use ended, 0 while a call runs on it; a loan is used when its connection is."""
        inner = self.parent or self
        if inner.caller:
            return 0.0
        used = max(self.used_at, inner.used_at)
        return max((now if self.closed_at is None else self.closed_at) - used, 0.0)

    @property
    def statements(self) -> list[tuple[Any, float, float]]:
        """The last few (sql or None, started at, seconds), oldest first."""
        return sorted(filter(None, self.ring), key=_second)

    def __repr__(self) -> str:
        state = "open" if self.open else self.how
        return f"<{state} {self.kind} {self.opened_stamp} to {self.database}>"


def _second(statement: tuple[Any, float, float]) -> float:
    return statement[1]
