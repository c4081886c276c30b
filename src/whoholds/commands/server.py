"""`whoholds server DSN`: who holds the server's connections, by opening line, across programs and hosts."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from whoholds.detectors._server import is_pgbouncers
from whoholds.drivers._importlib_bootstrap.errors import is_refusal
from whoholds.remote.joining import joined
from whoholds.servers.asking import asked
from whoholds.servers.pgbouncer import CONSOLE, NOT_ALLOWED
from whoholds.servers.target import CannotAsk, target_of
from whoholds.servers.telling import as_data, lines_of
from whoholds.servers.views import views_of
from whoholds.text.redact import redact
from whoholds.text.streams import AUTO, NEVER, print_on, say
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.servers.state import State
    from whoholds.servers.target import Target

_FULL = (
    "it has no connection left, not even for this question. Ask as a superuser, for whom PostgreSQL keeps some slots "
    "and MySQL one, or end a program that holds some"
)


def server(
    dsn: str, *, as_json: bool = False, watch: float | None = None, color: str = AUTO, patience: float = 5
) -> int:
    """Print who holds the connections of the server at `dsn`, each `watch` seconds if that is given, until Ctrl-C.

    After `patience` seconds without an answer it says on stderr what may keep it. Returns 0, or 2 if the server cannot
    be asked. The password in `dsn` is never printed.
    """
    try:
        for state in _states(target_of(dsn), watch, patience):
            text = _text(state, as_json=as_json, watched=watch is not None)
            print_on(sys.stdout, text, NEVER if as_json else color)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    except CannotAsk as error:
        say(f"whoholds: {error}")
        return 2
    return 0


def print_sql(dsn: str) -> int:
    """Print the command's queries as views for a server like that at `dsn`, which is not asked.

    Returns 0, or 2 if the system cannot be told from `dsn`.
    """
    try:
        sys.stdout.write(views_of(target_of(dsn).system))
    except CannotAsk as error:
        say(f"whoholds: {error}")
        return 2
    return 0


def _states(target: Target, watch: float | None, patience: float) -> Iterator[State]:
    """The server's state, once or each `watch` seconds. Raises `CannotAsk` for whatever the library raises."""
    try:
        with ExitStack() as end:
            with _patience(target, patience):  # the connect waits, too, for a server that accepts and says nothing
                look = end.enter_context(asked(target))
                first = look()
            yield joined(first, target)
            while watch:
                time.sleep(watch)
                yield joined(look(), target)
    except CannotAsk:
        raise
    except Exception as error:  # noqa: BLE001 - each library raises its own; the command says it in one line
        raise CannotAsk(_why(error, target)) from None


@contextmanager
def _patience(target: Target, patience: float) -> Iterator[None]:
    """Say on stderr what may keep the answer, if the block takes longer than `patience` seconds."""
    text = f"{redact(target.shown)} has not answered for {patience:g} s. The server may be stuck, another service may"
    text += " listen on that port, or a pooler or proxy lets questions wait while all its connections are taken."
    if target.system == "postgresql":
        text += f" If it is PgBouncer, ask its console:  whoholds server {redact(target.to(CONSOLE))}"
    timer = threading.Timer(patience, say, [visible(f"whoholds: {text}")])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _text(state: State, *, as_json: bool, watched: bool) -> str:
    if as_json:
        return json.dumps(as_data(state), ensure_ascii=True, indent=None if watched else 1)
    text = "\n".join(lines_of(state))
    return f"{time.strftime('%H:%M:%S')}  {text}\n" if watched else text


def _why(error: Exception, target: Target) -> str:
    """Why the server could not be asked, in one line without the password."""
    why = _FULL if is_refusal(error) else " ".join(str(error).split()) or type(error).__name__
    if is_pgbouncers(str(error)):
        why = f"PgBouncer lets nobody in any more, except to its console:  whoholds server {target.to(CONSOLE)}"
    if target.name == CONSOLE and "not allowed" in why:
        why = f"{NOT_ALLOWED} ({why})"
    if target.password:
        why = why.replace(target.password, "***")
    return visible(f"{redact(target.shown)} cannot be asked: {redact(why)}")
