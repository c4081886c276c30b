"""One look at a server, or several over one connection; nothing of it is watched or kept."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from whoholds.servers import mysql, pgbouncer, postgres
from whoholds.servers.libraries import connected, may

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.servers.libraries import Line
    from whoholds.servers.state import State
    from whoholds.servers.target import Target


@contextmanager
def asked(target: Target) -> Iterator[Callable[[], State]]:
    """Connect, and provide a function that looks at the server. Raises `CannotAsk`, and what the library raises."""
    console = target.system == "postgresql" and target.name == pgbouncer.CONSOLE
    line = connected(target, console=console)
    try:
        if target.system == "mysql":
            for sql in mysql.TIME_OUTS:
                may(line.ask, sql)
        version = pgbouncer.version_of(partial(may, line.asked_by_name)) if console else ""
        yield partial(pgbouncer.look, line.asked_by_name, version, target) if version else partial(_look, line, target)
    finally:
        with suppress(Exception):  # after Ctrl-C the library may be in the middle of a query
            line.close()


def _look(line: Line, target: Target) -> State:
    """One look, in a transaction that is read only. If it fails, the caller closes the connection, which ends it."""
    system = postgres if target.system == "postgresql" else mysql
    for sql in system.BEGIN:
        line.ask(sql)
    if target.system == "postgresql":
        state = postgres.look(line.ask, target, line.pid)
    else:
        state = mysql.look(line.ask, partial(may, line.ask), target)
    for sql in system.END:
        line.ask(sql)
    return state
