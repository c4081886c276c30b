"""Any other DB-API 2.0 module: its `connect` gives a `wrapt.ObjectProxy` that stands before the connection.

For types that allow nothing better (pyodbc, pymssql, …). `isinstance` sees the real class; checks in C do not, and
every call pays for the proxy: about 0.7 µs.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers.kit import called, connect_failed, is_refusal, noticed, replace, stands_for
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import ModuleType

    from whoholds.ledger.ledger import Ledger

_CURSOR_CALLS = ("execute", "executemany", "callproc")
_CONNECTION_CALLS = ("commit", "rollback")
_FETCHES = ("fetchone", "fetchmany", "fetchall", "nextset")


def driver_for(module: ModuleType, system: str = "") -> Callable[[Ledger], AbstractContextManager[None]]:
    """A driver that watches `module`. Raises TypeError where the module has no `connect`."""
    if not callable(getattr(module, "connect", None)):
        raise TypeError(f"watch_module({module!r}): it takes a DB-API 2.0 module, with a connect function")

    def driver(ledger: Ledger) -> AbstractContextManager[None]:
        return watching(ledger, module, system or module.__name__)

    return driver


@contextmanager
def watching(ledger: Ledger, module: ModuleType, system: str) -> Iterator[None]:
    """Watch `module` while the block lasts."""
    never_blame(module.__name__.partition(".")[0])
    make = _proxies(ledger)
    restore = replace(module, "connect", _connect(ledger, module.__name__, system, module.connect, make))
    try:
        yield
    finally:
        restore()


def _connect(ledger: Ledger, driver: str, system: str, original: Any, make: Callable[..., Any]) -> Any:
    clock = ledger.clock

    def connect(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        where = _where(system, args, kwargs)
        try:
            connection = original(*args, **kwargs)
        except BaseException as exc:
            if is_refusal(exc):
                ledger.refused(exc, where, sys._getframe(1))
            connect_failed(ledger, where, exc, began)
            del args, kwargs, exc
            raise
        proxy = make(connection)
        proxy._self_handle = ledger.opened(CONNECTION, driver, where, proxy, sys._getframe(1), began=began)
        return proxy

    return stands_for(connect, original)


def _where(system: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    """From the keywords that DB-API drivers have in common; a connection string is not taken apart."""
    port = kwargs.get("port")
    name = kwargs.get("database") or kwargs.get("db") or kwargs.get("dbname") or ""
    if not kwargs and len(args) == 1 and isinstance(args[0], str) and "=" not in args[0] and ";" not in args[0]:
        name = args[0]
    user, host = kwargs.get("user") or kwargs.get("uid") or "", kwargs.get("host") or kwargs.get("server") or ""
    return database(system, str(user), str(host), port if isinstance(port, int) else None, str(name))


def _proxies(ledger: Ledger) -> Callable[[Any], Any]:
    import wrapt

    def handle_of(proxy: Any) -> Any:
        return proxy._self_handle

    def unknown(_: Any) -> bool:
        return False

    def through(name: str, *, sql: bool = False) -> Any:
        def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = getattr(self.__wrapped__, name)(*args, **kwargs)
            except BaseException:
                del self, args, kwargs
                raise
            return self if result is self.__wrapped__ else result

        forward.__name__ = name
        return noticed(forward, ledger, handle_of, unknown, sql=sql)

    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.__wrapped__.close(*args, **kwargs)
        except BaseException:
            del self, args, kwargs
            raise

    class Cursor(wrapt.ObjectProxy):  # type: ignore[type-arg,misc,unused-ignore]  # wrapt's types come and go
        def __init__(self, wrapped: Any, connection: Any) -> None:
            super().__init__(wrapped)
            self._self_connection = connection
            self._self_handle = connection._self_handle

        @property
        def connection(self) -> Any:
            return self._self_connection

        def __iter__(self) -> Any:
            return iter(self.__wrapped__)

        def __next__(self) -> Any:
            return next(self.__wrapped__)

        def __enter__(self) -> Any:
            entered = self.__wrapped__.__enter__()
            return self if entered is self.__wrapped__ else entered

    class Connection(wrapt.ObjectProxy):  # type: ignore[type-arg,misc,unused-ignore]  # wrapt's types come and go
        _self_handle: Any = None

        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            return Cursor(self.__wrapped__.cursor(*args, **kwargs), self)

        def __enter__(self) -> Any:
            entered = self.__wrapped__.__enter__()
            return self if entered is self.__wrapped__ else entered

        def __exit__(self, *exc: object) -> Any:
            return self.__wrapped__.__exit__(*exc)

    for name in _CURSOR_CALLS:
        setattr(Cursor, name, through(name, sql=True))
    for name in _FETCHES:
        setattr(Cursor, name, through(name))
    for name in _CONNECTION_CALLS:
        setattr(Connection, name, through(name))
    setattr(Connection, "close", called(close, ledger, handle_of))  # noqa: B010 - the type checker knows no such method
    return Connection
