"""WHOHOLDS_ASK_SERVER=1: asks a server that has refused a connection who else is connected to it.

The question goes over a connection that a pool of this process has at home: it is taken out of the pool for that time,
and at least one other stays there. A connection that the program uses, has in a transaction or keeps for itself is
never used, and none is opened. The question is asked in a thread of its own, at most once in `AGAIN_S` per server.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.detectors._server import is_pgbouncers
from whoholds.detectors.idle import allowed_by
from whoholds.detectors.refused import holds_few
from whoholds.hooks.threads import RealThread, real_ident
from whoholds.ledger.handle import CONNECTION
from whoholds.reporting.words import number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle, Pool
    from whoholds.settings.limits import Limits

AGAIN_S = 60.0
WAIT_S = 1.0  # how long a look waits for the answer
SHOWN = 3  # groups of others that a finding names
SYSTEMS = ("postgresql", "mysql", "mariadb")
_TIME_OUT = "SET LOCAL statement_timeout = '2s'"  # of PostgreSQL, until the rollback

_NO_ANSWER = "whoholds could not ask the server who they are: {}."
_NO_SPARE = "no pool of this process has two idle connections to that server"
_POOLER = "a pooler is in between, which hides which connections are this process's own"


class Others:
    """Who else is connected to each server, as far as that was asked. It fills `History.others`; it never raises."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}  # server → when, in seconds of the ledger's clock

    def ask(self, snapshot: Snapshot, limits: Limits, *, wait: bool) -> None:
        """Ask the servers that have refused a connection since the last look, if this process holds few of theirs.

        `wait` a little for their answers.
        """
        for refusal in snapshot.refusals:
            database = refusal.database
            asked = self._asked.get(database.server)
            own = [
                handle
                for handle in snapshot.open
                if handle.kind == CONNECTION and handle.database.server == database.server
            ]
            allowed = allowed_by(snapshot, limits, database.server)
            if refusal.by_pool is not None or is_pgbouncers(refusal.error) or database.system not in SYSTEMS:
                continue
            if not holds_few(len(own), allowed):
                continue
            if asked is not None and snapshot.now - asked < AGAIN_S:
                continue
            self._asked[database.server] = snapshot.now
            answers = snapshot.history.others
            answers[database.server] = _NO_ANSWER.format("there is no answer yet")
            _in_a_thread(partial(_ask, database, own, answers), WAIT_S if wait else 0.0)


class Spare(NamedTuple):
    """A connection taken out of a pool."""

    connection: Any
    put_back: Callable[[], None]
    handles: list[Handle]  # of all connections of that pool


def _spare(own: list[Handle]) -> Spare | None:
    """A connection that a pool can spare of this process's `own` to a server; None if no pool can."""
    if "gevent" in sys.modules or "eventlet" in sys.modules:  # their connections belong to the hub of one thread
        return None
    pools: dict[Pool, list[Handle]] = {}
    for handle in own:
        if handle.pool is not None:
            pools.setdefault(handle.pool, []).append(handle)
    for pool, handles in pools.items():
        theirs = pool.ref() if pool.ref is not None else None
        if theirs is not None and pool.spare is not None and not pool.closed:
            with suppress(Exception):  # somebody was faster, or the library has changed
                spare = pool.spare(theirs)
                if spare is not None:
                    return Spare(spare[0], spare[1], handles)
    return None


def _in_a_thread(run: Callable[[], None], wait_s: float) -> None:
    thread = RealThread(run)
    try:
        thread.start()
    except RuntimeError:  # there can be no threads, or the interpreter ends, and nobody is kept waiting
        if wait_s:
            run()
        return
    if wait_s:
        thread.join(wait_s)


def _ask(database: Database, own: list[Handle], answers: dict[str, str]) -> None:
    """Ask over a connection that a pool can spare, put it back, and keep the answer. Never raises."""
    spare = _spare(own)
    if spare is None:
        answers[database.server] = _NO_ANSWER.format(_NO_SPARE)
        return
    uses = [Uses.of(handle) for handle in spare.handles]
    answer = ""
    try:
        try:
            answer = _answer(database, spare.connection, {handle.backend_pid for handle in own})
        finally:
            spare.connection.rollback()
    except Exception as error:  # noqa: BLE001 - each library raises its own
        answer = _NO_ANSWER.format(f"the question failed with {type(error).__name__}")
    finally:
        for use in uses:
            use.restore()
        with suppress(Exception):  # the pool is gone, and the connection with it
            spare.put_back()
        answers[database.server] = answer


class Uses(NamedTuple):
    """What a handle knew of its uses before the question, which is none of the program's."""

    handle: Handle
    ring: list[Any]
    calls: int
    calls_s: float
    used_at: float
    used_by: int

    @classmethod
    def of(cls, handle: Handle) -> Uses:
        """The uses of `handle` until now."""
        return cls(handle, list(handle.ring), handle.calls, handle.calls_s, handle.used_at, handle.used_by)

    def restore(self) -> None:
        """Forget the question, if it went over this handle's connection."""
        handle = self.handle
        if handle.used_by == real_ident():
            handle.ring = self.ring
            handle.calls, handle.calls_s, handle.used_at, handle.used_by = self[2:]


def _answer(database: Database, connection: Any, own: set[int | None]) -> str:
    from whoholds.servers import mysql, postgres
    from whoholds.servers.libraries import by_dbapi, may
    from whoholds.servers.telling import largest_of

    ask = by_dbapi(connection).ask
    if database.system == "postgresql":
        ask(_TIME_OUT)
        sessions, me = postgres.others_of(ask)
    else:
        sessions, me = mysql.others_of(ask, partial(may, ask))
    at = time.strftime("%H:%M:%S")
    if me not in own:
        return _NO_ANSWER.format(_POOLER)
    others = [session for session in sessions if session.pid not in own]
    if not others:
        return f"The server was asked at {at}, and shows this user no connection of others."
    lines = "\n".join(largest_of(others, SHOWN))
    return f"The server was asked at {at}, and named {number_of(len(others), 'connection')} of others:\n{lines}"
