"""PostgreSQL: reads `pg_stat_activity`, `pg_settings`, `pg_roles`, `pg_database` and `pg_blocking_pids`.

Everything is read in one transaction that is read only, with a short time-out, and that is rolled back.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from whoholds.servers.state import HIDDEN, IDLE, IDLE_IN_TRANSACTION, RUNNING, Limit, Reserve, Session, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.servers.target import Target

    Ask = Callable[[str], list[Any]]

BEGIN = ("BEGIN READ ONLY", "SET LOCAL statement_timeout = '5s'", "SET LOCAL lock_timeout = '1s'")
END = ("ROLLBACK",)

_SETTINGS = """
SELECT name, setting FROM pg_settings WHERE name IN
('server_version', 'max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""
# A user who may not see another role's connection gets no type, state, host or times of it. `pg_blocking_pids` stops
# the lock manager for a moment, so only connections that wait for a lock are asked about.
# The names of the columns are for the views.
SESSIONS = f"""
SELECT pid, coalesce(application_name, '') AS name, coalesce(usename::text, '') AS usename,
    coalesce(datname::text, '') AS datname, coalesce(host(client_addr), '') AS host,
    CASE WHEN backend_type IS NULL THEN '{HIDDEN}' WHEN state = 'idle' THEN '{IDLE}'
        WHEN left(state, 19) = 'idle in transaction' THEN '{IDLE_IN_TRANSACTION}' ELSE '{RUNNING}' END AS state,
    extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s,
    extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age_s,
    CASE WHEN wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(pid), ',') ELSE '' END AS blocked_by,
    pid = pg_backend_pid() AS asks
FROM pg_stat_activity
WHERE (backend_type = 'client backend' OR backend_type IS NULL) AND datid IS NOT NULL AND usesysid IS NOT NULL
"""  # noqa: S608 - constants
_ROLES = "SELECT rolname::text, rolconnlimit FROM pg_roles WHERE rolconnlimit >= 0 ORDER BY rolname"
_DATABASES = "SELECT datname::text, datconnlimit FROM pg_database WHERE datconnlimit >= 0 ORDER BY datname"


_LOCKED = "The limits of roles and databases could not be read: somebody may have locked pg_roles or pg_database."
_POOLED = (
    "You ask through a pooler such as PgBouncer: all its connections come from its own host, and each has the name of",
    "the client that uses it or used it last, or none. Who waits for the pooler is not shown. Ask PgBouncer itself:",
    "    whoholds server {}",
)


def look(ask: Ask, target: Target, library_pid: int | None) -> State:
    """The server's state. `ask(sql)` gives the rows of a query.

    `library_pid` is the server's process as the library knows it. A pooler gives its clients numbers of its own: if
    another process answers, a pooler is in between.
    """
    settings = dict(map(tuple, ask(_SETTINGS)))
    rows = ask(SESSIONS)
    sessions, own = _sessions(rows)
    limits = _limits(ask, rows)  # last, because the transaction can do no more after an error
    remarks = [] if limits is not None else [_LOCKED]
    direct = library_pid in (None, own)
    if not direct:
        remarks += [line.format(target.to("pgbouncer")) for line in _POOLED]
    reserves = (
        Reserve(int(settings["superuser_reserved_connections"]), "superusers"),
        Reserve(int(settings.get("reserved_connections", 0)), "members of pg_use_reserved_connections"),
    )
    return State(
        server=f"PostgreSQL {settings['server_version'].split()[0]}",
        where=target.shown,
        slots=int(settings["max_connections"]),
        used=len(rows),
        reserves=tuple(reserve for reserve in reserves if reserve.slots),
        limits=tuple(limits or ()),
        sessions=tuple(sessions),
        hidden=sum(session.state == HIDDEN for session in sessions),
        no_transactions=False,
        rights="GRANT pg_read_all_stats TO this role, or ask as a superuser",
        can_end="SELECT pg_terminate_backend({});",
        numbered=direct,
        remarks=tuple(remarks),
    )


def others_of(ask: Ask) -> tuple[list[Session], int | None]:
    """The connections of clients without the one that asks, and the process of that one. One query."""
    return _sessions(ask(SESSIONS))


def _sessions(rows: list[Any]) -> tuple[list[Session], int | None]:
    return [_session(row) for row in rows if not row[9]], next((row[0] for row in rows if row[9]), None)


def _limits(ask: Ask, rows: list[Any]) -> list[Limit] | None:
    """The limits of roles and databases; None if they cannot be read, because somebody has locked those catalogs."""
    try:
        roles, databases = ask(_ROLES), ask(_DATABASES)
    except Exception:  # noqa: BLE001 - each library raises its own; what is wrong with the connection shows in the next
        return None
    of_role, in_database = Counter(row[2] for row in rows), Counter(row[3] for row in rows)
    limits = [Limit("role", name, allowed, of_role[name]) for name, allowed in roles]
    return limits + [Limit("database", name, allowed, in_database[name]) for name, allowed in databases]


def _session(row: Any) -> Session:
    pid, name, user, database, host, state, state_s, age_s, blocked_by, _ = row
    pids = tuple(sorted({int(blocker) for blocker in blocked_by.split(",") if blocker}))
    return Session(pid, name, user, database, host, state, state_s, age_s, pids)
