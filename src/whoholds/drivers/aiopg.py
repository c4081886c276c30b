"""aiopg: its connections and its pools. Loans are judged; a pool's idle stock belongs to its constructor's line.

Below each of aiopg's connections is one of psycopg2's, which sends a statement and returns before the answer is there.
This driver therefore watches aiopg's own calls, and psycopg2's driver makes no handle of the connection below.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.drivers._loans import LOAN, Asked, Lender
from whoholds.ledger.database import database
from whoholds.ledger.here import OPENED_ABOVE, OpenedFor, opened_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle, Pool
    from whoholds.ledger.ledger import Ledger

_IDLE_IN_TRANSACTION = (2, 3)  # libpq's INTRANS and INERROR

# The pool for whose stock this task connects now.
_filling: ContextVar[Pool | None] = ContextVar("whoholds_filling", default=None)


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch aiopg while the block lasts."""
    import aiopg
    from aiopg import connection, pool

    kit.library("aiopg", aiopg.__version__, "1.3", "2")
    base, cursor, pools = connection.Connection, connection.Cursor, pool.Pool
    lender = _Lender(ledger)
    with kit.open_names() as stand:
        begin = _tags.for_pool(base.__init__, ledger, lambda _: _filling.get())
        stand(base, "__init__", kit.around(begin, _connecting, _begun, _not_begun))
        stand(base, "_connect", kit.opening_async(base._connect, ledger, "aiopg", _identify, kit.keep, _target))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of, if_raised=_is_closed))
        stand(base, "__del__", kit.around(base.__del__, before=_dropping(ledger)))  # it closes a forgotten connection
        for name in ("execute", "callproc"):
            method = getattr(cursor, name)
            stand(cursor, name, kit.used_async(method, ledger, _of_cursor, _in_transaction, sql=True, broke=_broke))
        hooks = {
            "__init__": kit.around(pools.__init__, after=lender.made),
            "_fill_free_pool": kit.around_async(
                pools._fill_free_pool, lender.filling, lender.filled, lender.not_filled
            ),
            "_acquire": lender.lending(pools._acquire, awaited=True),
            "release": kit.around(pools.release, lender.taking, lender.taken, lender.not_taken),
            "terminate": kit.around(pools.terminate, lender.terminating),
            "wait_closed": kit.around_async(pools.wait_closed, after=lender.gone, failed=lender.gone),
        }
        for name, ours in hooks.items():
            stand(pools, name, ours)
        yield


def _connecting(_connection: Any, _args: Any, _kwargs: Any, _frame: Any) -> bool:
    """The constructor runs, in which psycopg2 begins to connect."""
    opened_for.set(OPENED_ABOVE)
    return True


def _begun(_connection: Any, _kept: Any, _result: Any, _frame: Any) -> None:
    """The constructor has returned; `_connect` follows in this task, and opens the handle."""
    pool = _filling.get()
    opened_for.set(OpenedFor(None, pool.origin, pool) if pool is not None else None)


def _not_begun(_connection: Any, _kept: Any, _exc: Any, _frame: Any) -> None:
    """The constructor raised."""
    opened_for.set(None)


def _dropping(ledger: Ledger) -> Any:
    """A hook to run before `Connection.__del__`: the connection counts as dropped, for the program never closed it."""

    def dropping(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Any) -> None:
        del args, kwargs, frame
        handle: Handle | None = connection.__dict__.get("_whoholds")
        if handle is not None:
            ledger.dropped(handle)

    return dropping


def _identify(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    info = connection._conn.info
    where = database("postgresql", info.user or "", info.host or "", info.port or None, info.dbname or "")
    return where, info.backend_pid or None


def _target(connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Database:
    from psycopg2.extensions import parse_dsn

    return kit.postgres_target(parse_dsn(connection._dsn))


_of_cursor = kit.through("_conn", kit.whoholds_of)


def _in_transaction(cursor: Any) -> bool:
    connection = cursor._conn._conn
    return not connection.closed and connection.get_transaction_status() in _IDLE_IN_TRANSACTION


def _is_closed(connection: Any) -> bool:
    return bool(connection.closed)


def _broke(cursor: Any, _: Raised) -> bool:
    return bool(cursor._conn.closed)


class _Lender(Lender):
    """The hooks of the pools, and of the connections that they have lent."""

    driver = "aiopg"

    def made(self, theirs: Any, _kept: Any, _result: Any, frame: FrameType | None) -> None:
        """The constructor has returned: the pool is entered in the ledger, with its sizes."""
        pool = self.ledger.pool_made(theirs, type(theirs).__name__, frame, theirs.maxsize, "postgresql")
        pool.idle_min = theirs.minsize
        theirs._whoholds_pool = pool

    def filling(self, theirs: Any, _args: Any, _kwargs: Any, _frame: Any) -> bool:
        """What this task connects next belongs to the pool and to the line of the pool's constructor."""
        _filling.set(self.pool_of(theirs))
        return True

    def filled(self, _theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool has the connections that it wanted, or none could be opened."""
        _filling.set(None)
        opened_for.set(None)

    not_filled = filled

    def ran_out(self, theirs: Any, exc: Raised, asked: Asked) -> bool:
        """Whether the pool had no connection left. A slow connect raises the same TimeoutError."""
        del asked
        most = theirs.maxsize
        return type(exc).__name__ == "TimeoutError" and bool(most) and len(theirs._used) >= most

    def lent(self, theirs: Any, pool: Pool, connection: Any, asked: Asked, frame: FrameType | None) -> None:
        """A loan is opened. The borrower gets the connection itself, which the pool keeps in its set of lent ones."""
        del theirs
        handle: Handle | None = connection.__dict__.get("_whoholds")
        setattr(connection, LOAN, self.lend(connection, handle, pool, frame, asked.request))

    def taking(self, _theirs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _frame: Any) -> Any:
        """A loan is about to come back. Returns the connection and its loan."""
        connection = args[0] if args else kwargs.get("conn")
        loan = self.loan_of(connection)
        if loan is not None:
            loan.settle()
        return connection, loan

    def taken(self, _theirs: Any, kept: Any, _result: Any, _frame: Any) -> None:
        """It came back."""
        if kept is not None and kept[1] is not None:
            self.back(kept[0].__dict__.pop(LOAN, None))

    def not_taken(self, theirs: Any, kept: Any, _exc: Any, frame: Any) -> None:
        """The pool would not take it, as another pool's; or it had, and a signal's handler raised after that."""
        if kept is None:
            return
        connection, loan = kept
        if loan is not None and (connection.closed or connection in theirs._free):
            self.taken(theirs, kept, None, frame)
        else:
            self.still_out(loan)

    def terminating(self, theirs: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The pool is about to close what it has lent, whose loans are over with that."""
        for connection in list(theirs._used):
            self.back(connection.__dict__.pop(LOAN, None))

    def gone(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """`wait_closed` has ended: the ledger counts the pool as gone if it is closed."""
        pool = self.pool_of(theirs)
        if pool is not None and theirs.closed:
            self.ledger.pool_gone(pool)
