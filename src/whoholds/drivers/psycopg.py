"""psycopg 3, synchronous and asynchronous: `__init__`, `close`, `execute` and `wait`, replaced on its classes.

All of its input and output goes through `Connection.wait`: commits, COPY, streams, server-side cursors, pipelines,
notifications. What libpq knows is read in the program's own thread only: `close` frees it.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers.kit import (
    Known,
    called,
    called_async,
    connecting,
    connecting_async,
    in_range,
    keep,
    noticed,
    noticed_async,
    opening,
    postgres_asked,
    rebind,
    replace,
    stands_for,
    whoholds_of,
    within,
)
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import CURSOR, Handle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.ledger import Ledger

_STATEMENTS = ("execute", "executemany")
_BAD = 1  # CONNECTION_BAD: closed, or broken


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch psycopg while the block lasts."""
    import psycopg

    in_range("psycopg", psycopg.__version__, "3.1", "4")
    never_blame("psycopg")
    cursors = _Cursors(ledger)

    with ExitStack() as names:

        def stand(target: Any, name: str, ours: Any) -> None:
            names.callback(replace(target, name, ours))

        plain_connect = psycopg.connect
        kinds: tuple[tuple[Any, ...], ...] = (
            (psycopg.Connection, psycopg.Cursor, psycopg.ServerCursor),
            (psycopg.AsyncConnection, psycopg.AsyncCursor, psycopg.AsyncServerCursor),
        )
        calls: tuple[tuple[Any, ...], ...] = (
            (noticed, called, connecting),
            (noticed_async, called_async, connecting_async),
        )
        for (base, cursor, server_cursor), (use, close, connect) in zip(kinds, calls, strict=True):
            stand(base, "__init__", opening(base.__init__, ledger, "psycopg", _told, keep))
            stand(base, "connect", classmethod(connect(base.connect.__func__, ledger, whoholds_of, _asked)))
            stand(base, "close", close(base.close, ledger, whoholds_of, _is_closed))
            wait = use(base.wait, ledger, whoholds_of, _in_transaction, broke=_broke)
            stand(base, "wait", within(base.wait, wait) if use is noticed else wait)
            for one in (cursor, server_cursor):
                for name in _STATEMENTS:
                    method = vars(one)[name]
                    ours = use(method, ledger, _handle_of_cursor, _cursors_transaction, sql=True, broke=_cursor_broke)
                    stand(one, name, ours)
            stand(server_cursor, "__init__", cursors.opening(server_cursor.__init__))
            stand(server_cursor, "close", close(server_cursor.close, ledger, cursors.known.of))
        stand(psycopg, "connect", psycopg.Connection.connect)
        names.callback(rebind(plain_connect, psycopg.connect))
        yield


def _handle_of_cursor(cursor: Any) -> Handle:
    handle: Handle = cursor._conn._whoholds
    return handle


def _in_transaction(connection: Any) -> bool:
    return bool(1 < connection.pgconn.transaction_status < 4)  # noqa: PLR2004 - INTRANS and INERROR


def _cursors_transaction(cursor: Any) -> bool:
    return _in_transaction(cursor._conn)


def _is_closed(connection: Any) -> bool:
    return bool(connection.pgconn.status == _BAD)


def _broke(connection: Any, _: BaseException) -> bool:
    return _is_closed(connection)


def _cursor_broke(cursor: Any, _: BaseException) -> bool:
    return _is_closed(cursor._conn)


def _told(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    """Where it leads and the server's pid, as libpq knows them without I/O."""
    pgconn = connection.pgconn
    port = pgconn.port
    user, host, name = _text(pgconn.user), _text(pgconn.host), _text(pgconn.db)
    where = database("postgresql", user, host, int(port) if port else None, name)
    return where, pgconn.backend_pid or None


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if value else ""


def _asked(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    """The database that `connect(conninfo, **kwargs)` names; `args` begin with the class."""
    from psycopg.conninfo import conninfo_to_dict

    conninfo = args[1] if len(args) > 1 else kwargs.get("conninfo", "")
    return postgres_asked({**conninfo_to_dict(conninfo), **kwargs})


class _Cursors:
    """The server-side cursors: what they hold stands on the server until they are closed."""

    def __init__(self, ledger: Ledger) -> None:
        self.known = Known()
        self._ledger = ledger

    def opening(self, original: Any) -> Any:
        def __init__(cursor: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
            try:
                original(cursor, *args, **kwargs)
                parent = getattr(cursor._conn, "_whoholds", None)
                if parent is not None:
                    handle = self._ledger.opened(CURSOR, "psycopg", parent.database, cursor, sys._getframe(1))
                    handle.server_side = True
                    self.known.put(cursor, handle)
            except BaseException:
                del cursor, args, kwargs
                raise

        return stands_for(__init__, original)
