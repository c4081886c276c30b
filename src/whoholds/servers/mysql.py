"""MySQL and MariaDB: reads the process list, InnoDB's transactions and lock waits, and connection attributes.

What the user may not read, or the server does not have, is left out; the process list itself shows a user without the
right PROCESS only its own connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.servers.state import IDLE, IDLE_IN_TRANSACTION, RUNNING, Limit, Session, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.servers.target import Target

    Ask = Callable[[str], list[Any]]
    May = Callable[[str], list[Any] | None]

BEGIN = ("START TRANSACTION READ ONLY",)
END = ("ROLLBACK",)
# MariaDB's time-out, and MySQL's: each server knows one of them
TIME_OUTS = ("SET SESSION max_statement_time = 5", "SET SESSION max_execution_time = 5000")

_SETTINGS = "SELECT version(), @@max_connections, @@max_user_connections, current_user(), connection_id()"
PROCESSES = """
SELECT id, user, host, coalesce(db, '') AS db, command, time FROM information_schema.processlist
WHERE command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') AND user NOT IN ('system user', 'event_scheduler')
"""
_CONNECTED = "SHOW GLOBAL STATUS LIKE 'Threads_connected'"
# DISTINCT lets MariaDB look up rows in the views' joins; else it compares each with each: 1.9 s for 2000 connections.
TRANSACTIONS = "SELECT DISTINCT trx_mysql_thread_id FROM information_schema.innodb_trx"
NAMES = "SELECT DISTINCT processlist_id, attr_value FROM performance_schema.{} WHERE attr_name = 'program_name'"
ATTRIBUTES = ("session_connect_attrs", "session_account_connect_attrs")
_WAITS = (
    """
    SELECT DISTINCT waits.processlist_id, blocks.processlist_id FROM performance_schema.data_lock_waits AS locks
    JOIN performance_schema.threads AS waits ON waits.thread_id = locks.requesting_thread_id
    JOIN performance_schema.threads AS blocks ON blocks.thread_id = locks.blocking_thread_id
    """,
    """
    SELECT DISTINCT waits.trx_mysql_thread_id, blocks.trx_mysql_thread_id
    FROM information_schema.innodb_lock_waits AS locks
    JOIN information_schema.innodb_trx AS waits ON waits.trx_id = locks.requesting_trx_id
    JOIN information_schema.innodb_trx AS blocks ON blocks.trx_id = locks.blocking_trx_id
    """,
)
_NO_WAITS = "You may not see who blocks whom: GRANT SELECT ON performance_schema.* TO this user."


def look(ask: Ask, may: May, target: Target) -> State:
    """The server's state. `ask(sql)` gives the rows of a query, and `may(sql)` None where the server refuses it."""
    ((version, slots, per_user, user, own),) = ask(_SETTINGS)
    transactions = may(TRANSACTIONS)
    waits = _waits(may)
    sessions = _sessions(ask, may, transactions, waits, own)
    used = max(int(ask(_CONNECTED)[0][1]), len(sessions) + 1)
    name = user.partition("@")[0]
    held = sum(session.user == name for session in sessions) + 1
    limits = (Limit("user", name, int(per_user), held),) if per_user else ()
    return State(
        server=f"{'MariaDB' if 'mariadb' in version.lower() else 'MySQL'} {version.partition('-')[0]}",
        where=target.shown,
        slots=int(slots),
        used=used,
        reserves=(),
        limits=limits,
        sessions=tuple(sessions),
        hidden=used - len(sessions) - 1,
        no_transactions=transactions is None,
        rights="GRANT PROCESS ON *.* TO this user, or ask as an administrator",
        can_end="KILL {};",
        remarks=(_NO_WAITS,) if waits is None and transactions is not None else (),
    )


def others_of(ask: Ask, may: May) -> tuple[list[Session], int | None]:
    """The connections that this user may see, without the one that asks, and the number of that one."""
    ((own,),) = ask("SELECT connection_id()")
    return _sessions(ask, may, may(TRANSACTIONS), _waits(may), own), own


def _waits(may: May) -> list[Any] | None:
    """Who waits for whom, as pairs of connections; None if this user may see neither of the server's tables of it."""
    return next((rows for rows in map(may, _WAITS) if rows is not None), None)


def _sessions(ask: Ask, may: May, transactions: list[Any] | None, waits: list[Any] | None, own: int) -> list[Session]:
    """The connections that this user may see, without its `own`; `transactions` and lock `waits` as InnoDB has them."""
    names = dict(map(tuple, next(filter(None, (may(NAMES.format(table)) for table in ATTRIBUTES)), ())))
    in_transaction = {row[0] for row in transactions or ()}
    blocked: dict[int, set[int]] = {}
    for waiter, blocker in waits or ():
        blocked.setdefault(waiter, set()).add(blocker)
    sessions = []
    for pid, login, host, database, command, seconds in ask(PROCESSES):
        if pid == own:
            continue
        idle = IDLE_IN_TRANSACTION if pid in in_transaction else IDLE
        state = idle if command == "Sleep" else RUNNING
        name, by = names.get(pid) or "", tuple(sorted(blocked.get(pid, ())))
        place = host.rpartition(":")[0] or host
        sessions.append(Session(pid, name, login, database, place, state, float(seconds or 0), None, by))
    return sessions
