"""SQLAlchemy 1.4 and later: what an engine's pool lends is judged; what the pool has at home is not.

The driver listens to the pools' own events where a connection is opened or leaves its pool. For what every loan passes
through, the events cost twice as much as replaced calls. It must not keep a session, a connection or a pool alive: what
it stores on them refers to them weakly.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._loans import LOAN, Lender, Pools, handle_on
from whoholds.ledger.adoptable import AdoptableStock, Keepers, Place
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import OVER, Handle, Pool
from whoholds.ledger.ledger import NOWHERE
from whoholds.ledger.origin import nearest_own_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_STOCK = "_whoholds"  # attribute of a pool's record: the handle of its connection
_RAN_OUT = "3o7r"  # the code of SQLAlchemy's TimeoutError, as its documentation gives it
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}  # as OpenTelemetry calls them


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch SQLAlchemy while the block lasts."""
    import sqlalchemy
    from sqlalchemy import engine, event, exc, pool

    kit.library("SQLAlchemy", sqlalchemy.__version__, packages=("sqlalchemy",))
    lender = _Lender(ledger, pool)
    lender.out_of_patience = (exc.TimeoutError,)
    ledger.keepers["sqlalchemy"] = Keepers(pool=lender.keep_pool, stock=_keep_stock, loan=_keep_loan, lent=_lent)
    listeners: dict[str, Callable[..., None]] = {"connect": lender.connected, "detach": lender.detached}
    base, queue, transaction = pool.Pool, pool.QueuePool, engine.RootTransaction
    proxy: Any = vars(pool)["_ConnectionFairy"]
    record: Any = vars(pool)["_ConnectionRecord"]
    with kit.open_names() as stand:
        for name, tell in listeners.items():
            heard = kit.listener(tell, f"sqlalchemy.pool.Pool.{name}")
            event.listen(base, name, heard)
            stand.at_the_end(_silence, event, base, name, heard)
            lender.hears.append(partial(event.contains, base, name, heard))
        # every pool's constructor calls this; engines read the constructor's signature, so it is not replaced
        stand(base, "_should_wrap_creator", kit.around(base._should_wrap_creator, lender.making))
        stand(queue, "recreate", kit.around(queue.recreate, after=lender.made_again))
        checkout = vars(proxy)["_checkout"].__func__  # each `connect` of a pool ends in it
        checkout = kit.lending_by_arguments(checkout, lender.asked, lender.lent, lender.not_lent)
        stand(proxy, "_checkout", classmethod(kit.as_if_in(base.__module__, checkout)))
        stand(proxy, "_reset", kit.around_named(proxy._reset, lender.resetting))
        stand(record, "checkin", kit.around(record.checkin, lender.checking_in, framed=False))
        if ledger.tag is not None:
            name = "_ConnectionRecord__connect"
            stand(record, name, _tags.for_pool(vars(record)[name], ledger, lender.pool_of_record))
        stand(transaction, "_do_close", lender.ending_of_block(transaction._do_close))  # a rollback, at `close`
        yield


def adoptable() -> AdoptableStock:
    """How to read pools that were there before: each connection has a record, which knows whether it is lent."""
    from sqlalchemy import pool

    record_class: Any = vars(pool)["_ConnectionRecord"]

    def places(record: Any) -> Iterator[Place]:
        theirs = record._ConnectionRecord__pool
        if isinstance(theirs, pool.NullPool | pool.StaticPool | pool.SingletonThreadPool):
            return
        connection = getattr(record, "driver_connection", None) or getattr(record, "dbapi_connection", None)
        if connection is not None:
            fairy = record.fairy_ref
            yield Place(theirs, connection, lent=fairy is not None and fairy() is not None, at=record)

    def sizes(theirs: Any) -> tuple[int | None, int | None]:
        pool_ = Pool(0, "", (), None)
        _sizes(theirs, pool_)
        return None, pool_.max

    return AdoptableStock("sqlalchemy", (record_class,), places, sizes, name=_name)


def _name(theirs: Any) -> Any:
    """`pool_logging_name`, where the program has given one."""
    return getattr(theirs, "logging_name", None)


def _keep_stock(place: Place, handle: Handle) -> None:
    setattr(place.at, _STOCK, handle)


def _keep_loan(place: Place, loan: Handle) -> None:
    setattr(place.at, LOAN, loan)


def _lent(place: Place) -> Handle | None:
    return getattr(place.at, LOAN, None)


def _silence(event: Any, target: Any, name: str, listener: Any) -> None:
    if event.contains(target, name, listener):  # otherwise someone has cleared all listeners
        event.remove(target, name, listener)


class _Lender(Lender):
    """The hooks of the pools and the listeners to their events."""

    driver = "sqlalchemy"

    def __init__(self, ledger: Ledger, module: Any) -> None:
        super().__init__(ledger)
        self._module = module
        self._pools = Pools()
        self.hears: list[Callable[[], bool]] = []  # for each of our listeners: whether it is still registered

    # --- pools ------------------------------------------------------------------------------------------------------

    def pool_of(self, theirs: Any) -> Pool | None:
        """The ledger's Pool for the library's pool `theirs`, or None; nothing of ours is stored on a pool."""
        return self._pools.of(theirs)

    def keep_pool(self, theirs: Any, pool: Pool) -> None:
        """Remember a pool that was there before the start."""
        self._pools.put(theirs, pool)

    def pool_of_record(self, record: Any) -> Pool | None:
        """The ledger's Pool that a record, the place of one connection, belongs to; None for a NullPool."""
        return self.pool_of(record._ConnectionRecord__pool)

    def making(self, theirs: Any, _args: Any, _kwargs: Any, frame: FrameType | None) -> None:
        """The pool's constructor runs: the pool is entered in the ledger."""
        if theirs not in self._pools:
            self._pools.put(theirs, self._pool_for(theirs, frame))

    def _pool_for(self, theirs: Any, frame: FrameType | None) -> Pool | None:
        """The ledger's Pool for `theirs`: None for a NullPool; a Pool without a key where all share one connection."""
        if isinstance(theirs, self._module.NullPool):
            return None
        if isinstance(theirs, self._module.StaticPool | self._module.SingletonThreadPool):
            return Pool(0, type(theirs).__name__, (), 0)
        pool = self.ledger.pool_made(theirs, _name(theirs), _awaiting(frame), None)
        if type(theirs) is self._module.QueuePool:  # not the pools of async engines
            pool.spare = self.spare
        return pool

    def spare(self, theirs: Any) -> tuple[Any, Callable[[], None]] | None:
        """One of the records in the queue of a QueuePool, and its connection."""
        queue = theirs._pool
        if queue.qsize() < 2:  # noqa: PLR2004 - one stays for the program
            return None
        record = queue.get(block=False)  # raises if somebody was faster
        return record.dbapi_connection, partial(theirs._do_return_conn, record)

    def made_again(self, theirs: Any, _kept: Any, again: Any, _frame: Any) -> None:
        """`Engine.dispose` has replaced the pool by a new one: until the new pool lends, both count as gone."""
        old, new = self.pool_of(theirs), self.pool_of(again)
        if old is not None and new is not None and new is not old:
            new.origin, new.site = old.origin, old.site
            self.ledger.pool_gone(old)
            self.ledger.pool_gone(new)

    def ran_out(self, theirs: Any, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the pool ran out. SQLAlchemy raises the same class for other reasons: the error's code decides."""
        return super().ran_out(theirs, exc, args, kwargs) and getattr(exc, "code", "") == _RAN_OUT

    def loan_of(self, thing: Any) -> Handle | None:
        """The loan of a transaction."""
        record = getattr(getattr(thing.connection, "_dbapi_connection", None), "_connection_record", None)
        return getattr(record, LOAN, None)

    def database_of(self, theirs: Any, pool: Pool) -> Database:
        """The database of an open connection of the pool; if there is none, only the system that the dialect names."""
        for handle in self.ledger.peek():
            if handle.pool is pool:
                return handle.database
        return _by_dialect(theirs)

    # --- connections: the listeners to the pools' events ------------------------------------------------------------

    def connected(self, dbapi_connection: Any, record: Any, _frame: Any) -> None:
        """The event `connect`: the driver's own handle, judged until now, becomes part of the pool's stock."""
        theirs = record._ConnectionRecord__pool
        pool = self.pool_of(theirs)
        driver = getattr(record, "driver_connection", None)  # below an async dialect's wrapper
        handle = handle_on(dbapi_connection if driver is None else driver)
        setattr(record, _STOCK, handle)
        if pool is not None:
            _sizes(theirs, pool)
            if handle is not None:
                handle.pool = pool

    def asked(self, _proxies: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Any) -> Handle | None:
        """Somebody asks the pool that is the first argument; with a `fairy`, its thread has that one already."""
        if "fairy" in kwargs:
            return None
        theirs = args[0]
        pool = self._pools.of(theirs)
        if pool is None:
            if theirs not in self._pools:  # an engine made before the start, whose line is not known
                pool = self._pool_for(theirs, None)
                self._pools.put(theirs, pool)
            if pool is None:
                return None
        return self.ledger.asks(pool if pool.key else None, _awaiting(frame))

    def not_lent(self, _proxies: Any, loan: Handle | None, exc: Raised, args: tuple[Any, ...], kwargs: Any) -> None:
        """The pool that is the first argument has given nothing."""
        super().not_lent(args[0], loan, exc, args, kwargs)

    def lent(self, _proxies: Any, loan: Handle, fairy: Any) -> None:
        """The pool has lent `fairy`, its own proxy of a connection."""
        pool, theirs, record = loan.pool, fairy._pool, fairy._connection_record
        try:  # `getattr` with a default costs four times as much, and each loan passes here
            handle, before = record._whoholds, record._whoholds_loan
        except AttributeError:
            handle, before = _handles_on(record)
        if before is not None and before.closed_stamp is None:
            if before.ref is not None and before.ref() is fairy:  # the same thread, of a pool that lends it one
                return
            self.ledger.closed(before, OVER)  # a StaticPool lends its one connection again without waiting for it
        if pool is not None and pool.max is None:
            _sizes(theirs, pool)
        if handle is None and not all(hears() for hears in self.hears):  # the connection is judged, as nobody's stock
            return
        record._whoholds_loan = loan
        self.ledger.lent(loan, fairy, handle, self.driver, _by_dialect(theirs) if handle is None else NOWHERE)

    def resetting(self, fairy: Any, _pool: Any) -> None:
        """The loan is coming back: later calls on its connection (a rollback) are the pool's use of it."""
        try:
            loan: Handle | None = fairy._connection_record._whoholds_loan
        except AttributeError:  # a detached connection is closed, and goes back to no pool
            return
        if loan is not None:
            loan.settle()

    def checking_in(self, record: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The program gives the loan back, or the finalizer does for a loan that was dropped."""
        try:
            handle, loan = record._whoholds, record._whoholds_loan
        except AttributeError:
            handle, loan = _handles_on(record)
        if handle is not None and handle.pool is not None:
            handle.at_home = True
        if loan is not None:
            record._whoholds_loan = None
            if loan.ref is not None and loan.ref() is None:
                self.ledger.dropped(loan)
            else:
                self.ledger.closed(loan)

    def detached(self, dbapi_connection: Any, record: Any, _frame: Any) -> None:
        """The event `detach`: the connection leaves its pool, and its borrower must close it.

        The record is back in the pool by now. Another thread may have it, with a connection and a loan of its own.
        """
        handle: Handle | None = getattr(record, _STOCK, None)
        loan: Handle | None = getattr(record, LOAN, None)
        if getattr(record, "dbapi_connection", None) is None:
            setattr(record, _STOCK, None)
            setattr(record, LOAN, None)
        else:
            handle = handle_on(getattr(dbapi_connection, "driver_connection", None) or dbapi_connection)
            loan = loan if loan is not None and loan.parent is handle else None  # else `lent` has ended it
        if handle is not None:
            handle.pool = None
            handle.at_home = False
            if loan is not None:
                handle.origin, handle.site, handle.owner = loan.origin, loan.site, loan.owner
                handle.scope, handle.context = loan.scope, loan.context
        if loan is not None:
            self.ledger.closed(loan, OVER)


def _handles_on(record: Any) -> tuple[Handle | None, Handle | None]:
    """What a pool's record has: the handle of its connection, and the loan that is out. Where one may be missing."""
    return getattr(record, _STOCK, None), getattr(record, LOAN, None)


def _sizes(theirs: Any, pool: Pool) -> None:
    """Notes how many connections a pool may have: known after its constructor, and the user may change it."""
    queue: Any = sys.modules["sqlalchemy.pool"].QueuePool
    if not isinstance(theirs, queue):
        return
    size, overflow = queue.size(theirs), theirs._max_overflow  # not a `size` of the program's, which may take a lock
    pool.idle_max = size or None
    pool.max = size + overflow if size and overflow >= 0 else None


def _by_dialect(pool: Any) -> Database:
    name = str(getattr(pool._dialect, "name", "") or "other_sql")
    return database(_SYSTEMS.get(name, name))


def _awaiting(frame: FrameType | None) -> FrameType | None:
    """The frame from which the application's code can be reached.

    An async engine runs SQLAlchemy's synchronous half in a greenlet, whose frames end where the greenlet began. Unless
    code of the user's runs in it (`run_sync`), the result is the frame of the awaiting coroutine.
    """
    module = sys.modules.get("greenlet")
    if module is None:
        return frame
    current = module.getcurrent()
    if current.parent is None:  # the thread's own greenlet
        return frame
    provides = getattr(current, "__sqlalchemy_greenlet_provider__", False)
    if not provides and type(current).__module__.partition(".")[0] != "sqlalchemy":  # 2.0.0 to 2.0.20: no such mark
        return frame
    if nearest_own_frame(frame) is not None:
        return frame
    awaiting: FrameType | None = getattr(current.parent, "gr_frame", None)
    return awaiting or frame
