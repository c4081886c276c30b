"""Fakes for tests: a clock that a test sets, and a DB-API module that connects to nothing."""

from __future__ import annotations

import types
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

REFUSAL = "sorry, too many clients already"  # PostgreSQL's words, by which a refusal is recognised


class FakeClock:
    """A clock that stands still until it is advanced: `Ledger(clock=FakeClock())`. A call returns its seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The clock's time in seconds, which never goes back."""
        return self.now

    def advance(self, seconds: float) -> float:
        """Let `seconds` pass, and return the time after them. Raises ValueError for negative seconds."""
        if seconds < 0:
            raise ValueError(f"advance({seconds}): a clock takes seconds that pass, 0 or more")
        self.now += seconds
        return self.now


class FakeError(Exception):
    """The `Error` of fake DB-API modules."""


class FakeOperationalError(FakeError):
    """Raised by `connect` when the fake server gives no more connections."""


class FakeInterfaceError(FakeError):
    """Raised by a closed connection or cursor."""


class FakeServer:
    """A server that counts its open connections, at most `most` at once, and answers every statement with `rows`."""

    def __init__(self, most: int | None = None, rows: Sequence[tuple[Any, ...]] = ((1,),)) -> None:
        self.most = most
        self.rows = list(rows)
        self.statements: list[str] = []  # those of all connections, in the order in which they came
        self._open: weakref.WeakSet[FakeConnection] = weakref.WeakSet()

    @property
    def open(self) -> int:
        """How many connections are open now; a connection that was freed no longer counts."""
        return len(self._open)


class FakeConnection:
    """A connection of a fake DB-API module. Leaving `with` commits and, as with most drivers, does not close."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.closed = False
        server._open.add(self)

    def cursor(self) -> FakeCursor:
        """A new cursor. Raises the module's InterfaceError if the connection is closed."""
        self._check()
        return FakeCursor(self)

    def commit(self) -> None:
        """Do nothing. Raises the module's InterfaceError if the connection is closed."""
        self._check()

    rollback = commit

    def close(self) -> None:
        """Close the connection, so that the server no longer counts it. A second call changes nothing."""
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
    """A cursor of a fake DB-API module, which answers every statement with its server's rows."""

    arraysize = 1
    description = None

    def __init__(self, connection: FakeConnection) -> None:
        self.connection = connection
        self.rowcount = -1
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, sql: str, parameters: Any = ()) -> FakeCursor:
        """Note the statement on the server, and return this cursor, with the server's rows to fetch."""
        del parameters
        self.connection._check()
        server = self.connection._server
        server.statements.append(sql)
        self._rows = list(server.rows)
        self.rowcount = len(self._rows)
        return self

    def executemany(self, sql: str, parameters: Any) -> FakeCursor:
        """Execute the statement once for each item of `parameters`, and return this cursor."""
        for values in parameters:
            self.execute(sql, values)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None if no row is left."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """The next `size` rows, or as many as are left."""
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        return self.fetchmany(len(self._rows))

    def close(self) -> None:
        """Forget the rows that are left."""
        self._rows = []

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())


def fake_dbapi(
    name: str = "fakedb", *, most: int | None = None, rows: Sequence[tuple[Any, ...]] = ((1,),)
) -> types.ModuleType:
    """A DB-API 2.0 module that connects to nothing, for `whoholds.watch_module(module)` or a driver's tests.

    `connect` takes any arguments, and raises the module's OperationalError with PostgreSQL's words while `most`
    connections are open. `module.server` has the number of open connections and the statements that they ran.
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
