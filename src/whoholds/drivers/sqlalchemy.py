"""SQLAlchemy 1.4 and later: what an engine's pool lends is judged; what the pool has at home is not.

Told by the pools' own events. It replaces only what has no event: that a pool is made or made again, and that
one runs out. It must not keep a session, a connection or a pool: the marks it leaves on them refer weakly.
"""

from __future__ import annotations

import sys
import types
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import kind_of, never_blame
from whoholds.drivers._loans import Pools, asked_with, handle_on, lend
from whoholds.hooks.seams import replace, stands_for, stays_ours
from whoholds.ledger.database import Database, database
from whoholds.ledger.handle import OVER, Handle, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from whoholds.ledger.ledger import Ledger

_OLDEST = (1, 4)
_STOCK = "_whoholds"  # on a pool's record: the handle of its connection
_LOAN = "_whoholds_loan"  # on a pool's record: the loan that is out
_RAN_OUT = "3o7r"  # the code of SQLAlchemy's TimeoutError; it stands in its documentation
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}  # as OpenTelemetry calls them


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch SQLAlchemy while the block lasts. RuntimeError where it is older than 1.4."""
    import sqlalchemy
    from sqlalchemy import event, exc, pool

    version = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2])
    if version < _OLDEST:
        raise RuntimeError(f"SQLAlchemy {sqlalchemy.__version__}: it takes 1.4 or later")
    never_blame("sqlalchemy")
    pools = Pools()
    listeners: dict[str, Callable[..., None]] = {
        "connect": _connected(pools),
        "checkout": _checked_out(ledger, pools, pool),
        "checkin": _checked_in(ledger),
        "detach": _detached(ledger),
    }
    with ExitStack() as names:
        for name, listener in listeners.items():
            event.listen(pool.Pool, name, listener)
            names.callback(_silence, event, pool.Pool, name, listener)
        made = _made(ledger, pools, pool, pool.Pool._should_wrap_creator)
        names.callback(replace(pool.Pool, "_should_wrap_creator", made))
        recreate = _made_again(ledger, pools, pool.QueuePool.recreate)
        names.callback(replace(pool.QueuePool, "recreate", recreate))
        connect = _refusing(ledger, pools, pool.Pool.connect, exc.TimeoutError)
        names.callback(replace(pool.Pool, "connect", connect))
        yield


def _silence(event: Any, target: Any, name: str, listener: Any) -> None:
    if event.contains(target, name, listener):  # else someone has cleared all listeners
        event.remove(target, name, listener)


# --- pools --------------------------------------------------------------------------------------------------


def _made(ledger: Ledger, pools: Pools, module: Any, original: Any) -> Any:
    """Every pool calls this from its constructor; whose signature engines read, so it stays as it is."""

    def _should_wrap_creator(self: Any, creator: Any) -> Any:
        try:
            if self not in pools:
                pools.put(self, _pool_for(ledger, module, self, sys._getframe(1)))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        return original(self, creator)

    return stands_for(_should_wrap_creator, original)


def _pool_for(ledger: Ledger, module: Any, pool: Any, frame: FrameType | None) -> Pool | None:
    """Ours for theirs: none for a NullPool, and one without a key where a pool has one for everyone."""
    if isinstance(pool, module.NullPool):
        return None
    if isinstance(pool, module.StaticPool | module.SingletonThreadPool):
        return Pool(0, type(pool).__name__, (), 0)
    return ledger.pool_made(pool, type(pool).__name__, _asking(frame) if frame is not None else None, None)


def _made_again(ledger: Ledger, pools: Pools, original: Any) -> Any:
    """`Engine.dispose` goes on with a new pool: until that holds something, neither is there."""

    def recreate(self: Any) -> Any:
        again = original(self)
        old, new = pools.of(self), pools.of(again)
        if old is not None and new is not None and new is not old:
            new.origin, new.site = old.origin, old.site
            ledger.pool_gone(old)
            ledger.pool_gone(new)
        return again

    return stands_for(recreate, original)


def _sizes(pool: Any, ours: Pool) -> None:
    """How many a pool may have: known once its constructor is over, and a user may change it."""
    try:
        size, overflow = pool.size(), pool._max_overflow
    except (AttributeError, TypeError):  # none of SQLAlchemy's own queues
        return
    ours.idle_max = size or None
    ours.max = size + overflow if size and overflow >= 0 else None


def _refusing(ledger: Ledger, pools: Pools, original: Any, timeout: type[BaseException]) -> Any:
    def connect(self: Any) -> Any:
        ours = pools.of(self)
        if ours is None:
            try:
                return original(self)
            except BaseException:
                del self
                raise
        request = ledger.asks(ours if ours.key else None, _asking(sys._getframe(1)))
        token = asked_with.set(request)
        try:
            return original(self)
        except timeout as exc:
            if getattr(exc, "code", "") == _RAN_OUT:
                ours.timeouts += 1
                ledger.refused(exc, _database_of(ledger, self, ours), None, pool=ours, request=request)
            del self, exc
            raise
        except BaseException:
            del self
            raise
        finally:
            asked_with.reset(token)
            request.answered()

    return stands_for(_named(connect, original.__globals__["__name__"]), original)


def _named(function: Any, module: str) -> Any:
    """`function` as one of `module`: SQLAlchemy blames a warning on the first frame that is not its own."""
    names = {**function.__globals__, "__name__": module}
    return types.FunctionType(function.__code__, names, function.__name__, None, function.__closure__)


def _database_of(ledger: Ledger, pool: Any, ours: Pool) -> Database:
    for handle in ledger.peek():
        if handle.pool is ours:
            return handle.database
    return _by_dialect(pool)


def _by_dialect(pool: Any) -> Database:
    name = str(getattr(pool._dialect, "name", "") or "other_sql")
    return database(_SYSTEMS.get(name, name))


# --- connections --------------------------------------------------------------------------------------------


def _connected(pools: Pools) -> Callable[[Any, Any], None]:
    def connected(dbapi_connection: Any, connection_record: Any) -> None:
        """The event `connect`: the driver's own handle, judged until now, becomes the pool's."""
        try:
            pool = connection_record._ConnectionRecord__pool
            ours = pools.of(pool)
            driver = getattr(connection_record, "driver_connection", None)  # below an async dialect's own
            handle = handle_on(dbapi_connection if driver is None else driver)
            setattr(connection_record, _STOCK, handle)
            if ours is not None:
                _sizes(pool, ours)
                if handle is not None:
                    handle.pool = ours
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)

    return connected


def _checked_out(ledger: Ledger, pools: Pools, module: Any) -> Callable[[Any, Any, Any], None]:
    def checked_out(dbapi_connection: Any, connection_record: Any, connection_proxy: Any) -> None:
        """The event `checkout`: a loan, opened where the application's code asked for it."""
        del dbapi_connection
        try:
            pool = connection_proxy._pool
            if pool not in pools:  # an engine made before the start: nobody knows by which line
                pools.put(pool, _pool_for(ledger, module, pool, None))
            ours = pools.of(pool)
            if ours is not None:
                _sizes(pool, ours)
                _lend(ledger, ours, connection_record, connection_proxy, sys._getframe(1))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)

    return checked_out


def _lend(ledger: Ledger, ours: Pool, record: Any, fairy: Any, frame: FrameType | None) -> None:
    handle: Handle | None = getattr(record, _STOCK, None)
    before: Handle | None = getattr(record, _LOAN, None)
    if before is not None and before.closed_stamp is None:
        if before.ref is not None and before.ref() is fairy:  # connected anew: a listener found it dead
            if handle is not None:
                before.lent(handle)
                handle.at_home = False
            return
        ledger.closed(before, OVER)  # a StaticPool lends its one connection again without waiting for it
    lender = ours if ours.key else None  # nobody waits for what everyone may have
    where = _by_dialect(fairy._pool) if handle is None else None
    request = asked_with.get()
    if request is None or request.pool is not lender:
        request, frame = None, _asking(frame)
    loan = lend(ledger, "sqlalchemy", fairy, handle, lender, frame, request=request, otherwise=where)
    setattr(record, _LOAN, loan)


def _checked_in(ledger: Ledger) -> Callable[[Any, Any], None]:
    def checked_in(dbapi_connection: Any, connection_record: Any) -> None:
        """The event `checkin`: given back, by the program or, when that has let it go, by its finalizer."""
        del dbapi_connection
        try:
            handle: Handle | None = getattr(connection_record, _STOCK, None)
            if handle is not None and handle.pool is not None:
                handle.at_home = True
            loan: Handle | None = connection_record.__dict__.pop(_LOAN, None)
            if loan is not None:
                ledger.given_back(loan)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)

    return checked_in


def _detached(ledger: Ledger) -> Callable[[Any, Any], None]:
    def detached(dbapi_connection: Any, connection_record: Any) -> None:
        """The event `detach`: the pool knows it no more, and who had borrowed it has to close it."""
        del dbapi_connection
        try:
            handle: Handle | None = connection_record.__dict__.pop(_STOCK, None)
            loan: Handle | None = connection_record.__dict__.pop(_LOAN, None)
            if handle is not None:
                handle.pool = None
                handle.at_home = False
                if loan is not None:
                    handle.origin, handle.site, handle.owner = loan.origin, loan.site, loan.owner
                    handle.scope, handle.context = loan.scope, loan.context
            if loan is not None:
                ledger.closed(loan, OVER)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)

    return detached


def _asking(frame: FrameType | None) -> FrameType | None:
    """The frame from which the application's code is in sight.

    An async engine runs SQLAlchemy's synchronous half in a greenlet, whose frames end where it began: unless
    there is code of the user's (`run_sync`), the awaiting coroutine's frame.
    """
    module = sys.modules.get("greenlet")
    if module is None:
        return frame
    current = module.getcurrent()
    if not getattr(current, "__sqlalchemy_greenlet_provider__", False):
        return frame
    seen = frame
    while seen is not None:
        file = seen.f_code.co_filename
        if file != "<string>" and not kind_of(file):  # SQLAlchemy 2.0 compiles wrappers from strings
            return frame
        seen = seen.f_back
    awaiting: FrameType | None = getattr(current.parent, "gr_frame", None)
    return awaiting or frame
