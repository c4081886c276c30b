"""asyncpg: its connections and its pools, whose loans are judged and whose stock is their constructor's line.

Its objects take no attribute of ours, and the pool no weak reference: handles are found by the connection's id.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from weakref import ref

from whoholds.drivers import kit
from whoholds.drivers._loans import lend
from whoholds.hooks.seams import stands_for
from whoholds.ledger.database import Database, database
from whoholds.ledger.here import OpenedFor, opened_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.handle import Pool, Request
    from whoholds.ledger.ledger import Ledger

_STATEMENTS = ("execute", "_execute", "_executemany", "_get_statement")  # fetch and its like end in `_execute`
_USES = ("_copy_in", "_copy_out", "copy_records_to_table", "reload_schema_state", "reset")
_CURSOR = ("_bind_exec", "_bind", "_exec", "_close_portal")


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch asyncpg while the block lasts."""
    import asyncpg
    from asyncpg import connect_utils, connection, cursor, pool, prepared_stmt

    kit.library("asyncpg", asyncpg.__version__, "0.29", "1")
    base, statement = connection.Connection, prepared_stmt.PreparedStatement
    known = kit.Known()

    def inner(method: Any) -> Any:
        return kit.used_async(
            method, ledger, lambda one: known.of(one._connection), _inners_transaction, broke=_inner_broke
        )

    with kit.open_names() as stand:
        stand(base, "__init__", kit.opening(base.__init__, ledger, "asyncpg", _identify, known.put))
        stand(connect_utils, "_connect", kit.timed_connect_async(connect_utils._connect, ledger, known.of, _target))
        stand(base, "_cleanup", kit.closing(base._cleanup, ledger, known.of))  # the end of close, terminate and abort
        for name in _STATEMENTS:
            method = getattr(base, name)
            stand(base, name, kit.used_async(method, ledger, known.of, _in_transaction, sql=True, broke=_broke))
        for name in _USES:
            stand(base, name, kit.used_async(getattr(base, name), ledger, known.of, _in_transaction, broke=_broke))
        for target, name in (
            (statement, "_PreparedStatement__do_execute"),
            *((cursor.BaseCursor, name) for name in _CURSOR),
        ):
            if name in vars(target):
                stand(target, name, inner(vars(target)[name]))
        loans = _Loans(ledger, known)
        stand(pool.Pool, "__init__", loans.making(pool.Pool.__init__))
        stand(pool.Pool, "_initialize", loans.initializing(pool.Pool._initialize))
        stand(pool.Pool, "_get_new_connection", loans.stocking(pool.Pool._get_new_connection))
        stand(pool.Pool, "_acquire", loans.lending(pool.Pool._acquire))
        stand(pool.PoolConnectionHolder, "_release", loans.taking(pool.PoolConnectionHolder._release))
        stand(pool.Pool, "close", loans.closing(pool.Pool.close))
        stand(pool.Pool, "terminate", loans.terminating(pool.Pool.terminate))
        yield


def _in_transaction(connection: Any) -> bool:
    protocol = connection._protocol
    return protocol is not None and bool(protocol.is_in_transaction())


def _inners_transaction(inner: Any) -> bool:
    return _in_transaction(inner._connection)


def _broke(connection: Any, _: BaseException) -> bool:
    return bool(connection.is_closed())


def _inner_broke(inner: Any, _: BaseException) -> bool:
    return bool(inner._connection.is_closed())


def _identify(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    address, params = connection._addr, connection._params
    host, port = address[:2] if isinstance(address, tuple) else (str(address).rpartition("/")[0], None)
    return database(
        "postgresql", params.user or "", str(host), port, params.database or ""
    ), connection.get_server_pid()


def _target(_: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    said = {name: value for name, value in kwargs.items() if value is not None}
    dsn = urlsplit(said.get("dsn") or "")
    if dsn.scheme in ("postgres", "postgresql"):
        named = (dsn.username, dsn.hostname, dsn.port, dsn.path[1:])
        for name, value in zip(("user", "host", "port", "database"), named, strict=True):
            said.setdefault(name, unquote(value) if isinstance(value, str) else value)
    return kit.postgres_target({"host": "localhost", **said})


class _Loans:
    """The pools, by id, and the connections that they have lent."""

    def __init__(self, ledger: Ledger, known: kit.Known) -> None:
        self._ledger = ledger
        self._known = known
        self._loans = kit.Known()
        self._pools: dict[int, Pool] = {}  # a new pool at an old one's place replaces it

    def making(self, original: Any) -> Any:
        """For `Pool.__init__`."""

        def __init__(pool: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
            try:
                original(pool, *args, **kwargs)
                made = self._ledger.pool_made(pool, type(pool).__name__, sys._getframe(1), pool._maxsize, "postgresql")
                made.idle_min = pool._minsize
                self._pools[id(pool)] = made
            except BaseException:
                del pool, args, kwargs
                raise

        return stands_for(__init__, original)

    def initializing(self, original: Any) -> Any:
        """For `Pool._initialize`, which makes the queue: it lives as long as the pool and takes a weak reference."""

        async def _initialize(pool: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = await original(pool, *args, **kwargs)
                made = self._pools.get(id(pool))
                if made is not None:
                    made.ref = ref(pool._queue, lambda _: self._ledger.pool_gone(made))
            except BaseException:
                del pool, args, kwargs
                raise
            return result

        return stands_for(_initialize, original)

    def stocking(self, original: Any) -> Any:
        """For `Pool._get_new_connection`: what it opens is the pool's."""

        async def _get_new_connection(pool: Any, *args: Any, **kwargs: Any) -> Any:
            made = self._pools.get(id(pool))
            if made is not None:
                opened_for.set(OpenedFor(None, made.origin, made))
            try:
                connection = await original(pool, *args, **kwargs)
            except BaseException:
                del pool, args, kwargs
                raise
            finally:
                opened_for.set(None)
            try:
                handle = self._known.of(connection)
            except KeyError:
                return connection
            if handle.pool is None:  # not the first host that answered
                handle.pool, handle.at_home = made, made is not None
            return connection

        return stands_for(_get_new_connection, original)

    def lending(self, original: Any) -> Any:
        """For `Pool._acquire`."""

        async def _acquire(pool: Any, timeout: Any, *args: Any, **kwargs: Any) -> Any:
            made = self._pools.get(id(pool))
            request = self._ledger.asks(made, sys._getframe(1))
            try:
                proxy = await original(pool, timeout, *args, **kwargs)
            except BaseException as exc:
                if made is not None and timeout is not None:
                    self._refused(pool, made, exc, request)
                del pool, timeout, args, kwargs, exc
                raise
            finally:
                request.answered()
            if made is not None:
                self._lent(proxy._con, made, request)
            return proxy

        return stands_for(_acquire, original)

    def _refused(self, pool: Any, made: Pool, exc: BaseException, request: Request) -> None:
        """A bare TimeoutError is also what a slow connect gives: the pool ran out only if nothing is at home."""
        if type(exc).__name__ == "TimeoutError" and pool._queue.empty():
            made.timeouts += 1
            lent = [handle.database for handle in self._loans.handles() if handle.pool is made]
            where = lent[0] if lent else database("postgresql")
            self._ledger.refused(exc, where, None, pool=made, request=request)

    def _lent(self, connection: Any, made: Pool, request: Request) -> None:
        try:
            handle = self._known.of(connection)
        except KeyError:
            return
        self._loans.put(connection, lend(self._ledger, "asyncpg", connection, handle, made, None, request=request))

    def taking(self, original: Any) -> Any:
        """For `PoolConnectionHolder._release`, which every way back passes, also that of a connection that broke."""

        def _release(holder: Any, *args: Any, **kwargs: Any) -> Any:
            loan = self._loans.pop(holder._con)
            if loan is not None:
                if loan.parent is not None:
                    loan.parent.at_home = True
                self._ledger.closed(loan)
            return original(holder, *args, **kwargs)

        return stands_for(_release, original)

    def closing(self, original: Any) -> Any:
        """For `Pool.close`."""

        async def close(pool: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return await original(pool, *args, **kwargs)
            finally:
                self._gone(pool)
                del pool, args, kwargs

        return stands_for(close, original)

    def terminating(self, original: Any) -> Any:
        """For `Pool.terminate`."""

        def terminate(pool: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(pool, *args, **kwargs)
            finally:
                self._gone(pool)
                del pool, args, kwargs

        return stands_for(terminate, original)

    def _gone(self, pool: Any) -> None:
        made = self._pools.get(id(pool))
        if made is not None and pool._closed:
            self._pools.pop(id(pool), None)
            self._ledger.pool_gone(made)
