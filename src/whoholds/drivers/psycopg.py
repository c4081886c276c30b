"""psycopg 3, synchronous and asynchronous: replaces `__init__`, `close`, `execute` and `wait` of its classes.

All of its input and output goes through `Connection.wait`: commits, COPY, streams, server-side cursors, pipelines,
notifications. What libpq knows must be read in the program's own thread only, for `close` frees it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.ledger.adoptable import Adoptable, Keepers
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import CURSOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_STATEMENTS = ("execute", "executemany")
_BAD = 1  # CONNECTION_BAD: closed, or broken


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch psycopg while the block lasts."""
    import psycopg

    kit.library("psycopg", psycopg.__version__)
    cursors = _Cursors(ledger, psycopg.ServerCursor)
    ledger.keepers["psycopg"] = Keepers(kit.keep)

    with kit.open_names() as stand:
        plain_connect = psycopg.connect
        kinds: tuple[tuple[Any, ...], ...] = (
            (psycopg.Connection, psycopg.Cursor, psycopg.ServerCursor),
            (psycopg.AsyncConnection, psycopg.AsyncCursor, psycopg.AsyncServerCursor),
        )
        calls: tuple[tuple[Any, ...], ...] = (
            (kit.used, kit.closing, kit.timed_connect),
            (kit.used_async, kit.closing_async, kit.timed_connect_async),
        )
        for (base, cursor, server_cursor), (use, close, connect) in zip(kinds, calls, strict=True):
            stand(base, "__init__", kit.opening(base.__init__, ledger, "psycopg", _identify, kit.keep))
            named = _tags.in_keywords(base.connect.__func__, ledger)
            stand(base, "connect", classmethod(connect(named, ledger, kit.whoholds_of, _target)))
            stand(base, "close", close(base.close, ledger, kit.whoholds_of, _is_closed))
            wait = use(base.wait, ledger, kit.whoholds_of, _in_transaction, broke=_broke)
            stand(base, "wait", kit.unless_inside(base.wait, wait) if use is kit.used else wait)
            for kind in (cursor, server_cursor):
                for name in _STATEMENTS:
                    method = vars(kind)[name]
                    ours = use(method, ledger, _of_cursor, _cursors_transaction, sql=True, broke=_cursor_broke)
                    stand(kind, name, ours)
            stand(server_cursor, "__init__", cursors.opening(server_cursor.__init__))
            ours = close(server_cursor.close, ledger, cursors.known.of, if_raised=_cursor_is_closed)
            stand(server_cursor, "close", ours)
        stand(psycopg, "connect", psycopg.Connection.connect)
        stand.at_the_end(kit.rebind(plain_connect, psycopg.connect))
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before."""
    import psycopg

    kinds = (psycopg.Connection, psycopg.AsyncConnection)
    return Adoptable("psycopg", kinds, lambda one: _identify(one, (), {}), _is_closed, _in_transaction)


_of_cursor = kit.through("_conn", kit.whoholds_of)


def _in_transaction(connection: Any) -> bool:
    return bool(1 < connection.pgconn.transaction_status < 4)  # noqa: PLR2004 - INTRANS and INERROR


_cursors_transaction = kit.through("_conn", _in_transaction)


def _is_closed(connection: Any) -> bool:
    return bool(connection.pgconn.status == _BAD)


def _cursor_is_closed(cursor: Any) -> bool:
    return bool(cursor.closed)


def _broke(connection: Any, _: Raised) -> bool:
    return _is_closed(connection)


_cursor_broke = kit.through("_conn", _broke)


def _identify(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    """The Database that the connection leads to and the server's process id or None, which libpq knows without I/O."""
    pgconn = connection.pgconn
    port = pgconn.port
    user, host, name = _text(pgconn.user), _text(pgconn.host), _text(pgconn.db)
    where = database("postgresql", user, host, int(port) if port else None, name)
    return where, pgconn.backend_pid or None


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if value else ""


def _target(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    """The database that `connect(conninfo, **kwargs)` names; `args[0]` is the class."""
    from psycopg.conninfo import conninfo_to_dict

    conninfo = args[1] if len(args) > 1 else kwargs.get("conninfo", "")
    return kit.postgres_target({**conninfo_to_dict(conninfo), **kwargs})


class _Cursors:
    """The hooks of server-side cursors, which hold resources on the server until they are closed."""

    def __init__(self, ledger: Ledger, kind: type) -> None:
        self.known = kit.Known()
        self._ledger = ledger
        # `rownumber` would ask libpq
        self._row = kit.row_of(kit.reader(kind, "_pos"), kit.reader(kind, "_withhold"))

    def opening(self, original: Any) -> Any:
        """`ServerCursor.__init__`, wrapped so that the cursor gets a handle."""
        return kit.around(original, after=self._opened)

    def _opened(self, cursor: Any, _kept: Any, _result: Any, frame: Any) -> None:
        parent = getattr(cursor._conn, "_whoholds", None)
        if parent is not None:
            handle = self._ledger.opened(CURSOR, "psycopg", parent.database, cursor, frame)
            handle.server_side, handle.probe = True, self._row(parent)
            self.known.put(cursor, handle)
