"""psycopg2: a subclass between the user's connection class and the C class, asked for through `psycopg2._connect`.

Real subclasses, so that every check in C passes; the connection class goes on choosing its own cursor class.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers.kit import (
    called,
    connect_failed,
    in_range,
    is_refusal,
    layered,
    like,
    noticed,
    replace,
    stands_for,
    statement,
)
from whoholds.hooks.stand_ins import StandIn
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import CONNECTION, CURSOR, Handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.ledger.ledger import Ledger

_USES = (
    "commit rollback poll reset __enter__ __exit__ lobject set_session set_isolation_level set_client_encoding "
    "tpc_begin tpc_prepare tpc_commit tpc_rollback tpc_recover"
).split()
_STATEMENTS = "executemany callproc copy_expert".split()
_COPIES = "copy_from copy_to".split()
_REPLICATION = "read_message consume_stream send_feedback start_replication_expert".split()
_FETCHES = "fetchone fetchmany fetchall scroll __next__".split()


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch psycopg2 while the block lasts."""
    import psycopg2
    from psycopg2 import extensions

    in_range("psycopg2", psycopg2.__version__, "2.8", "3")
    never_blame("psycopg2")
    layer = _Layer(ledger, extensions.connection, extensions.cursor)
    with ExitStack() as names:
        original = psycopg2._connect
        ours = _connect(ledger, layer, original)
        stand_in = StandIn(original, lambda: ours)
        for module in (psycopg2, sys.modules["psycopg2._psycopg"]):  # pickle looks for it where it comes from
            names.callback(replace(module, "_connect", stand_in))
        if "psycopg2.extras" not in sys.modules:
            # before anyone has a class or an object of it: direct calls are seen, and type checks by name hold
            names.callback(replace(extensions, "connection", layer.connection))
            names.callback(replace(extensions, "cursor", layer.cursor))
        else:
            names.callback(_replace_if_unused(extensions, "connection", layer.connection))
        yield


def _replace_if_unused(module: Any, name: str, ours: type) -> Callable[[], None]:
    """Replace a class that no living object is an instance of; subclasses made of it before stay what they are."""
    import gc

    plain = getattr(module, name)
    if any(issubclass(type(one), plain) for one in gc.get_objects()):
        return lambda: None
    return replace(module, name, ours)


def _handle_of(connection: Any) -> Handle:
    handle: Handle = connection._whoholds
    return handle


def _handle_of_cursor(cursor: Any) -> Handle:
    handle: Handle = cursor.connection._whoholds
    return handle


class _Layer:
    """Our classes, between the user's and the C ones, and what was made of the user's own."""

    def __init__(self, ledger: Ledger, connection: Any, cursor: Any) -> None:
        status = connection.get_transaction_status

        def in_transaction(one: Any) -> bool:
            return not one.closed and 1 < status(one) < 4  # noqa: PLR2004 - INTRANS and INERROR

        def cursors_transaction(one: Any) -> bool:
            return in_transaction(one.connection)

        def use(method: Any, *, sql: bool = False) -> Any:
            return noticed(method, ledger, _handle_of_cursor, cursors_transaction, sql=sql, broke=_cursor_broke)

        self.ledger = ledger
        self._use, self._in_transaction = use, in_transaction
        self._plain, self._plain_cursor = connection, cursor
        self.cursor = like(cursor, self._cursor_methods(cursor))
        self.connection = like(connection, self._methods(connection))
        self._known: dict[type, type] = {connection: self.connection}
        self._known_cursors: dict[type, type] = {cursor: self.cursor}
        self._known_special: dict[tuple[type, bool], type] = {}

    def _methods(self, base: Any) -> dict[str, Any]:
        ledger = self.ledger
        methods: dict[str, Any] = {"__slots__": ("_whoholds",), "__init__": _init(ledger, base.__init__)}
        for name in _USES:
            methods[name] = noticed(getattr(base, name), ledger, _handle_of, self._in_transaction, broke=_broke)
        methods["close"] = called(base.close, ledger, _handle_of)
        if base.cursor is self._plain.cursor:  # on top of a class with a `cursor` of its own: that calls ours
            methods["cursor"] = self._cursor_method(base.cursor)
        return methods

    def _cursor_methods(self, base: Any) -> dict[str, Any]:
        status = self._plain.get_transaction_status
        methods: dict[str, Any] = {name: self._use(getattr(base, name), sql=True) for name in _STATEMENTS}
        methods["execute"] = statement(
            base.execute, self.ledger, status, keywords=("query", "vars"), broke=_cursor_broke
        )
        methods |= {name: self._use(getattr(base, name)) for name in _COPIES}
        return {"__slots__": (), **methods}

    def _special_methods(self, base: Any, *, named: bool) -> dict[str, Any]:
        """Of cursors that go on talking to the server after `execute`: named ones, and a replication's."""
        methods: dict[str, Any] = {"__slots__": ("_whoholds_cursor",) if named else ()}
        for name in (*(_FETCHES if named else ()), *_REPLICATION):
            if hasattr(base, name):
                methods[name] = self._use(getattr(base, name))
        if named:
            methods["close"] = _close_named(self.ledger, base.close)
        return methods

    def of(self, wanted: Any) -> Any:
        """The connection class to make where the user asks for `wanted`; a callable that is no class as it is."""
        if wanted is None:
            return self.connection
        if not (isinstance(wanted, type) and issubclass(wanted, self._plain)):
            return wanted
        return layered(wanted, self.connection, self._methods, self._known)

    def of_cursor(self, wanted: Any, *, named: bool) -> Any:
        """The cursor class to make where the user asks for `wanted`."""
        if not (isinstance(wanted, type) and issubclass(wanted, self._plain_cursor)):
            return wanted
        ours = layered(wanted, self.cursor, self._cursor_methods, self._known_cursors)
        if not named and not hasattr(ours, _REPLICATION[0]):
            return ours
        made = self._known_special.get((ours, named))
        if made is None:
            made = self._known_special[ours, named] = like(ours, self._special_methods(ours, named=named))
        return made

    def _cursor_method(self, original: Any) -> Any:
        ledger = self.ledger

        def cursor(self_: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                name = args[0] if args else kwargs.get("name")
                wanted = args[1] if len(args) > 1 else kwargs.get("cursor_factory")
                wanted = wanted or self_.cursor_factory or self.cursor
                ours = self.of_cursor(wanted, named=name is not None)
                if len(args) > 1:
                    args = (args[0], ours, *args[2:])
                else:
                    kwargs["cursor_factory"] = ours
                made = original(self_, *args, **kwargs)
                if name is not None and isinstance(made, self.cursor):
                    made._whoholds_cursor = _opened_cursor(ledger, self_, made)
            except BaseException:
                made = None
                del self_, args, kwargs, made
                raise
            return made

        return stands_for(cursor, original)


def _opened_cursor(ledger: Ledger, connection: Any, cursor: Any) -> Handle | None:
    try:
        parent = connection._whoholds
    except AttributeError:
        return None
    handle = ledger.opened(CURSOR, "psycopg2", parent.database, cursor, sys._getframe(2), parent=None)
    handle.server_side = True
    return handle


def _close_named(ledger: Ledger, original: Any) -> Any:
    def close(self: Any) -> Any:
        try:
            result = original(self)
        except BaseException:
            del self
            raise
        handle = getattr(self, "_whoholds_cursor", None)
        if handle is not None:
            ledger.closed(handle)
        return result

    return stands_for(close, original)


def _broke(connection: Any, _: BaseException) -> bool:
    return bool(connection.closed)


def _cursor_broke(cursor: Any, _: BaseException) -> bool:
    return bool(cursor.connection.closed)


def _init(ledger: Ledger, original: Callable[..., None]) -> Any:
    clock = ledger.clock

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
        began = clock()
        try:
            original(self, *args, **kwargs)
        except BaseException as exc:
            if is_refusal(exc):
                ledger.refused(exc, _asked_for(args[0] if args else kwargs.get("dsn", "")), sys._getframe(1))
            if ledger.on_connect_failed is not None:
                connect_failed(ledger, _asked_for(args[0] if args else kwargs.get("dsn", "")), exc, began)
            del self, args, kwargs, exc
            raise
        database_, pid = _told(self)
        handle = self._whoholds = ledger.opened(CONNECTION, "psycopg2", database_, self, sys._getframe(1), began=began)
        handle.backend_pid = pid

    return stands_for(__init__, original)


def _told(connection: Any) -> tuple[Database, int | None]:
    """Where it leads and the server's pid, as libpq knows them without I/O; here, in the program's own thread only."""
    try:
        info = connection.info
        found = database("postgresql", info.user or "", info.host or "", info.port or None, info.dbname or "")
        return found, info.backend_pid or None
    except Exception:  # noqa: BLE001 - an asynchronous connection that is not there yet knows little
        return _asked_for(connection.dsn), None


def _asked_for(dsn: str) -> Database:
    """The database that a connection string names; what it leaves out as libpq's variables and defaults have it."""
    import os

    from psycopg2.extensions import parse_dsn

    try:
        said = parse_dsn(dsn)
    except Exception:  # noqa: BLE001 - it is refused as it is; its form is the server's affair
        said = {}
    user = said.get("user") or os.environ.get("PGUSER", "")
    host = said.get("host") or said.get("hostaddr") or os.environ.get("PGHOST", "")
    port = said.get("port") or os.environ.get("PGPORT") or "5432"
    name = said.get("dbname") or os.environ.get("PGDATABASE") or user
    return database("postgresql", user, host, int(port) if port.isdigit() else None, name)


def _connect(ledger: Ledger, layer: _Layer, original: Callable[..., Any]) -> Any:
    def _connect(dsn: Any, connection_factory: Any = None, **kwargs: Any) -> Any:
        try:
            made = original(dsn, connection_factory=layer.of(connection_factory), **kwargs)
        except BaseException:
            del dsn, connection_factory, kwargs
            raise
        if not hasattr(made, "_whoholds"):
            ledger.cannot_watch("psycopg2")
        return made

    return stands_for(_connect, original)
