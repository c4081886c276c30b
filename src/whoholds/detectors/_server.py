"""How to ask a server about its connections: with `whoholds server`, and with a query, each on a line to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whoholds.ledger.database import Database

_WITH_COMMAND = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}  # those that `whoholds server` knows


def how_to_ask(database: Database, what: str, queries: Mapping[str, str]) -> str:
    """`Ask the server {what}, …` with the query for its system out of `queries`, which has `postgresql` and `mysql`."""
    if database.system not in _WITH_COMMAND:
        return f"Ask the server {what}:\n{queries['postgresql']}"
    is_url = not database.host.startswith("/") and "***" not in str(database)
    dsn = str(database) if is_url else "DSN"
    query = queries[_WITH_COMMAND[database.system]]
    return f"Ask the server {what}, with this command or this query:\nwhoholds server {dsn}\n{query}"
