"""sqlite3: connections are objects of a subclass, given through `factory` or in place of `Connection` and `Cursor`.

Those two names are replaced only where no object of the C types lives yet. The driver must not touch the database.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from whoholds.drivers import kit
from whoholds.drivers._importlib_bootstrap.sqlite_calls import connecting, init, making_cursors
from whoholds.drivers._layers import Layer
from whoholds.drivers._sqlite_cursors import note_line, probe_of_cursors
from whoholds.hooks.stand_ins import StandIn
from whoholds.ledger.adoptable import Adoptable
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import CONNECTION, OVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_CONNECT = (
    "database",
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "factory",
    "cached_statements",
    "uri",
)
_FACTORY = _CONNECT.index("factory")
_SHORTCUTS = ("execute", "executemany", "executescript")
_USES = (
    "commit",
    "backup",
    "blobopen",
    "serialize",
    "deserialize",
    "load_extension",
    "__exit__",
    "__enter__",
)
_KEYWORDS_WANTED = (3, 13) <= sys.version_info < (3, 15)  # more than one positional argument: deprecated, then an error


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch sqlite3 while the block lasts."""
    import sqlite3
    from sqlite3 import dbapi2

    plain, plain_cursor, plain_connect = sqlite3.Connection, sqlite3.Cursor, dbapi2.connect
    layer = _Layer.of_process(ledger, plain, plain_cursor)
    ours = connecting(plain_connect, layer.connection, layer.factory, _as_keywords, _unwatched(ledger, layer))
    connect = StandIn(plain_connect, ours)
    # with these names ours too, direct calls are seen and `type(c) is sqlite3.Connection` holds
    with_classes = not kit.any_alive(plain, plain_cursor)
    with kit.open_names() as stand:
        for module in (sqlite3, dbapi2):
            stand(module, "connect", connect)
            if with_classes:
                stand(module, "Connection", layer.connection)
                stand(module, "Cursor", layer.cursor)
        stand.at_the_end(kit.rebind(plain_connect, connect))
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before. SQLite would have to be asked for their files, and is not."""
    plain: Any = sys.modules["_sqlite3"].Connection
    state: Callable[[Any], bool] = kit.reader(plain, "in_transaction")
    nameless = database("sqlite", name="a file that is not known"), None
    return Adoptable("sqlite3", (plain,), lambda _: nameless, lambda one: _is_closed(one, state), state)


def _is_closed(connection: Any, state: Callable[[Any], bool]) -> bool:
    """Whether SQLite's connection is closed. It asks only the Python object, and may be called in any thread."""
    from sqlite3 import ProgrammingError

    try:
        state(connection)
    except ProgrammingError:
        return True
    return False


def _rolled_back(state: Callable[[Any], bool]) -> Callable[[Any], bool | None]:
    """Whether a transaction is open after a rollback: None if not, where `state` says False after a commit, too."""

    def in_transaction(connection: Any) -> bool | None:
        return state(connection) or None

    return in_transaction


def _unwatched(ledger: Ledger, layer: _Layer) -> Callable[[Any], None]:
    def made(connection: Any) -> None:
        """Counts a connection that a user's factory made and that has no layer of ours."""
        if not isinstance(connection, layer.connection) and not hasattr(connection, "_whoholds"):
            ledger.cannot_watch("sqlite3")

    return made


class _Layer(Layer):
    """Our two classes between the user's and the C classes, and the subclasses made of the user's own classes."""

    def __init__(self, ledger: Ledger, connection: Any, cursor: Any) -> None:
        super().__init__(ledger, connection, cursor)
        state: Callable[[Any], bool] = kit.reader(connection, "in_transaction")
        self._state = state
        self._plain = connection
        self._connection_of = kit.reader(cursor, "connection")
        self._run = self._cursor_methods(cursor)
        self.cursor = kit.subclass(cursor, {"__slots__": ("_whoholds_at",), **self._run})
        self.connection = kit.subclass(connection, self._methods(connection))
        self._known: dict[type, type] = {}
        self._known_cursors: dict[type, type] = {}

    def _is_closed(self, connection: Any) -> bool:
        return _is_closed(connection, self._state)

    def of(self, wanted: type) -> type:
        """The class to make where the user asks for the connection class `wanted`."""
        return kit.layered(wanted, self.connection, self._methods, self._known)

    def factory(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The factory to call where the user calls `connect` with these arguments."""
        wanted = args[_FACTORY] if len(args) > _FACTORY else kwargs.get("factory", self.connection)
        if wanted is self._plain:
            return self.connection
        return self.of(wanted) if isinstance(wanted, type) and issubclass(wanted, self._plain) else wanted

    def of_cursor(self, wanted: Any) -> Any:
        """The cursor class to make where the user asks for `wanted`; any other callable stays as it is."""
        base = self.cursor.__mro__[1]
        if not (isinstance(wanted, type) and issubclass(wanted, base)):
            return wanted
        if wanted is base:
            return self.cursor
        return kit.layered(wanted, self.cursor, self._cursor_methods, self._known_cursors)

    def _cursor_methods(self, base: Any) -> dict[str, Any]:
        of_cursor = self._connection_of
        return {name: kit.statement(getattr(base, name), self.ledger, of_cursor, self._state) for name in _SHORTCUTS}

    def _methods(self, base: Any) -> dict[str, Any]:
        """The methods of our layer on `base`: the C class, or a user's class that has no room for a layer below it."""
        ledger, plain, state = self.ledger, self._plain, self._state
        methods: dict[str, Any] = {"__slots__": ("__weakref__", "_whoholds")}
        if base is not plain and "__weakref__" in dir(base):
            methods["__slots__"] = ("_whoholds",)
        for name in _USES:
            if hasattr(base, name):
                methods[name] = kit.used(getattr(base, name), ledger, kit.whoholds_of, state)
        methods["rollback"] = kit.used(base.rollback, ledger, kit.whoholds_of, _rolled_back(state))
        methods["close"] = kit.closing(base.close, ledger, kit.whoholds_of, if_raised=self._is_closed)
        methods["__init__"] = init(base.__init__, ledger.clock, _as_keywords, _opened(self), _not_opened(ledger))
        if base.cursor is plain.cursor:
            methods["cursor"] = making_cursors(base.cursor, self.cursor, self.of_cursor, note_line)
        for name in _SHORTCUTS:
            if getattr(base, name) is getattr(plain, name):
                methods[name] = self._shortcut(base, name)
            else:
                methods[name] = kit.used(getattr(base, name), ledger, kit.whoholds_of, state, sql=True)
        return methods

    def _shortcut(self, base: Any, name: str) -> Any:
        """`Connection.execute` and its like, which in C make a cursor of the plain type and call it."""
        kind = self.cursor if _C_CURSOR else None
        return kit.shortcut(getattr(base, name), kind, note_line, self._run[name])


_C_CURSOR = sys.version_info >= (3, 11)  # since 3.11 the shortcuts do not call the user's `cursor` method


def _as_keywords(args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `connect`, all but the first as keywords, after the deprecation warning at the caller's line.

    From C the warning would blame our frame. Where the call will raise TypeError, the arguments stay as they are, so
    that the error is CPython's own.
    """
    names = _CONNECT[1 : len(args)]
    if not _KEYWORDS_WANTED or len(args) <= 1 or len(args) > len(_CONNECT) or any(name in kwargs for name in names):
        return args, kwargs
    warnings.warn(
        f"Passing more than 1 positional argument to {what}() is deprecated. Parameters "
        "'timeout', 'detect_types', 'isolation_level', 'check_same_thread', "
        "'factory', 'cached_statements' and 'uri' will become keyword-only parameters in Python 3.15.",
        DeprecationWarning,
        stacklevel=2,
    )
    return args[:1], {**dict(zip(names, args[1:], strict=True)), **kwargs}


def _opened(layer: _Layer) -> Callable[..., None]:
    ledger = layer.ledger

    def opened(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Any, began: float) -> None:
        """The connection `self` was opened, or opened again, with these arguments: a handle is opened."""
        if getweakrefcount(self):  # otherwise it is new: a handle would refer to it weakly
            again = getattr(self, "_whoholds", None)
            if again is not None:
                ledger.closed(again)
        path = args[0] if args else kwargs.get("database")
        uri = args[7] if len(args) > 7 else kwargs.get("uri", False)  # noqa: PLR2004 - its place
        handle = ledger.opened(CONNECTION, "sqlite3", where(path, uri=uri), self, frame, began=began)
        handle.probe = probe_of_cursors()
        kept = None
        try:
            if type(self) is layer.connection:
                self._whoholds = handle
                kept = True
            else:  # the user's class may handle attributes in its own way
                kit.keep(self, handle)
                kept = getattr(self, "_whoholds", None) is handle
        finally:
            if not kept:
                ledger.closed(handle, OVER)
                ledger.cannot_watch("sqlite3", failed=kept is None)

    return opened


def _not_opened(ledger: Ledger) -> Callable[..., None]:
    def not_opened(args: tuple[Any, ...], kwargs: dict[str, Any], exc: Raised, began: float) -> None:
        """The connection could not be opened: the failure is reported."""
        if ledger.on_connect_failed is not None:
            kit.connect_failed(ledger, where(args[0] if args else kwargs.get("database"), uri=False), exc, began)

    return not_opened


# Each connection has such a database to itself, so two of them are never the same database.
_MEMORY = Database("sqlite", name=":memory:", private=True)
_TEMPORARY = Database("sqlite", name=":temporary:", private=True)


def where(path: Any, *, uri: Any) -> Database:
    """The Database of a path as `connect` takes it. One in memory belongs to its connection alone, unless it is shared.

    Called in the user's thread: it calls no method of a class of the program's, and does not ask `uri` for its truth.
    """
    kind = type(path)
    if kind is str:
        name = path
    elif issubclass(kind, str):
        name = str.__str__(path)
    elif issubclass(kind, bytes):
        name = os.fsdecode(bytes.__getitem__(path, slice(None)))
    else:
        return database("sqlite", name="?")
    if name in (":memory:", ""):
        return _MEMORY if name else _TEMPORARY
    if uri is not False and name.startswith("file:"):  # nobody names a file like this unless it is a URI
        file, _, query = name[5:].partition("#")[0].partition("?")
        file = _ESCAPED.sub(_unescaped, file) if "%" in file else file
        if "mode=memory" in query or file == ":memory:":
            return database("sqlite", name=f"{file}?mode=memory") if "cache=shared" in query else _MEMORY
        if not file:
            return _TEMPORARY
        name = "/" + file[2:].removeprefix("localhost").lstrip("/") if file.startswith("//") else file
    try:
        return database("sqlite", name=os.path.abspath(name))
    except OSError:  # the working directory is gone
        return database("sqlite", name=name)


_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def _unescaped(match: re.Match[str]) -> str:
    return os.fsdecode(bytes.fromhex(match[0].replace("%", "")))
