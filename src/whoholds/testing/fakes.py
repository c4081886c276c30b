"""What stands for the world in a test: a clock that is told the time, a DB-API module that connects to nothing."""

from __future__ import annotations

import types
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

REFUSAL = "sorry, too many clients already"  # PostgreSQL's words, so that they are told from other errors


class FakeClock:
    """A clock that stands still until it is told: `Ledger(clock=FakeClock())`. Called, it gives its seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Seconds, never going back."""
        return self.now

    def advance(self, seconds: float) -> float:
        """Let `seconds` pass, and give the time that it then is. Raises ValueError where time would run back."""
        if seconds < 0:
            raise ValueError(f"advance({seconds}): a clock takes seconds that pass, 0 or more")
        self.now += seconds
        return self.now


class FakeError(Exception):
    """The `Error` of fake DB-API modules."""


class FakeOperationalError(FakeError):
    """What `connect` raises when the fake server gives no more connections."""


class FakeInterfaceError(FakeError):
    """What a closed connection or cursor raises."""


class FakeServer:
    """Counts what is open; lets in `most` at once. What every statement answers is in `rows`."""

    def __init__(self, most: int | None = None, rows: Sequence[tuple[Any, ...]] = ((1,),)) -> None:
        self.most = most
        self.rows = list(rows)
        self.statements: list[str] = []  # of all connections, in the order in which they came
        self._open: weakref.WeakSet[FakeConnection] = weakref.WeakSet()

    @property
    def open(self) -> int:
        """How many connections are open now; one that was freed is not."""
        return len(self._open)


class FakeConnection:
    """A connection of a fake DB-API module; `with` ends its transaction and, as with most drivers, does not close."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.closed = False
        server._open.add(self)

    def cursor(self) -> FakeCursor:
        """A new cursor. Raises the module's InterfaceError once closed."""
        self._check()
        return FakeCursor(self)

    def commit(self) -> None:
        """Nothing, if it is open."""
        self._check()

    rollback = commit

    def close(self) -> None:
        """Give it back to the server; twice is once."""
        self.closed = True
        self._server._open.discard(self)

    def _check(self) -> None:
        if self.closed:
            raise FakeInterfaceError("connection already closed")

    def __enter__(self) -> FakeConnection:  # noqa: PYI034 - typing has no Self before 3.11, and nobody subclasses it
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.commit()


class FakeCursor:
    """A cursor of a fake DB-API module: answers every statement with its server's rows."""

    arraysize = 1
    description = None

    def __init__(self, connection: FakeConnection) -> None:
        self.connection = connection
        self.rowcount = -1
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, sql: str, parameters: Any = ()) -> FakeCursor:
        """Remember the statement, and have rows to fetch."""
        del parameters
        self.connection._check()
        server = self.connection._server
        server.statements.append(sql)
        self._rows = list(server.rows)
        self.rowcount = len(self._rows)
        return self

    def executemany(self, sql: str, parameters: Any) -> FakeCursor:
        """Execute once for each of the parameters."""
        for one in parameters:
            self.execute(sql, one)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """The next `size` rows."""
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        return self.fetchmany(len(self._rows))

    def close(self) -> None:
        """Forget the rows."""
        self._rows = []

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())


def fake_dbapi(
    name: str = "fakedb", *, most: int | None = None, rows: Sequence[tuple[Any, ...]] = ((1,),)
) -> types.ModuleType:
    """A DB-API 2.0 module that connects to nothing, for `whoholds.watch_module(module)` or a driver's tests.

    `connect` takes any arguments and raises the module's OperationalError, with PostgreSQL's words, while `most`
    connections are open. `module.server` tells how many are open and what they ran.
    """
    server = FakeServer(most, rows)

    def connect(*args: Any, **kwargs: Any) -> FakeConnection:
        del args, kwargs
        if server.most is not None and server.open >= server.most:
            raise FakeOperationalError(f"FATAL:  {REFUSAL}")
        return FakeConnection(server)

    module = types.ModuleType(name, "A DB-API 2.0 module that connects to nothing.")
    names = {
        "apilevel": "2.0",
        "threadsafety": 1,
        "paramstyle": "qmark",
        "connect": connect,
        "Connection": FakeConnection,
        "Cursor": FakeCursor,
        "Error": FakeError,
        "OperationalError": FakeOperationalError,
        "InterfaceError": FakeInterfaceError,
        "server": server,
    }
    vars(module).update(names)
    return module
