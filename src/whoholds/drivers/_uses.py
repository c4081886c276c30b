"""What a call on somebody's connection tells of it, whether the call is awaited or not: used, failed, opened, closed.

The calls themselves stand in `_frames_importlib_bootstrap` and `_async_frames_importlib_bootstrap`. Everything here
runs in the user's thread, before or after the library's own part: no lock, no foreign code, nothing that is kept.
"""

from __future__ import annotations

import _thread
import sys
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.hooks.seams import stays_ours
from whoholds.ledger.handle import RING

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger

    HandleOf = Callable[[Any], Handle]
    State = Callable[[Any], Any]
    Broke = Callable[[Any, BaseException], bool]
    Told = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Database, int | None]]
    Where = Callable[[Any, tuple[Any, ...], dict[str, Any]], Database]

LONGEST_SQL = 4096  # characters remembered of each

# What servers and poolers say when there are too many connections; libpq gives no SQLSTATE at connect.
_REFUSALS = (
    "too many clients already",
    "remaining connection slots are reserved",
    "too many connections",
    "sorry, too many",
    "no more connections allowed",
    "max_client_conn",
    "max client connections reached",
    "query_wait_timeout",
    "has exceeded the 'max_user_connections'",
    "already has more than 'max_user_connections'",
)
_REFUSAL_CODES = frozenset(("53300", "1040", "1203", "1226"))
_COPIES = ("copy_from", "copy_to")  # statements although their first argument is none


def thread() -> int:
    """Who is inside a call: the thread's ident, asked through the module, for gevent may patch it later."""
    return _thread.get_ident()


def task_or_thread() -> int:
    """Who is inside a call of an asynchronous library: the id of the task, else the thread's ident."""
    try:
        task = sys.modules["asyncio"].current_task()
    except (KeyError, AttributeError, RuntimeError):  # no loop runs here
        task = None
    return _thread.get_ident() if task is None else id(task)


class Uses:
    """The calls of one method: each is a use of the handle that `handle_of(self)` gives, or raises AttributeError for.

    `caller` tells who is inside; `transaction(self)`, without I/O, whether a transaction is open; `sql` says that the
    first argument is a statement; `broke(self, exc)`, without I/O, whether the connection is open no more after `exc`.
    Without it a statement cannot be refused: the server is a file.
    """

    def __init__(
        self,
        ledger: Ledger,
        handle_of: HandleOf,
        transaction: State,
        caller: Callable[[], int],
        *,
        sql: bool = False,
        broke: Broke | None = None,
    ) -> None:
        self.ledger = ledger
        self.handle_of = handle_of
        self.caller = caller
        self._clock = ledger.clock
        self._transaction = transaction
        self._sql = sql
        self._broke = broke

    def outermost(self, thing: Any) -> Handle | None:
        """The handle of `thing`, unless it is not ours, not open yet, or this is a part of a call on it."""
        try:
            handle = self.handle_of(thing)
        except (AttributeError, LookupError):
            return None
        return None if handle.caller == self.caller() else handle

    def enter(self, thing: Any) -> Handle | None:
        """The handle of `thing`, entered; None where `outermost` says so. Called by the call that is the use."""
        try:
            handle = self.handle_of(thing)
        except (AttributeError, LookupError):
            return None
        me = self.caller()
        if handle.caller:
            if handle.caller == me:
                return None
            met(self.ledger, handle, me, sys._getframe(2))
        handle.caller = me
        return handle

    def leave(self, thing: Any, handle: Handle, began: float, args: tuple[Any, ...]) -> None:
        """The call that began then has returned."""
        now = self._clock()
        handle.calls_s += now - began
        handle.used_at = now
        handle.used_by = handle.caller or handle.used_by
        handle.caller = 0
        try:
            handle.in_transaction = self._transaction(thing)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        if self._sql and args:
            remember(handle, args[0], began, now - began)
        handle.calls += 1

    def fail(self, thing: Any, handle: Handle, exc: BaseException, began: float, args: tuple[Any, ...]) -> None:
        """The call that began then raises `exc`."""
        handle.calls += 1
        handle.used_at = now = self._clock()
        handle.caller = 0
        try:
            handle.in_transaction = self._transaction(thing)
            if self._broke is not None:
                if is_refusal(exc):  # poolers and proxies refuse a statement
                    self.ledger.refused(exc, handle.database, sys._getframe(2))
                if self._broke(thing, exc):
                    self.ledger.closed(handle)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        if self._sql:
            remember(handle, args[0] if args else None, began, now - began)

    def telling(self, name: str) -> Callable[..., None] | None:
        """What to tell of each statement afterwards, where statements have spans and `name` runs one."""
        return self.ledger.on_statement if self._sql or name in _COPIES else None


def remember(handle: Handle, sql: Any, began: float, seconds: float) -> None:
    """Keep the statement in the handle's ring: its text only, never parameters, never a long one whole."""
    kind = type(sql)
    if kind is not str and kind is not bytes:
        sql = None
    elif len(sql) > LONGEST_SQL:
        sql = sql[:LONGEST_SQL]
    ring = handle.ring
    if not ring:
        ring = handle.ring = [None] * RING
    ring[handle.calls % RING] = (sql, began, seconds)


def met(ledger: Ledger, handle: Handle, me: int, frame: Any) -> None:
    """Somebody else is inside a call on `handle`, or it is the parent's, from before a fork."""
    if handle.inherited:
        ledger.used_in_child(handle, frame)
    else:
        ledger.shared_at_once(handle, me, frame)


def is_refusal(exc: BaseException) -> bool:
    """Whether a server or its pooler says with `exc` that there are too many connections."""
    code = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None) or (exc.args[0] if exc.args else None)
    if isinstance(code, int | str) and str(code) in _REFUSAL_CODES:
        return True
    text = str(exc).lower()
    return any(words in text for words in _REFUSALS)


def refused(
    ledger: Ledger,
    exc: BaseException,
    asked: Where,
    thing: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    frame: Any,
    began: float,
) -> None:
    """Tell the ledger where `exc` says that there are too many connections, or where failed connects have spans."""
    try:
        if is_refusal(exc):
            ledger.refused(exc, asked(thing, args, kwargs), frame)
        if ledger.on_connect_failed is not None:
            connect_failed(ledger, asked(thing, args, kwargs), exc, began)
    except Exception as error:  # noqa: BLE001 - our fault must stay ours
        stays_ours(error)


def connect_failed(ledger: Ledger, where: Database, exc: BaseException, began: float) -> None:
    """Tell of a connection that could not be opened, where that has a span; `began` is the ledger's clock."""
    if ledger.on_connect_failed is not None:
        ended = time_ns()
        ledger.on_connect_failed(where, exc, ended - int((ledger.clock() - began) * 1e9), ended)


def closed(thing: Any, ledger: Ledger, handle_of: HandleOf, is_closed: State | None) -> None:
    """A `close` of `thing` has returned, or raised; `is_closed(thing)` tells whether it is closed, None: it is."""
    try:
        handle = handle_of(thing)
    except (AttributeError, LookupError):
        return
    if is_closed is None or is_closed(thing):
        ledger.closed(handle)


def took(made: Any, handle_of: HandleOf, seconds: float) -> None:
    """How long a function took that returned the connection `made`, whose handle was made further in."""
    try:
        handle_of(made).connect_s = seconds
    except (AttributeError, LookupError):
        pass
