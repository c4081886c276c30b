"""PgBouncer's admin console: reads `SHOW VERSION`, `CONFIG`, `DATABASES`, `POOLS`, `CLIENTS` and `SERVERS`.

It knows which client has which connection to the server, and who waits for one. It does not know transactions.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from whoholds.ledger.database import address
from whoholds.servers.state import HOLDING, IDLE, WAITING, Limit, Session, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.servers.target import Target

    Row = dict[str, Any]
    Ask = Callable[[str], list[Row]]

CONSOLE = "pgbouncer"  # the name of the console as a database
_SERVER_STATES = ("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login")
_WHO_KNOWS = "PgBouncer does not know who is idle in a transaction, nor who blocks whom. Ask the server behind it:"
NOT_ALLOWED = "PgBouncer shows its clients only to the users in its settings admin_users and stats_users"


def version_of(may: Callable[[str], list[Row] | None]) -> str:
    """`PgBouncer 1.18.0`; "" if this is a database that is called like the console. `may(sql)` is None if refused."""
    rows = may("SHOW VERSION")
    return str(rows[0]["version"]) if rows else ""


def look(ask: Ask, version: str, target: Target) -> State:
    """The state of PgBouncer, whose slots are those of its clients. `ask(sql)` gives rows by the names of columns."""
    config = {row["key"]: row["value"] for row in ask("SHOW CONFIG")}
    clients, servers = ask("SHOW CLIENTS"), ask("SHOW SERVERS")
    processes = {row["ptr"]: row.get("remote_pid") or 0 for row in servers}
    now = max(_seconds(row["request_time"]) for row in clients)  # the latest request is this one
    sessions = [_session(row, processes, now) for row in clients if row["database"] != CONSOLE]
    slots = int(config["max_client_conn"])
    return State(
        server=version,
        where=target.shown,
        slots=slots,
        used=len(clients),
        reserves=(),
        limits=tuple(_pools(ask, config)),
        sessions=tuple(sessions),
        hidden=0,
        no_transactions=True,
        rights="",
        can_end="",
        noun="client connections",
        order="Who waits for a connection to the server, and who holds them",
        numbered=False,
        remarks=(_WHO_KNOWS, *behind) if (behind := _behind(servers)) else (),
    )


def _session(row: Row, processes: dict[str, int], now: float) -> Session:
    """A client; its `pid` is the process of the server connection that it holds, or 0."""
    link = row["link"]
    state = WAITING if row["state"] == "waiting" else HOLDING if link else IDLE
    waited = row.get("wait", 0) + row.get("wait_us", 0) / 1e6
    since = waited if state == WAITING else now - _seconds(row["request_time"])
    age = now - _seconds(row["connect_time"])
    name = row.get("application_name") or ""
    host = "" if row["addr"] == "unix" else row["addr"]
    return Session(processes.get(link, 0), name, row["user"], row["database"], host, state, since, max(age, 0.0))


def _pools(ask: Ask, config: Row) -> list[Limit]:
    """How many connections to the server each pool may have, which is one for each database and user."""
    sizes = {row["name"]: row["pool_size"] for row in ask("SHOW DATABASES")}
    limits = []
    for row in ask("SHOW POOLS"):
        name = row["database"]
        if name == CONSOLE:
            continue
        mode = row.get("pool_mode") or config.get("pool_mode")
        used = sum(row.get(state, 0) for state in _SERVER_STATES)
        what = f"of {row['user']} to {name} ({mode} mode)"
        limits.append(
            Limit("pool", what, int(sizes.get(name) or config["default_pool_size"]), used, "server connections")
        )
    return limits


def _behind(servers: list[Row]) -> list[str]:
    """Commands that ask the databases behind it, as far as PgBouncer is connected to them now; three at most."""
    commands = {
        f"    whoholds server postgresql://{row['user']}@{address(row['addr'], row['port'])}/{row['database']}"
        for row in servers
        if row["addr"] != "unix"
    }
    return sorted(commands)[:3]


def _seconds(time: str) -> float:
    """A time of PgBouncer's clock, `2026-01-31 12:00:00 UTC`, in seconds since an arbitrary moment."""
    return (datetime.fromisoformat(time[:19]) - datetime(2000, 1, 1)).total_seconds()  # noqa: DTZ001 - both naive
