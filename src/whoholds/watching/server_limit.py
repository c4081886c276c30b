"""WHOHOLDS_ASK_SERVER=1: asks each server, on the program's first connection to it, how many it allows this user.

This query and those of `others` are the only statements that whoholds ever sends, and only with that setting. It runs
in the user's thread, right after the connect, and must not leave a transaction open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.ledger.handle import Handle

# The smallest of the limits of the server, the role and the database, without the slots reserved for superusers.
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
    """The function that the ledger calls in the user's thread with each new connection. It never raises.

    It fills `answers`: server → number of connections that the server allows, or 0 if not known.
    """

    def ask(handle: Handle, connection: Any) -> None:
        server = handle.database.server
        query = _QUERIES.get(handle.database.system)
        if query is None or server in answers or _asynchronous(connection):
            return
        answers[server] = 0  # each server is asked once, even if it does not answer
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
    """True if calls on the connection would have to be awaited or polled."""
    return "Async" in type(connection).__name__ or bool(getattr(connection, "async_", False))
