"""mariadb, MariaDB's own connector: `Connection.__init__`, the calls of its cursors, and its pool.

A connection of a pool goes back by its own `close`. Only the loans are judged.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._loans import LOAN, Lender, take_home
from whoholds.drivers._mysql import identified_by
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger

_USES = ("commit", "rollback", "begin", "ping", "reset", "change_user", "select_db", "show_warnings", "kill")
_STATEMENTS = ("execute", "executemany", "callproc")
_FETCHES = ("fetchone", "fetchmany", "fetchall", "nextset")  # of an unbuffered cursor: rows come from the server
_PORT, _SIZE = 3306, 5  # the library's defaults
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
_LOST = (2006, 2013, 2055)  # CR_SERVER_GONE_ERROR, CR_SERVER_LOST, CR_SERVER_LOST_EXTENDED


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch mariadb while the block lasts."""
    import mariadb

    kit.library("mariadb", mariadb.__version__)
    base, cursor, pools = mariadb.Connection, mariadb.Cursor, mariadb.ConnectionPool
    identify = identified_by(_target, kit.reader(base, "connection_id"))
    status_of = kit.reader(base, "server_status")

    def in_transaction(connection: Any) -> bool:
        return not connection._closed and bool(status_of(connection) & _IN_TRANSACTION)

    def cursors_transaction(cursor: Any) -> bool:
        return in_transaction(cursor._connection)

    lender = _Lender(ledger)
    with kit.open_names() as stand:
        opens = kit.opening(base.__init__, ledger, "mariadb", identify, kit.keep, _target)
        stand(base, "__init__", opens)
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of, _is_closed))
        for name in _USES:
            method = getattr(base, name)
            stand(base, name, kit.used(method, ledger, kit.whoholds_of, in_transaction, broke=_broke))
        for name in (*_STATEMENTS, *_FETCHES):
            method = getattr(cursor, name)
            sql = name in _STATEMENTS
            stand(cursor, name, kit.used(method, ledger, _of_cursor, cursors_transaction, sql=sql, broke=_cursor_broke))
        hooks = {
            "__init__": kit.around(pools.__init__, lender.making),
            "add_connection": kit.around(pools.add_connection, after=lender.stocked),
            "get_connection": lender.lending(pools.get_connection),
            "_close_connection": kit.around(
                pools._close_connection, lender.taking, lender.taken, lender.taken, framed=False
            ),
            "close": kit.around(pools.close, lender.ending, lender.gone, lender.gone),
        }
        for name, ours in hooks.items():
            stand(pools, name, ours)
        yield


_of_cursor = kit.through("_connection", kit.whoholds_of)


def _is_closed(connection: Any) -> bool:
    return bool(connection._closed)


def _broke(connection: Any, exc: Raised) -> bool:
    return getattr(exc, "errno", None) in _LOST and not connection.auto_reconnect


def _cursor_broke(cursor: Any, exc: Raised) -> bool:
    return _broke(cursor._connection, exc)


def _target(_connection: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    def said(*names: str) -> str:
        return next((str(kwargs[name]) for name in names if kwargs.get(name)), "")

    port = None if kwargs.get("unix_socket") else kwargs.get("port") or _PORT
    host = said("host", "unix_socket") or "localhost"
    return database("mysql", said("user", "username"), host, port, said("database", "db"))


class _Lender(Lender):
    """The hooks of a pool, and of the connections that it has lent. Some run while the pool's own lock is held."""

    driver = "mariadb"

    def making(self, theirs: Any, _args: Any, kwargs: dict[str, Any], frame: FrameType | None) -> None:
        """Before the constructor, which opens all connections. Bad arguments are the library's to refuse."""
        size = kwargs.get("pool_size", _SIZE)
        if type(size) is int and size > 0:
            pool = self.ledger.pool_made(theirs, kwargs.get("pool_name"), frame, size, "mysql")
            pool.idle_min = size
            theirs._whoholds_pool = pool

    def stocked(self, theirs: Any, _kept: Any, connection: Any, _frame: Any) -> None:
        """The pool has a new connection."""
        take_home(connection.__dict__.get("_whoholds"), self.pool_of(theirs))

    def ran_out(self, theirs: Any, exc: Raised, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the pool had no connection left. These pools give or refuse at once."""
        del theirs, args, kwargs
        return type(exc).__name__ == "PoolError"

    def lent(self, theirs: Any, loan: Handle, connection: Any) -> None:
        """A loan is opened. The borrower gets the connection itself, which the pool keeps in its list of lent ones."""
        del theirs
        handle = connection.__dict__.get("_whoholds")
        setattr(connection, LOAN, loan)
        self.ledger.lent(loan, connection, handle, self.driver)

    def taking(self, _theirs: Any, args: tuple[Any, ...], _kwargs: Any, _frame: Any) -> Any:
        """A loan is about to come back, by the connection's own `close`. Returns the connection and its loan."""
        loan = self.loan_of(args[0])
        if loan is not None:
            loan.settle()
        return args[0], loan

    def taken(self, _theirs: Any, kept: Any, _result: Any, _frame: Any) -> None:
        """It came back, or its connection was replaced by another. Another thread may have borrowed it since."""
        if kept is not None:
            self.back_of(*kept)

    def ending(self, theirs: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        """The pool is about to close what it has lent, whose loans are over with that."""
        for connection in list(theirs._connections_used):
            self.back(connection.__dict__.pop(LOAN, None))

    def gone(self, theirs: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """The pool was closed."""
        pool = self.pool_of(theirs)
        if pool is not None:
            self.ledger.pool_gone(pool)
