"""asyncpg: its connections and its pools. Loans are judged; a pool's idle stock belongs to its constructor's line.

asyncpg's objects take no attribute of ours, and its pool no weak reference: handles are found by the connection's id.
"""

from __future__ import annotations

from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from whoholds.drivers import _tags, kit
from whoholds.drivers._loans import Lender, take_home
from whoholds.ledger.adoptable import Adoptable, AdoptableStock, Keepers, Place
from whoholds.ledger.database import Database, database
from whoholds.ledger.here import OpenedFor, opened_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.ledger import Ledger

_STATEMENTS = ("execute", "_execute", "_executemany", "_get_statement", "_copy_in", "_copy_out")  # fetch: `_execute`
_USES = ("copy_records_to_table", "reload_schema_state", "reset")
_CURSOR = ("_bind_exec", "_bind", "_exec", "_close_portal")

_known = kit.Known()  # of the process, because a watch sees the uses of what was opened in the one before


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch asyncpg while the block lasts."""
    import asyncpg
    from asyncpg import connect_utils, connection, cursor, pool, prepared_stmt

    kit.library("asyncpg", asyncpg.__version__)
    base, statement = connection.Connection, prepared_stmt.PreparedStatement
    known = _known

    def inner(method: Any) -> Any:
        return kit.used_async(
            method,
            ledger,
            lambda one: known.of(one._connection),
            _inners_transaction,
            sql=attrgetter("_query"),
            broke=_inner_broke,
        )

    with kit.open_names() as stand:
        stand(base, "__init__", kit.opening(base.__init__, ledger, "asyncpg", _identify, known.put))
        connect = _tags.in_server_settings(connect_utils._connect, ledger)
        stand(connect_utils, "_connect", kit.timed_connect_async(connect, ledger, known.of, _target))
        if "__del__" in vars(base):  # it closes a forgotten connection, through `_cleanup`
            stand(base, "__del__", kit.around(base.__del__, before=_dropping(ledger, known)))
        # `_cleanup` is the end of close, terminate and abort; it may be interrupted before ours is in it
        stand(base, "_cleanup", kit.closing(base._cleanup, ledger, known.of, if_raised=_is_closed))
        stand(base, "close", kit.closing_async(base.close, ledger, known.of, _is_closed))
        stand(base, "terminate", kit.closing(base.terminate, ledger, known.of, _is_closed))
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
        stand(base, "add_listener", kit.around_async(base.add_listener, after=_listening(ledger, known), framed=False))
        lender = _Lender(ledger, known)
        ledger.keepers["asyncpg"] = Keepers(known.put)
        ledger.keepers["asyncpg.pool"] = Keepers(pool=lender.keep_pool, loan=lender.keep_loan, lent=lender.loan_at)
        hooks = {
            "__init__": kit.around(pool.Pool.__init__, after=lender.made),
            "_initialize": kit.around_async(pool.Pool._initialize, after=lender.initialized),
            "_get_new_connection": kit.around_async(
                pool.Pool._get_new_connection, lender.stocking, lender.stocked, lender.not_stocked
            ),
            "_acquire": lender.lending(pool.Pool._acquire, awaited=True),
            "close": kit.around_async(pool.Pool.close, after=lender.gone, failed=lender.gone),
            "terminate": kit.around(pool.Pool.terminate, after=lender.gone, failed=lender.gone),
        }
        for name, ours in hooks.items():
            stand(pool.Pool, name, ours)
        holder = pool.PoolConnectionHolder
        stand(holder, "release", kit.around_async(holder.release, lender.settling, framed=False))
        stand(holder, "_release", kit.around(holder._release, lender.taking, framed=False))
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before."""
    from asyncpg.connection import Connection

    return Adoptable("asyncpg", (Connection,), lambda one: _identify(one, (), {}), _is_closed, _in_transaction)


def adoptable_stock() -> AdoptableStock:
    """How to read pools that were there before: each connection has a holder, which knows whether it is lent."""
    from asyncpg.pool import PoolConnectionHolder

    def places(holder: Any) -> Iterator[Place]:
        if (connection := holder._con) is not None:  # once: another thread may close it
            yield Place(holder._pool, connection, lent=not holder.is_idle(), at=holder)

    return AdoptableStock(
        "asyncpg.pool",
        (PoolConnectionHolder,),
        places,
        lambda theirs: (theirs._minsize, theirs._maxsize),
        "postgresql",
    )


def _dropping(ledger: Ledger, known: kit.Known) -> Any:
    """A hook to run before `Connection.__del__`: the connection counts as dropped, for the program never closed it."""

    def dropping(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Any) -> None:
        del args, kwargs, frame
        handle = known.found(self)
        if handle is not None:
            ledger.dropped(handle)

    return dropping


def _listening(ledger: Ledger, known: kit.Known) -> Any:
    """A hook to run after `add_listener`: the connection waits for notifications, whatever else runs on it."""

    def listening(self: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        handle = known.found(self)
        if handle is not None:
            handle.listens_since = ledger.clock()

    return listening


def _in_transaction(connection: Any) -> bool:
    protocol = connection._protocol
    return protocol is not None and bool(protocol.is_in_transaction())


def _inners_transaction(inner: Any) -> bool:
    return _in_transaction(inner._connection)


def _is_closed(connection: Any) -> bool:
    return bool(connection.is_closed())


def _broke(connection: Any, _: Raised) -> bool:
    return bool(connection.is_closed())


def _inner_broke(inner: Any, _: Raised) -> bool:
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


class _Lender(Lender):
    """The hooks of the pools, which are found by id, and of the connections that they have lent."""

    driver = "asyncpg"
    # of the process, because a watch finds the pools and loans of the one before
    _loans: ClassVar[dict[int, Handle]] = {}  # by the id of a place in the pool: the loan that is out
    _pools: ClassVar[dict[int, Pool]] = {}  # by id; a new pool with the id of an old pool replaces it here

    def __init__(self, ledger: Ledger, known: kit.Known) -> None:
        super().__init__(ledger)
        self._known = known

    def pool_of(self, theirs: Any) -> Pool | None:
        """The ledger's Pool for the library's pool `theirs`, or None; found by its id, for it takes no attribute."""
        return self._pools.get(id(theirs))

    def made(self, theirs: Any, _kept: Any, _result: Any, frame: FrameType | None) -> None:
        """The constructor has returned: the pool is entered in the ledger, with its sizes."""
        pool = self.ledger.pool_made(theirs, None, frame, theirs._maxsize, "postgresql")
        pool.idle_min = theirs._minsize
        self._pools[id(theirs)] = pool

    def initialized(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool has its queue, which lives as long as the pool and, unlike it, takes a weak reference."""
        pool = self.pool_of(theirs)
        if pool is not None:
            self.ledger.pool_goes_with(pool, theirs._queue)

    def keep_pool(self, theirs: Any, pool: Pool) -> None:
        """Remember a pool that was there before the start."""
        self.ledger.pool_goes_with(pool, theirs._queue)
        self._pools[id(theirs)] = pool

    def keep_loan(self, place: Place, loan: Handle) -> None:
        """Remember a loan that was out before the start."""
        self._loans[id(place.at)] = loan

    def loan_at(self, place: Place) -> Handle | None:
        """The loan of that place."""
        return self._loans.get(id(place.at))

    def stocking(self, theirs: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The connection that is opened next belongs to the pool and to the line of the pool's constructor."""
        pool = self.pool_of(theirs)
        if pool is not None:
            opened_for.set(OpenedFor(None, pool.origin, pool))

    def stocked(self, theirs: Any, _kept: Any, connection: Any, _frame: Any) -> None:
        """The connection is open, and is marked as at home in its pool."""
        opened_for.set(None)
        handle = self._known.found(connection)
        if handle is not None and handle.pool is None:  # not the first host that answered
            take_home(handle, self.pool_of(theirs))

    def not_stocked(self, _theirs: Any, _kept: Any, _exc: Any, _frame: Any) -> None:
        """The connection could not be opened."""
        opened_for.set(None)

    def ran_out(self, theirs: Any, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the pool had no connection left. A slow connect raises a bare TimeoutError, too.

        So the pool ran out only if its queue of idle connections is empty.
        """
        timeout = args[0] if args else kwargs.get("timeout")
        return timeout is not None and type(exc).__name__ == "TimeoutError" and bool(theirs._queue.empty())

    def database_of(self, theirs: Any, pool: Pool) -> Database:
        """The database of the pool's first loan, or PostgreSQL without a name where nothing is lent."""
        del theirs
        lent = [loan.database for loan in list(self._loans.values()) if loan.pool is pool]
        return lent[0] if lent else database("postgresql")

    def lent(self, theirs: Any, loan: Handle, proxy: Any) -> None:
        """The borrower gets a proxy of the connection; the loan is stored by the place that the proxy came from."""
        del theirs
        connection = proxy._con
        handle = self._known.found(connection)
        if handle is not None:
            self._loans[id(proxy._holder)] = loan
            self.ledger.lent(loan, connection, handle, self.driver)

    def settling(self, holder: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The borrower gives the connection back: the reset that follows is the pool's use, not the borrower's."""
        loan = self._loans.get(id(holder))
        if loan is not None:
            loan.settle()

    def taking(self, holder: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The loan ends. Every way back to the pool passes here, also that of a connection that broke."""
        loan = self._loans.pop(id(holder), None)
        if loan is not None:
            self.back(loan)

    def gone(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool was closed or terminated: the ledger counts it as gone."""
        pool = self.pool_of(theirs)
        if pool is not None and theirs._closed:
            self._pools.pop(id(theirs), None)
            self.ledger.pool_gone(pool)
