"""A whoholds driver for DuckDB: which line opened each connection, and what is still open.

DuckDB's connection is a C++ type that takes no attribute, so the handles are kept beside the connections. A cursor of
DuckDB's works on its connection's database and holds nothing of its own: what it runs is a use of that connection.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.plugins import Handle, Ledger

STATEMENTS = ("execute", "executemany", "sql", "query")
OTHER_USES = ("begin", "commit", "rollback", "fetchone", "fetchmany", "fetchall", "checkpoint")
MEMORY = ":memory:"


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch DuckDB while the block lasts."""
    import duckdb

    kit.library("duckdb", duckdb.__version__, "1.0", "3", packages=("duckdb", "_duckdb"))
    connection = duckdb.DuckDBPyConnection
    connections, cursors = kit.Known(), kit.Known()

    def handle_of(thing: Any) -> Handle:
        return connections.found(thing) or cursors.of(thing)

    def keep_cursor(self: Any, _kept: Any, cursor: Any, _frame: Any) -> None:
        cursors.put(cursor, handle_of(self))

    bare = duckdb.connect
    connect = kit.connector(bare, ledger, "duckdb", identify, connections.put)
    with kit.open_names() as stand:
        stand(duckdb, "connect", connect)
        stand.at_the_end(kit.rebind(bare, connect))  # `from duckdb import connect`, in modules that came first
        stand(connection, "close", kit.closing(connection.close, ledger, connections.of))
        stand(connection, "cursor", kit.around(connection.cursor, after=keep_cursor))
        for name in (*STATEMENTS, *OTHER_USES):
            method = getattr(connection, name)
            stand(connection, name, kit.used(method, ledger, handle_of, in_transaction, sql=name in STATEMENTS))
        yield


def identify(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[kit.Database, None]:
    """The database that `connect` was asked for, and no server process: DuckDB runs in this one."""
    del connection
    path = str(args[0] if args else kwargs.get("database", MEMORY)) or MEMORY
    if path.startswith(MEMORY):
        return kit.Database("duckdb", name=path, private=path == MEMORY), None
    return kit.database("duckdb", name=str(Path(path).absolute())), None


def in_transaction(_: Any) -> bool:
    """DuckDB does not say without a query whether a transaction is open."""
    return False
