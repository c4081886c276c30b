"""WHOHOLDS_ASK_SERVER=1: what a server allows this user, by one query on the program's first connection to it.

The only statement that whoholds ever sends, and only when asked to. It runs in the program's own thread, right after
its connect, and leaves no transaction behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.ledger.handle import Handle

# The least of what the server, the role and the database allow. Superusers' slots are no one else's.
_POSTGRESQL = """
SELECT min(allowed) FROM (
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS allowed
    UNION ALL SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0
    UNION ALL SELECT datconnlimit FROM pg_database WHERE datname = current_database() AND datconnlimit >= 0
) AS limits
"""
_MYSQL = "SELECT least(@@max_connections, if(@@max_user_connections > 0, @@max_user_connections, @@max_connections))"
_QUERIES = {"postgresql": _POSTGRESQL, "mysql": _MYSQL, "mariadb": _MYSQL}


def asking(answers: dict[str, int]) -> Callable[[Handle, Any], None]:
    """What the ledger calls with each new connection: fills `answers`, server → connections it allows, 0: unknown."""

    def ask(handle: Handle, connection: Any) -> None:
        server = handle.database.server
        query = _QUERIES.get(handle.database.system)
        if query is None or server in answers or _asynchronous(connection):
            return
        answers[server] = 0  # asked once, whatever comes back
        try:
            cursor = connection.cursor()
            try:
                cursor.execute(query)
                (allowed,) = cursor.fetchone()
                answers[server] = max(int(allowed), 0)
            finally:
                cursor.close()
                connection.rollback()
        except Exception:  # noqa: BLE001, S110 - a server that does not answer leaves the limit unknown
            pass

    return ask


def _asynchronous(connection: Any) -> bool:
    """Whether its calls would have to be awaited or polled."""
    return "Async" in type(connection).__name__ or bool(getattr(connection, "async_", False))
