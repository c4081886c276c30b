"""psycopg2: the connections are objects of a subclass of the user's class and ours, made through `psycopg2._connect`.

They are real subclasses, so that every check in C passes. A connection class of the user's still chooses its own
cursor class.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._importlib_bootstrap.psycopg2_calls import making_cursors
from whoholds.drivers._layers import Layer
from whoholds.hooks.stand_ins import StandIn
from whoholds.ledger.adoptable import Adoptable, Keepers
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import CURSOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
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

    kit.library("psycopg2", psycopg2.__version__)
    layer = _Layer.of_process(ledger, extensions.connection, extensions.cursor)
    ledger.keepers["psycopg2"] = Keepers(kit.Known().put, seen=False)
    with kit.open_names() as stand:
        original = psycopg2._connect
        ours = _connect(ledger, layer, _tags.in_dsn(original, ledger))
        stand_in = StandIn(original, ours)
        for module in (psycopg2, sys.modules["psycopg2._psycopg"]):  # pickle looks for it in its own module
            stand(module, "_connect", stand_in)
        # only while no other code has the class or an object of it, so that direct calls are seen and type checks hold
        if "psycopg2.extras" not in sys.modules:
            stand(extensions, "connection", layer.connection)
            stand(extensions, "cursor", layer.cursor)
        elif not kit.any_alive(extensions.connection, subclasses=True):  # subclasses made before are not changed
            stand(extensions, "connection", layer.connection)
        yield


_BEGUN = 2  # STATUS_BEGIN: psycopg2 has begun a transaction


def adoptable() -> Adoptable:
    """How to read connections that were open before. psycopg2's own record is read, and libpq is not asked."""
    from psycopg2 import extensions

    plain: Any = getattr(extensions.connection, "__mro__")[-2]  # noqa: B009 - the C class, also below ours
    return Adoptable("psycopg2", (plain,), lambda one: (_named(one.dsn), None), _closed(plain), _has_begun)


def _has_begun(connection: Any) -> bool | None:
    """Whether psycopg2 has begun a transaction; None where the program itself would, for it keeps no record of that."""
    if connection.status == _BEGUN:
        return True
    return None if connection.autocommit or connection.async_ else False


class _Layer(Layer):
    """Our classes between the user's and the C classes, and the subclasses made of the user's own classes."""

    def __init__(self, ledger: Ledger, connection: Any, cursor: Any) -> None:
        super().__init__(ledger, connection, cursor)
        status = connection.get_transaction_status
        closed = _closed(connection)
        connection_of = kit.reader(cursor, "connection")

        def in_transaction(one: Any) -> bool:
            return not closed(one) and 1 < status(one) < 4  # noqa: PLR2004 - INTRANS and INERROR

        def broke(one: Any, _: Raised) -> bool:
            return closed(one)

        def of_cursor(one: Any) -> Any:
            return connection_of(one)._whoholds

        def in_transaction_of_cursor(one: Any) -> bool:
            return in_transaction(connection_of(one))

        def cursor_broke(one: Any, _: Raised) -> bool:
            return closed(connection_of(one))

        def has_fetched(one: Any) -> bool:
            """The state after a fetch of a named cursor, whose own handle was used, too."""
            try:
                _of_named(one).used_at = ledger.clock()
            except AttributeError:  # made while nobody watched
                pass
            return in_transaction_of_cursor(one)

        def use(method: Any, *, sql: bool = False, fetches: bool = False) -> Any:
            state = has_fetched if fetches else in_transaction_of_cursor
            return kit.used(method, ledger, of_cursor, state, sql=sql, broke=cursor_broke)

        def execute(method: Any) -> Any:
            keywords = "query", "vars"
            return kit.statement(
                method, ledger, connection_of, in_transaction, status, keywords=keywords, broke=cursor_broke
            )

        self._use, self._execute = use, execute
        self._in_transaction, self._closed, self._broke = in_transaction, closed, broke
        self._plain, self._plain_cursor = connection, cursor
        self._row = kit.row_of(kit.reader(cursor, "rownumber"), kit.reader(cursor, "withhold"))
        self.cursor = kit.subclass(cursor, self._cursor_methods(cursor))
        self.connection = kit.subclass(connection, self._methods(connection))
        self._known: dict[type, type] = {connection: self.connection}
        self._known_cursors: dict[type, type] = {cursor: self.cursor}
        self._known_special: dict[tuple[type, bool], type] = {}

    def _methods(self, base: Any) -> dict[str, Any]:
        ledger = self.ledger
        opening = kit.opening(base.__init__, ledger, "psycopg2", _identified_by(self._plain), kit.keep, _target)
        methods: dict[str, Any] = {"__slots__": ("_whoholds",), "__init__": opening}
        status = self._plain.get_transaction_status
        for name in _USES:
            methods[name] = kit.used(
                getattr(base, name), ledger, kit.whoholds_of, self._in_transaction, broke=self._broke, status=status
            )
        methods["close"] = kit.closing(base.close, ledger, kit.whoholds_of, if_raised=self._closed)
        if base.cursor is self._plain.cursor:  # a class with a `cursor` of its own calls ours
            methods["cursor"] = making_cursors(base.cursor, self.cursor, self.of_cursor, self._opened_cursor)
        return methods

    def _cursor_methods(self, base: Any) -> dict[str, Any]:
        methods: dict[str, Any] = {name: self._use(getattr(base, name), sql=True) for name in _STATEMENTS}
        methods["execute"] = self._execute(base.execute)
        methods |= {name: self._use(getattr(base, name)) for name in _COPIES}
        return {"__slots__": (), **methods}

    def _special_methods(self, base: Any, *, named: bool) -> dict[str, Any]:
        """The methods of cursors that talk to the server after `execute`, too: named and replication cursors."""
        methods: dict[str, Any] = {"__slots__": ("_whoholds_cursor",) if named else ()}
        for name in (*(_FETCHES if named else ()), *_REPLICATION):
            if hasattr(base, name):
                # the rows of a loop are counted by psycopg2 itself: see `_opened_cursor`
                methods[name] = self._use(getattr(base, name), fetches=name in _FETCHES and name != "__next__")
        if named:
            methods["close"] = kit.closing(base.close, self.ledger, _of_named, if_raised=_closed(self._plain_cursor))
        return methods

    def of(self, wanted: Any) -> Any:
        """The connection class to make where the user asks for `wanted`; a callable that is no class stays as it is."""
        if wanted is None:
            return self.connection
        if not (isinstance(wanted, type) and issubclass(wanted, self._plain)):
            return wanted
        return kit.layered(wanted, self.connection, self._methods, self._known)

    def of_cursor(self, wanted: Any, *, named: bool) -> Any:
        """The cursor class to make where the user asks for `wanted`; a callable that is no class stays as it is."""
        if not (isinstance(wanted, type) and issubclass(wanted, self._plain_cursor)):
            return wanted
        ours = kit.layered(wanted, self.cursor, self._cursor_methods, self._known_cursors)
        if not named and not hasattr(ours, _REPLICATION[0]):
            return ours
        special = self._known_special.get((ours, named))
        if special is None:
            special = self._known_special[ours, named] = kit.subclass(ours, self._special_methods(ours, named=named))
        return special

    def _opened_cursor(self, connection: Any, cursor: Any, frame: Any) -> None:
        """A named cursor was made: it holds a result set on the server until it is closed, and gets a handle."""
        if isinstance(cursor, self.cursor):
            opener = connection._whoholds
            handle = self.ledger.opened(CURSOR, "psycopg2", opener.database, cursor, frame, parent=None)
            handle.server_side, handle.probe = True, self._row(opener)
            cursor._whoholds_cursor = handle


_of_named = attrgetter("_whoholds_cursor")


def _closed(kind: Any) -> Callable[[Any], bool]:
    """Whether a connection or cursor, an object of the C class `kind`, is closed."""
    closed = kit.reader(kind, "closed")
    return lambda thing: bool(closed(thing))


def _identified_by(plain: Any) -> Callable[..., tuple[Database, int | None]]:
    import psycopg2

    info_of, dsn_of = kit.reader(plain, "info"), kit.reader(plain, "dsn")

    def identify(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
        """The Database that the connection leads to and the server's process id or None, which libpq knows without I/O.

        Called in the program's own thread, for only there may libpq be asked.
        """
        try:
            info = info_of(connection)
            where = database("postgresql", info.user or "", info.host or "", info.port or None, info.dbname or "")
            return where, info.backend_pid or None  # noqa: TRY300 - shorter this way
        except psycopg2.Error:  # an asynchronous connection that is not yet open knows little
            return _named(dsn_of(connection)), None

    return identify


def _target(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    return _named(args[0] if args else kwargs.get("dsn", ""))


def _named(dsn: str) -> Database:
    """The Database that a connection string names."""
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        said = parse_dsn(dsn)
    except psycopg2.Error:  # psycopg2 refuses such a string itself
        said = {}
    return kit.postgres_target(said)


def _connect(ledger: Ledger, layer: _Layer, original: Callable[..., Any]) -> Any:
    def with_our_class(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) > 1:
            return (args[0], layer.of(args[1]), *args[2:]), kwargs
        return args, {**kwargs, "connection_factory": layer.of(kwargs.get("connection_factory"))}

    def made(_: Any, _kept: Any, connection: Any, _frame: Any) -> None:
        if not hasattr(connection, "_whoholds") and not hasattr(type(connection), "_whoholds"):
            ledger.cannot_watch("psycopg2")

    return kit.around(original, after=made, arguments=with_our_class, method=False)
