"""How to ask a server about its connections: with `whoholds server`, and with a query, each on a line to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whoholds.ledger.database import Database

_NO_URL = "DSN"
_OF_PGBOUNCER = ("max_client_conn", "query_wait_timeout")  # settings that its messages name
_WITH_COMMAND = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}  # those that `whoholds server` knows


def how_to_ask(database: Database, what: str, queries: Mapping[str, str]) -> str:
    """`Ask the server {what}, …` with the query for its system out of `queries`, which has `postgresql` and `mysql`."""
    if database.system not in _WITH_COMMAND:
        return f"Ask the server {what}:\n{queries['postgresql']}"
    query = queries[_WITH_COMMAND[database.system]]
    return f"Ask the server {what}, with this command or this query:\nwhoholds server {_dsn(database)}\n{query}"


def how_to_ask_pgbouncer(database: Database) -> str:
    """How to ask a PgBouncer that has refused a connection to `database`: its console is a database of its own."""
    dsn = _dsn(database)
    console = f"{dsn.rpartition('/')[0]}/pgbouncer" if dsn != _NO_URL else "host=… dbname=pgbouncer"
    return (
        "PgBouncer has refused it, and knows which clients hold its connections and which wait. Ask PgBouncer, with "
        f"this command or with SHOW CLIENTS in its console:\nwhoholds server {console}"
    )


def is_pgbouncers(error: str) -> bool:
    """True if PgBouncer has refused a connection with this error, and not the server behind it."""
    return any(word in error for word in _OF_PGBOUNCER)


def _dsn(database: Database) -> str:
    is_url = not database.host.startswith("/") and "***" not in str(database)
    return str(database) if is_url else _NO_URL
