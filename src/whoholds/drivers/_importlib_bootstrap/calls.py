"""The calls that stand in the place of a library's own: nearly every frame of ours on the user's stack is one of these.

The file's name is a tool: `warnings` passes over frames whose file has both "importlib" and "_bootstrap" in its name
when it counts `stacklevel`, so that a library's warning goes on blaming the caller's line and not ours.

An exception that the program keeps has our frame in its traceback, and its locals with it: each call drops its
arguments before it lets one pass. What a call tells the ledger stands in `_uses`; coroutine functions have the same
calls in `_async_frames_importlib_bootstrap`.
"""

from __future__ import annotations

import _thread
import sys
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.drivers._uses import LONGEST_SQL, Uses, closed, met, refused, remember, thread, took
from whoholds.hooks.seams import stands_for, stays_ours
from whoholds.ledger.handle import CONNECTION, RING

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._uses import Broke, HandleOf, State, Told, Where
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger


def noticed(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    transaction: State,
    *,
    sql: bool = False,
    broke: Broke | None = None,
) -> Any:
    """`original`, a method, of which each call is a use; what it calls in its turn is the same use. See `Uses`."""
    uses = Uses(ledger, handle_of, transaction, thread, sql=sql, broke=broke)
    clock, enter, leave, fail = ledger.clock, uses.enter, uses.leave, uses.fail

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle = enter(self)
        if handle is None:
            try:
                return original(self, *args, **kwargs)
            except BaseException:
                del self, args, kwargs
                raise
        began = clock()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            fail(self, handle, exc, began, args)
            del self, args, kwargs, exc
            raise
        leave(self, handle, began, args)
        return result

    return _told(stands_for(call, original), uses)


def within(original: Callable[..., Any], noticing: Callable[..., Any]) -> Any:
    """`noticing`, but straight to `original` where it is a part of a call that is noticed already; with `_whoholds`."""
    thread = _thread

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            try:
                inside = self._whoholds.caller == thread.get_ident()
            except AttributeError:
                inside = True
            return (original if inside else noticing)(self, *args, **kwargs)
        except BaseException:
            del self, args, kwargs
            raise

    return stands_for(call, original)


_MISSING: Any = object()
_OPEN = (False, False, True, True, False)  # by libpq's transaction status: INTRANS and INERROR


def statement(
    original: Callable[..., Any],
    ledger: Ledger,
    status: State | None = None,
    *,
    keywords: tuple[str, str] | None = None,
    broke: Broke | None = None,
) -> Any:
    """`noticed` for a cursor's `execute` in C, the one call that must cost next to nothing: `Uses`, written out.

    The handle is `self.connection._whoholds`; `status(connection)` is libpq's transaction status, and where there is
    none, `connection.in_transaction` tells. `keywords` are the names of the statement and of its values where the
    library takes them so. Taking any keyword would make a dict of each call.
    """

    def state(cursor: Any) -> Any:
        connection = cursor.connection
        return connection.in_transaction if status is None else _OPEN[status(connection)]

    uses = Uses(ledger, _of_cursor, state, thread, sql=True, broke=broke)
    clock, fail = ledger.clock, uses.fail
    threads = _thread  # asked through the module: gevent may patch it later

    def call(self: Any, sql: Any = _MISSING, values: Any = _MISSING, /, *rest: Any) -> Any:
        me = threads.get_ident()
        try:
            connection = self.connection
            handle = connection._whoholds
            inside = handle.caller
        except AttributeError:  # not opened yet, or not one of ours
            connection = handle = None
            inside = me
        if inside:
            if inside == me:
                try:
                    return original(self, *_given(sql, values, rest))
                except BaseException:
                    del self, connection, sql, values, rest
                    raise
            met(ledger, handle, me, sys._getframe(1))
        handle.caller = me
        began = clock()
        try:
            if values is _MISSING and sql is not _MISSING:
                result = original(self, sql)
            elif not rest and sql is not _MISSING:
                result = original(self, sql, values)
            else:
                result = original(self, *_given(sql, values, rest))
        except BaseException as exc:
            fail(self, handle, exc, began, (sql,))
            del self, connection, sql, values, rest, exc
            raise
        now = clock()
        took = now - began
        handle.calls_s += took
        handle.used_at = now
        handle.used_by = me
        handle.caller = 0
        try:
            handle.in_transaction = connection.in_transaction if status is None else _OPEN[status(connection)]
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        number, ring = handle.calls, handle.ring
        if ring and type(sql) is str and len(sql) <= LONGEST_SQL:
            ring[number % RING] = (sql, began, took)
        else:
            remember(handle, sql, began, took)
        handle.calls = number + 1
        return result

    if keywords is not None:
        code = call.__code__
        names = (code.co_varnames[0], *keywords, *code.co_varnames[3:])
        call.__code__ = code.replace(co_varnames=names, co_posonlyargcount=1)
    return _told(stands_for(call, original), uses)


def _given(sql: Any, values: Any, rest: tuple[Any, ...]) -> tuple[Any, ...]:
    """The positional arguments of a call, as they came."""
    if sql is _MISSING:
        return ()
    return (sql,) if values is _MISSING else (sql, values, *rest)


def _of_cursor(cursor: Any) -> Handle:
    handle: Handle = cursor.connection._whoholds
    return handle


def _told(call: Any, uses: Uses) -> Any:
    """`call` itself, unless statements have spans: then `call`, and afterwards the ledger told of it."""
    name = call.__name__
    tell, outermost = uses.telling(name), uses.outermost
    if tell is None:
        return call

    def statement(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle = outermost(self)
        began = time_ns()
        try:
            result = call(self, *args, **kwargs)
        except BaseException as exc:
            if handle is not None:
                tell(handle, name, args, kwargs, began, time_ns(), exc)
            del self, args, kwargs, exc
            raise
        if handle is not None:
            tell(handle, name, args, kwargs, began, time_ns(), None)
        return result

    return stands_for(statement, call)


def called(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, is_closed: State | None = None) -> Any:
    """`original`, a `close`: once it has returned, its handle is closed. A close that raises closes nothing.

    Where a close may also give back or do nothing, or raise and close all the same, `is_closed(self)` tells.
    """

    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except BaseException:
            if is_closed is not None:
                closed(self, ledger, handle_of, is_closed)
            del self, args, kwargs
            raise
        closed(self, ledger, handle_of, is_closed)
        return result

    return stands_for(close, original)


def opening(
    original: Callable[..., Any],
    ledger: Ledger,
    driver: str,
    told: Told,
    keep: Callable[[Any, Handle], None],
    asked: Where | None = None,
) -> Any:
    """`original`, a method that makes `self` a connection (`__init__`, `connect`): a handle once it has returned.

    `told(self, args, kwargs)` gives where it leads and the server's pid, without I/O; `asked` the same way the
    database of a refusal; `keep(self, handle)` puts the handle where it is found again.
    """
    clock = ledger.clock

    def open(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A001 - it takes the original's name
        began = clock()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            if asked is not None:
                refused(ledger, exc, asked, self, args, kwargs, sys._getframe(1), began)
            del self, args, kwargs, exc
            raise
        try:
            where, pid = told(self, args, kwargs)
            handle = ledger.opened(CONNECTION, driver, where, self, sys._getframe(1), began=began)
            handle.backend_pid = pid
            keep(self, handle)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
            ledger.cannot_watch(driver)
        return result

    return stands_for(open, original)


def connecting(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, asked: Where) -> Any:
    """`original`, a function that returns a connection whose handle is made further in: how long it took, refusals."""
    clock = ledger.clock

    def connect(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            made = original(*args, **kwargs)
        except BaseException as exc:
            refused(ledger, exc, asked, None, args, kwargs, sys._getframe(1), began)
            del args, kwargs, exc
            raise
        took(made, handle_of, clock() - began)
        return made

    return stands_for(connect, original)


def shortcut(original: Callable[..., Any], make: Callable[[Any], Any], run: Callable[..., Any]) -> Any:
    """`Connection.execute` and its like where C makes a cursor of its own: `make(self)` makes ours, `run` runs it."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            cursor = make(self)
            run(cursor, *args, **kwargs)
        except BaseException:
            cursor = None
            del self, args, kwargs, cursor
            raise
        return cursor

    return stands_for(call, original)
