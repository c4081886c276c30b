"""PostgreSQL: reads `pg_stat_activity`, `pg_settings`, `pg_roles`, `pg_database` and `pg_blocking_pids`.

Everything is read in one transaction that is read only, with a short time-out, and that is rolled back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.servers.state import HIDDEN, IDLE, IDLE_IN_TRANSACTION, RUNNING, Limit, Reserve, Session, State

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[[str], list[Any]]

BEGIN = ("BEGIN READ ONLY", "SET LOCAL statement_timeout = '5s'", "SET LOCAL lock_timeout = '1s'")
END = ("ROLLBACK",)

_SETTINGS = """
SELECT name, setting FROM pg_settings WHERE name IN
('server_version', 'max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""
# A user who may not see another role's connection gets no type, state, host or times of it. `pg_blocking_pids` stops
# the lock manager for a moment, so only connections that wait for a lock are asked about.
_SESSIONS = """
SELECT pid, coalesce(application_name, ''), coalesce(usename::text, ''), coalesce(datname::text, ''),
    coalesce(host(client_addr), ''), state, backend_type IS NULL,
    extract(epoch FROM clock_timestamp() - state_change)::float8,
    extract(epoch FROM clock_timestamp() - backend_start)::float8,
    CASE WHEN wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(pid), ',') ELSE '' END,
    pid = pg_backend_pid()
FROM pg_stat_activity
WHERE (backend_type = 'client backend' OR backend_type IS NULL) AND datid IS NOT NULL AND usesysid IS NOT NULL
"""
_ROLES = "SELECT rolname::text, rolconnlimit FROM pg_roles WHERE rolconnlimit >= 0 ORDER BY rolname"
_DATABASES = "SELECT datname::text, datconnlimit FROM pg_database WHERE datconnlimit >= 0 ORDER BY datname"


def look(ask: Ask, where: str) -> State:
    """The server's state. `ask(sql)` gives the rows of a query."""
    settings = dict(map(tuple, ask(_SETTINGS)))
    rows = ask(_SESSIONS)
    sessions = tuple(_session(row) for row in rows if not row[10])
    limits = [Limit("role", name, allowed, sum(row[2] == name for row in rows)) for name, allowed in ask(_ROLES)]
    limits += [
        Limit("database", name, allowed, sum(row[3] == name for row in rows)) for name, allowed in ask(_DATABASES)
    ]
    reserves = (
        Reserve(int(settings["superuser_reserved_connections"]), "superusers"),
        Reserve(int(settings.get("reserved_connections", 0)), "members of pg_use_reserved_connections"),
    )
    return State(
        server=f"PostgreSQL {settings['server_version'].split()[0]}",
        where=where,
        slots=int(settings["max_connections"]),
        used=len(rows),
        reserves=tuple(one for one in reserves if one.slots),
        limits=tuple(limits),
        sessions=sessions,
        hidden=sum(one.state == HIDDEN for one in sessions),
        no_transactions=False,
        rights="GRANT pg_read_all_stats TO this role, or ask as a superuser",
        can_end="SELECT pg_terminate_backend({});",
    )


def _session(row: Any) -> Session:
    pid, name, user, database, host, state, hidden, state_s, age_s, blocked_by, _ = row
    kind = HIDDEN if hidden else _KINDS.get(state or "", RUNNING)
    pids = tuple(sorted({int(one) for one in blocked_by.split(",") if one}))
    return Session(pid, name, user, database, host, kind, state_s, age_s, pids)


_KINDS = {
    "idle": IDLE,
    "idle in transaction": IDLE_IN_TRANSACTION,
    "idle in transaction (aborted)": IDLE_IN_TRANSACTION,
}
