"""sqlite3: a subclass through `factory`, and in place of the names `Connection` and `Cursor` where nobody has one yet.

It must not touch the database: whether a statement is unread is seen in the object graph, not asked of SQLite.
"""

from __future__ import annotations

import gc
import os
import sys
import types
import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers._seams import (
    Bound,
    called,
    connect_failed,
    layered,
    like,
    noticed,
    rebind,
    replace,
    shortcut,
    stands_for,
)
from whoholds.handle import CONNECTION, Database, Handle, database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.ledger import Ledger

_CONNECT = ("database", "timeout", "detect_types", "isolation_level", "check_same_thread", "factory", "cached_statements", "uri")
_FACTORY = _CONNECT.index("factory")
_SHORTCUTS = ("execute", "executemany", "executescript")
_USES = ("commit", "rollback", "backup", "blobopen", "serialize", "deserialize", "load_extension", "__exit__", "__enter__")
_KEYWORDS_WANTED = sys.version_info >= (3, 12)  # since then more than one positional argument is deprecated


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch sqlite3 while the block lasts."""
    import sqlite3
    from sqlite3 import dbapi2

    plain, plain_cursor, plain_connect = sqlite3.Connection, sqlite3.Cursor, dbapi2.connect
    layer = _Layer(ledger, plain, plain_cursor)
    connect = types.MethodType(_connect(ledger, layer, plain_connect), Bound("sqlite3"))
    with ExitStack() as names:
        for module in (sqlite3, dbapi2):
            names.callback(replace(module, "connect", connect))
            # with these names ours too, direct calls are seen and `type(c) is sqlite3.Connection` holds
            if not _any_alive(plain, plain_cursor):
                names.callback(replace(module, "Connection", layer.connection))
                names.callback(replace(module, "Cursor", layer.cursor))
        names.callback(rebind(plain_connect, connect))
        yield


def _any_alive(*types_: type) -> bool:
    """Whether an object of the C types lives: `isinstance` must not become false for it."""
    return any(type(one) in types_ for one in gc.get_objects())


def _handle_of(connection: Any) -> Handle:
    handle: Handle = connection._whoholds
    return handle


def _handle_of_cursor(cursor: Any) -> Handle:
    handle: Handle = cursor.connection._whoholds
    return handle


class _Layer:
    """Our two classes, between the user's and the C ones, and what was made of the user's own."""

    def __init__(self, ledger: Ledger, connection: type, cursor: type) -> None:
        state: Callable[[Any], bool] = connection.in_transaction.__get__  # type: ignore[attr-defined]
        cursor_state = _cursor_state(state)
        self.ledger = ledger
        self._cursor_methods = {
            name: noticed(getattr(cursor, name), ledger, _handle_of_cursor, cursor_state, sql=True) for name in _SHORTCUTS
        }
        self.cursor = like(cursor, {"__slots__": (), **self._cursor_methods})
        self._methods = self._connection_methods(connection, cursor, state)
        self.connection = like(connection, self._methods)
        self._known: dict[type, type] = {}
        self._known_cursors: dict[type, type] = {}

    def of(self, wanted: type) -> type:
        """The class to make where the user asks for `wanted`."""
        return layered(wanted, self.connection, self._methods, self._known)

    def of_cursor(self, wanted: Any) -> Any:
        """The cursor class to make where the user asks for `wanted`; any other callable as it is."""
        base = self.cursor.__mro__[1]
        if not (isinstance(wanted, type) and issubclass(wanted, base)):
            return wanted
        if wanted is base:
            return self.cursor
        return layered(wanted, self.cursor, self._cursor_methods, self._known_cursors)

    def _connection_methods(self, base: Any, cursor: Any, state: Any) -> dict[str, Any]:
        ledger = self.ledger
        methods: dict[str, Any] = {"__slots__": ("__weakref__", "_whoholds")}
        for name in _USES:
            if hasattr(base, name):
                methods[name] = noticed(getattr(base, name), ledger, _handle_of, state)
        methods["close"] = called(base.close, ledger, _handle_of)
        methods["__init__"] = _init(ledger, base.__init__)
        methods["cursor"] = self._cursor_method(base.cursor)
        for name in _SHORTCUTS:
            methods[name] = self._shortcut(base, name)
        return methods

    def _cursor_method(self, original: Any) -> Any:
        def cursor(self_: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                if not args and not kwargs:
                    return original(self_, self.cursor)
                if len(args) == 1 and not kwargs:
                    return original(self_, self.of_cursor(args[0]))
                if not args and len(kwargs) == 1 and "factory" in kwargs:
                    return original(self_, self.of_cursor(kwargs["factory"]))
                return original(self_, *args, **kwargs)
            except BaseException:
                del self_, args, kwargs
                raise

        return stands_for(cursor, original)

    def _shortcut(self, base: Any, name: str) -> Any:
        """`Connection.execute` and its like, which in C make a cursor of the plain type and call it."""
        plain, ours = base.cursor, self.cursor

        def make(connection: Any) -> Any:
            return plain(connection, ours) if _C_CURSOR else connection.cursor()

        return shortcut(getattr(base, name), make, self._cursor_methods[name])


_C_CURSOR = sys.version_info >= (3, 11)  # from then on the shortcuts do not call the user's `cursor` method


def _cursor_state(state: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def in_transaction(cursor: Any) -> bool:
        return state(cursor.connection)

    return in_transaction


def _init(ledger: Ledger, original: Callable[..., None]) -> Any:
    clock = ledger.clock

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
        began = clock()
        try:
            if len(args) > 1 and _KEYWORDS_WANTED:
                kwargs = _as_keywords(args, kwargs, "_sqlite3.Connection", 3)
                args = args[:1]
            original(self, *args, **kwargs)
        except BaseException as exc:
            if ledger.on_connect_failed is not None:
                connect_failed(ledger, where(args[0] if args else kwargs.get("database"), uri=False), exc, began)
            del self, args, kwargs, exc
            raise
        again = getattr(self, "_whoholds", None)
        if again is not None:
            ledger.closed(again)
        path = args[0] if args else kwargs.get("database")
        uri = args[7] if len(args) > 7 else kwargs.get("uri", False)  # noqa: PLR2004 - its place
        handle = ledger.opened(CONNECTION, "sqlite3", where(path, uri=uri), self, sys._getframe(1), began=began)
        handle.probe = unread
        self._whoholds = handle

    return stands_for(__init__, original)


def _as_keywords(args: tuple[Any, ...], kwargs: dict[str, Any], what: str, level: int) -> dict[str, Any]:
    """The call's positional arguments but the first as keywords, and the deprecation said at the caller's line."""
    names = _CONNECT[1 : len(args)]
    if len(args) > len(_CONNECT) or any(name in kwargs for name in names):
        return kwargs  # a TypeError is coming, and it is the library's to raise
    if what:
        warnings.warn(
            f"Passing more than 1 positional argument to {what}() is deprecated. Parameters "
            "'timeout', 'detect_types', 'isolation_level', 'check_same_thread', "
            "'factory', 'cached_statements' and 'uri' will become keyword-only parameters in Python 3.15.",
            DeprecationWarning,
            stacklevel=level,
        )
    return {**dict(zip(names, args[1:], strict=True)), **kwargs}


def _connect(ledger: Ledger, layer: _Layer, original: Callable[..., Any]) -> Any:
    def connect(_: Bound, /, *args: Any, **kwargs: Any) -> Any:
        try:
            if len(args) > 1 and _KEYWORDS_WANTED:
                kwargs = _as_keywords(args, kwargs, "sqlite3.connect", 3)
                args = args[:1] if len(args) <= len(_CONNECT) else args
            wanted = args[_FACTORY] if len(args) > _FACTORY else kwargs.get("factory", layer.connection)
            ours = wanted
            if isinstance(wanted, type) and issubclass(wanted, layer.connection.__mro__[1]):
                ours = layer.connection if wanted is layer.connection.__mro__[1] else layer.of(wanted)
            if len(args) > _FACTORY:
                args = (*args[:_FACTORY], ours, *args[_FACTORY + 1 :])
            else:
                kwargs["factory"] = ours
            made = original(*args, **kwargs)
        except BaseException:
            del args, kwargs
            raise
        if not isinstance(made, layer.connection) and not hasattr(made, "_whoholds"):
            ledger.cannot_watch("sqlite3")
        return made

    return stands_for(connect, original)


def where(path: Any, *, uri: bool) -> Database:
    """The database of a path as `connect` takes it; one in memory is its connection's own, unless it is shared."""
    try:
        name = os.fsdecode(path)
    except TypeError:
        return database("sqlite", name="?")
    if uri and name.startswith("file:"):
        file, _, query = name[5:].partition("?")
        if "mode=memory" in query or file == ":memory:":
            return database("sqlite", name=file) if "cache=shared" in query else Database("sqlite", name=":memory:", private=True)
        name = "/" + file.lstrip("/") if file.startswith("//") else file
    if name in (":memory:", ""):
        return Database("sqlite", name=name or ":temporary:", private=True)
    try:
        return database("sqlite", name=os.path.abspath(name))
    except OSError:  # the working directory is gone
        return database("sqlite", name=name)


def unread(handle: Handle) -> bool:
    """Whether a cursor of this connection has a statement that is not read to its end. Called on the tick.

    A connection refers to a list of weak references to its cursors, and a cursor to its statement until the last
    row is read; following these references calls nothing of SQLite's.
    """
    reference = handle.ref
    if reference is None:
        return False
    for part in gc.get_referents(reference()):
        if type(part) is list:
            for weak in part:
                cursor = weak() if callable(weak) else None
                if cursor is not None and _has_statement(cursor):
                    return True
    return False


def _has_statement(cursor: Any) -> bool:
    return any(type(one).__name__ == "Statement" for one in gc.get_referents(cursor))
