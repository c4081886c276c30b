"""aioodbc: its connections, the calls of its cursors, and its pool.

Its work is done by pyodbc in an executor's threads, but it is the task that waits which holds and uses the connection.
This driver therefore watches aioodbc's own calls, and pyodbc's driver leaves the connection below alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._aio_pools import AioLender, for_its_pool, stand_in_pool
from whoholds.drivers._odbc import target
from whoholds.hooks.seams import stands_for
from whoholds.ledger.here import OPENED_ABOVE, opened_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch aioodbc while the block lasts."""
    import aioodbc
    from aioodbc import connection, cursor, pool

    kit.library("aioodbc", aioodbc.__version__)
    base, cursors = connection.Connection, cursor.Cursor
    with kit.open_names() as stand:
        connect = kit.opening_async(base._connect, ledger, "aioodbc", _identify, kit.keep, _target)
        stand(base, "_connect", for_its_pool(connect))
        stand(base, "_execute", kit.around(base._execute, arguments=_unseen))
        stand(base, "close", kit.closing_async(base.close, ledger, kit.whoholds_of, _is_closed))
        for name in ("commit", "rollback", "execute"):
            method = getattr(base, name)
            used = kit.used_async(method, ledger, kit.whoholds_of, _unknown, sql=name == "execute", broke=_broke)
            stand(base, name, used)
        for name in ("execute", "_run_operation"):  # everything that a cursor does passes through the latter
            method = getattr(cursors, name)
            stand(cursors, name, kit.used_async(method, ledger, _of_cursor, _unknown, sql=name == "execute"))
        stand_in_pool(stand, pool.Pool, AioLender(ledger, "aioodbc", "other_sql"))
        yield


_of_cursor = kit.through("_conn", kit.whoholds_of)


def _unseen(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments of `Connection._execute`; where it connects, pyodbc's connection gets no handle of its own."""
    del connection
    function, *rest = args
    if getattr(function, "__name__", "") != "connect":
        return args, kwargs

    def connect(*args: Any, **kwargs: Any) -> Any:
        """Called in the executor's thread, which has a context of its own."""
        opened_for.set(OPENED_ABOVE)
        try:
            return function(*args, **kwargs)
        finally:
            opened_for.set(None)

    return (stands_for(connect, function), *rest), kwargs


def _unknown(_: Any) -> bool:
    return False


def _is_closed(connection: Any) -> bool:
    return bool(connection.closed)


def _broke(connection: Any, _: Raised) -> bool:
    return _is_closed(connection)


def _identify(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Database, None]:
    return _target(connection, args, kwargs), None


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    return target((connection._dsn,), connection._kwargs)
