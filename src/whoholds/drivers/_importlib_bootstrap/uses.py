"""What a call on somebody's connection tells of it, whether the call is awaited or not: used, failed, closed.

The calls themselves stand in `calls` and `async_calls`. Everything here runs in the user's thread, before or after the
library's own part: no lock, no foreign code, nothing that is kept, and no fault of ours that goes further.
"""

from __future__ import annotations

import _thread
import sys
from operator import attrgetter
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.drivers._importlib_bootstrap.errors import is_refusal, lock_of
from whoholds.hooks.seams import is_the_programs, stays_ours
from whoholds.ledger.handle import RING
from whoholds.ledger.lockouts import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import Broke, HandleOf, Raised, State, TextOf
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger
    from whoholds.ledger.lockout import Lockout

LONGEST_SQL = 4096  # characters remembered of each

_COMMITS = ("commit", "tpc_commit", "__exit__")  # methods that end a transaction, where what it wrote may be locked out
_COPIES = ("copy_from", "copy_to")  # statements although their first argument is none


whoholds_of: Callable[[Any], Handle] = attrgetter("_whoholds")
"""The handle of a connection that takes attributes. Raises AttributeError."""


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
    """The calls of `original`: each is a use of the handle that `handle_of(self)` gives; where it raises, it is none.

    `caller` tells who is inside; `transaction(self)`, without I/O, whether a transaction is open; `sql` says that the
    first argument is a statement, or is a function, `sql(self)`, that gives the statement which `self` was made for;
    `broke(self, exc)`, without I/O, whether the connection is open no more after `exc`. Without it a statement cannot
    be refused: the server is a file. The calls guard what is here.
    """

    def __init__(
        self,
        original: Callable[..., Any],
        ledger: Ledger,
        handle_of: HandleOf,
        transaction: State,
        caller: Callable[[], int],
        *,
        sql: bool | TextOf = False,
        broke: Broke | None = None,
    ) -> None:
        self.original = original
        self.ledger = ledger
        self.handle_of = handle_of
        self.caller = caller
        self._clock = ledger.clock
        self._transaction = transaction
        self._sql = sql is True
        self._text_of = sql if callable(sql) else None
        self._commits = original.__name__ in _COMMITS
        self._broke = broke

    def outermost(self, thing: Any) -> Handle | None:
        """The handle of `thing`, unless it is not watched, not open yet, or this is a part of a call on it."""
        try:
            handle = self.handle_of(thing)
            inside = handle.caller == self.caller()
        except Exception as error:  # noqa: BLE001 - not open yet, or not one of ours
            not_ours(error, self.original)
            return None
        return None if inside or handle.ledger is None else handle

    def leave(self, thing: Any, handle: Handle, began: float, args: tuple[Any, ...]) -> None:
        """The call that began then has returned: nobody is inside any more."""
        now = self._clock()
        handle.calls_s += now - began
        handle.used_at = now
        handle.used_by = handle.caller or handle.used_by
        handle.caller = 0
        if self._sql and args:
            remember(handle, args[0], began, now - began)
        elif self._text_of is not None:
            remember(handle, self._text_of(thing), began, now - began)
        handle.calls += 1
        handle.in_transaction = self._transaction(thing)

    def fail(self, thing: Any, handle: Handle, exc: Raised, began: float, args: tuple[Any, ...], frame: Any) -> None:
        """The call that began then raises `exc`, its own or a signal handler's; `frame` is the caller's."""
        if not handle.caller:  # it had returned and was counted
            return
        handle.used_at = now = self._clock()
        caller, handle.caller = handle.caller, 0
        awaited, was_begun = plain(handle), bool(handle.in_transaction)
        sql = self._remember(thing, handle, args, began, now - began)
        handle.calls += 1
        if self._broke is not None:
            if handle.ledger is not None and is_refusal(exc):  # poolers and proxies refuse a statement
                self.ledger.refused(exc, handle.database, frame)
            if self._broke(thing, exc):
                self.ledger.closed(handle)
        if handle.closed_stamp is None:
            try:
                handle.in_transaction = self._transaction(thing)
            except Exception as error:
                if not _is_of_library(error, thing, exc):
                    not_ours(error, self.original)
                elif is_the_programs(error):
                    raise
        self._await_a_lock(handle, exc, sql, frame, awaited, caller=caller, waited=now - began, was_begun=was_begun)

    def _remember(self, thing: Any, handle: Handle, args: tuple[Any, ...], began: float, seconds: float) -> Any:
        """`remember` what a call that failed was to run. Returns it, and () for a call without a statement."""
        if self._sql:
            return remember(handle, args[0] if args else None, began, seconds)
        return () if self._text_of is None else remember(handle, self._text_of(thing), began, seconds)

    def _await_a_lock(
        self, handle: Handle, exc: Raised, sql: Any, frame: Any, awaited: Lockout | None, **more: Any
    ) -> None:
        """Tell the ledger if a lock made the statement fail. If one failed before, its success is still awaited."""
        lock = lock_of(exc, handle.database.system)
        if lock:
            self.ledger.locked_out(lock, handle, exc, sql, frame, commits=self._commits, **more)
        elif awaited is not None and not awaited.over:
            self.ledger.lockouts.await_success(handle, awaited)

    def has_spans(self, name: str) -> bool:
        """Whether statements have spans, and the method `name` runs one."""
        return self.ledger.on_statement is not None and (self._sql or name in _COPIES)

    def tell(
        self,
        handle: Handle,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        began: int,
        exc: Raised | None,
    ) -> None:
        """Have a span made of the call of the method `name` that began then and ends now."""
        if self.ledger.on_statement is not None:
            self.ledger.on_statement(handle, name, args, kwargs, began, time_ns(), exc)


def not_ours(error: Exception, original: Any) -> None:
    """The handle of a call was not found: that is no fault where the object says that it has none.

    Raises `error` again where it is the program's.
    """
    try:
        if _is_fault(error):
            raise error  # noqa: TRY301 - one guard for both
    except Exception as fault:  # noqa: BLE001 - our fault must stay ours, also one of `_is_fault`
        stays_ours(fault, original)
    finally:
        del error  # this frame may stand in its traceback


def _is_fault(error: Exception) -> bool:
    """Whether it says more than that an object has no handle: a fault of ours, or the program's exception."""
    if type(error) not in _ABSENT:
        return True
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename.startswith(_OURS):
        at = at.tb_next
    return at is not None and is_the_programs(error)


def _is_of_library(error: Exception, *things: Any) -> bool:
    """Whether the class of `error` is of the package that one of the things' classes is of: no builtin ever is."""
    package = type(error).__module__.partition(".")[0]
    kinds = [kind for thing in things for kind in type(thing).__mro__]
    return package != "builtins" and any(kind.__module__.partition(".")[0] == package for kind in kinds)


_OURS = __file__.rpartition("drivers")[0]  # the folder of the package
_ABSENT = (AttributeError, KeyError, ReferenceError)


def remember(handle: Handle, sql: Any, began: float, seconds: float) -> Any:
    """Keep the statement in the handle's ring: its text only, never parameters, never a long one whole. Returns it."""
    kind = type(sql)
    if kind is not str and kind is not bytes:
        sql = None
    elif len(sql) > LONGEST_SQL:
        sql = sql[:LONGEST_SQL]
    ring = handle.ring
    if not ring:
        ring = handle.ring = [None] * RING
    ring[handle.calls % RING] = (sql, began, seconds)
    return sql


def met(ledger: Ledger, handle: Any, me: Any, inside: Any, frame: Any, original: Any) -> None:
    """`inside` was in a call on `handle` when `me` came in, or it is the parent's, from before a fork.

    `frame` is the frame of whoever came in.
    """
    try:
        if handle.inherited:
            ledger.used_in_child(handle, frame)
        else:
            ledger.shared_at_once(handle, me, inside, frame)
    except Exception as error:  # noqa: BLE001 - our fault must stay ours
        stays_ours(error, original)


def closed(thing: Any, ledger: Ledger, handle_of: HandleOf, is_closed: State | None, original: Any) -> None:
    """A `close` of `thing` has returned, or raised; `is_closed(thing)` tells whether it is closed, None: it is."""
    try:
        handle = handle_of(thing)
    except Exception as error:  # noqa: BLE001 - not one of ours
        not_ours(error, original)
        return
    if is_closed is None or is_closed(thing):
        ledger.closed(handle)
