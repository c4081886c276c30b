"""The calls that stand in the place of a library's own: every frame of ours on the user's stack is one of these.

The file's name is a tool: `warnings` passes over frames whose file has both "importlib" and "_bootstrap" in its name
when it counts `stacklevel`, so that a library's warning goes on blaming the caller's line and not ours.

Everything here runs in the user's thread: no lock, no foreign code, and no frame that keeps the user's objects. An
exception that the program keeps has our frame in its traceback: each call drops its arguments before it lets one pass.
"""

from __future__ import annotations

import _thread
import sys
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.handle import CONNECTION, RING
from whoholds.seams import stands_for, stays_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.handle import Database, Handle
    from whoholds.ledger import Ledger

    HandleOf = Callable[[Any], Handle]
    State = Callable[[Any], Any]
    Failed = Callable[[Any, Handle, BaseException], None]
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


def is_refusal(exc: BaseException) -> bool:
    """Whether a server or its pooler says with `exc` that there are too many connections."""
    code = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None) or (exc.args[0] if exc.args else None)
    if isinstance(code, int | str) and str(code) in _REFUSAL_CODES:
        return True
    text = str(exc).lower()
    return any(words in text for words in _REFUSALS)


def remember(handle: Handle, sql: Any, began: float, seconds: float) -> None:
    """Keep the statement in the handle's ring: its text only, never parameters, never a long one whole."""
    kind = type(sql)
    if kind is not str and kind is not bytes:
        sql = None
    elif len(sql) > LONGEST_SQL:
        sql = sql[:LONGEST_SQL]
    handle.ring[handle.uses % RING] = (sql, began, seconds)


def task_or_thread() -> int:
    """Who is inside a call of an asynchronous library: the id of the task, else the thread's ident."""
    try:
        task = sys.modules["asyncio"].current_task()
    except (KeyError, AttributeError, RuntimeError):  # no loop runs here
        task = None
    return _thread.get_ident() if task is None else id(task)


def noticed(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    transaction: State,
    *,
    sql: bool = False,
    failed: Failed | None = None,
) -> Any:
    """`original`, a method, noticed as a use of the handle that `handle_of(self)` gives, or raises AttributeError for.

    `transaction(self)` tells, without I/O, whether a transaction is open; `sql` says that the first argument is a
    statement; `failed` is told of an exception before it goes on. What it calls in its turn is the same use.
    """
    clock = ledger.clock
    get_ident = _thread  # asked through the module: gevent may patch it later

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            handle = handle_of(self)
        except (AttributeError, LookupError):  # not opened yet, or not one of ours
            handle = None
        me = get_ident.get_ident()
        if handle is None or handle.caller == me:
            try:
                return original(self, *args, **kwargs)
            except BaseException:
                del self, args, kwargs
                raise
        if handle.caller:
            _met(ledger, handle, me, sys._getframe(1))
        handle.caller = me
        began = clock()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            _failed(self, handle, exc, transaction, failed, clock())
            if sql:
                remember(handle, args[0] if args else None, began, handle.used_at - began)
            del self, args, kwargs, exc
            raise
        now = clock()
        handle.busy_s += now - began
        handle.used_at = now
        handle.used_by = me
        handle.caller = 0
        try:
            handle.in_transaction = transaction(self)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        if sql and args:
            text = args[0]
            if type(text) is not str or len(text) > LONGEST_SQL:
                remember(handle, text, began, now - began)
            else:
                handle.ring[handle.uses % RING] = (text, began, now - began)
        handle.uses += 1
        return result

    return _told(stands_for(call, original), ledger, handle_of, sql=sql)


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


def noticed_async(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    transaction: State,
    *,
    sql: bool = False,
    failed: Failed | None = None,
) -> Any:
    """The same for a coroutine function: who calls is the task, not the thread."""
    clock = ledger.clock

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            handle = handle_of(self)
        except (AttributeError, LookupError):
            handle = None
        me = task_or_thread()
        if handle is None or handle.caller == me:
            try:
                return await original(self, *args, **kwargs)
            except BaseException:
                del self, args, kwargs
                raise
        if handle.caller:
            _met(ledger, handle, me, sys._getframe(1))
        handle.caller = me
        began = clock()
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as exc:
            _failed(self, handle, exc, transaction, failed, clock())
            if sql:
                remember(handle, args[0] if args else None, began, handle.used_at - began)
            del self, args, kwargs, exc
            raise
        now = clock()
        handle.busy_s += now - began
        handle.used_at = now
        handle.used_by = me
        handle.caller = 0
        try:
            handle.in_transaction = transaction(self)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        if sql and args:
            remember(handle, args[0], began, now - began)
        handle.uses += 1
        return result

    return _told_async(stands_for(call, original), ledger, handle_of, sql=sql)


_MISSING: Any = object()
_OPEN = (False, False, True, True, False)  # by libpq's transaction status: INTRANS and INERROR


def statement(
    original: Callable[..., Any],
    ledger: Ledger,
    status: State | None = None,
    *,
    failed: Failed | None = None,
) -> Any:
    """`noticed` for a cursor's `execute`, the one call that must cost next to nothing: +0.4 µs.

    The handle is `self.connection._whoholds`; `status(connection)` is libpq's transaction status, and where there is
    none, `connection.in_transaction` tells. Calls with one or two arguments take no detour over tuples.
    """
    clock = ledger.clock
    thread = _thread  # asked through the module: gevent may patch it later

    def state(cursor: Any) -> Any:
        connection = cursor.connection
        return connection.in_transaction if status is None else _OPEN[status(connection)]

    def call(self: Any, sql: Any = _MISSING, values: Any = _MISSING, /, *rest: Any, **named: Any) -> Any:
        try:
            connection = self.connection
            handle = connection._whoholds
        except AttributeError:  # not opened yet, or not one of ours
            connection = handle = None
        me = thread.get_ident()
        if handle is None or handle.caller == me:
            try:
                return original(self, *_given(sql, values, rest), **named)
            except BaseException:
                del self, connection, sql, values, rest, named
                raise
        if handle.caller:
            _met(ledger, handle, me, sys._getframe(1))
        handle.caller = me
        began = clock()
        try:
            if values is _MISSING and sql is not _MISSING and not named:
                result = original(self, sql)
            elif not rest and not named and sql is not _MISSING:
                result = original(self, sql, values)
            else:
                result = original(self, *_given(sql, values, rest), **named)
        except BaseException as exc:
            _failed(self, handle, exc, state, failed, clock())
            remember(handle, sql, began, handle.used_at - began)
            del self, connection, sql, values, rest, named, exc
            raise
        now = clock()
        took = now - began
        handle.busy_s += took
        handle.used_at = now
        handle.used_by = me
        handle.caller = 0
        try:
            handle.in_transaction = connection.in_transaction if status is None else _OPEN[status(connection)]
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        uses = handle.uses
        if type(sql) is str and len(sql) <= LONGEST_SQL:
            handle.ring[uses % RING] = (sql, began, took)
        else:
            remember(handle, sql, began, took)
        handle.uses = uses + 1
        return result

    return _told(stands_for(call, original), ledger, _of_cursor, sql=True)


def _given(sql: Any, values: Any, rest: tuple[Any, ...]) -> tuple[Any, ...]:
    """The positional arguments of a call, as they came."""
    if sql is _MISSING:
        return ()
    return (sql,) if values is _MISSING else (sql, values, *rest)


def _of_cursor(cursor: Any) -> Handle:
    handle: Handle = cursor.connection._whoholds
    return handle


def _met(ledger: Ledger, handle: Handle, me: int, frame: Any) -> None:
    """Somebody else is inside a call on `handle`, or it is the parent's, from before a fork."""
    if handle.inherited:
        ledger.used_in_child(handle, frame)
    else:
        ledger.shared_at_once(handle, me)


_COPIES = ("copy_from", "copy_to")  # statements although their first argument is none


def _told(call: Any, ledger: Ledger, handle_of: HandleOf, *, sql: bool) -> Any:
    """`call` itself, unless statements have spans: then `call`, and afterwards the ledger told of it."""
    tell, name = ledger.on_statement, call.__name__
    if tell is None or not (sql or name in _COPIES):
        return call
    get_ident = _thread

    def statement(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            handle = handle_of(self)
        except (AttributeError, LookupError):
            handle = None
        outermost = handle is not None and handle.caller != get_ident.get_ident()
        began = time_ns()
        try:
            result = call(self, *args, **kwargs)
        except BaseException as exc:
            if outermost:
                tell(handle, name, args, kwargs, began, time_ns(), exc)
            del self, args, kwargs, exc
            raise
        if outermost:
            tell(handle, name, args, kwargs, began, time_ns(), None)
        return result

    return stands_for(statement, call)


def _told_async(call: Any, ledger: Ledger, handle_of: HandleOf, *, sql: bool) -> Any:
    """The same for a coroutine function."""
    tell, name = ledger.on_statement, call.__name__
    if tell is None or not (sql or name in _COPIES):
        return call

    async def statement(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            handle = handle_of(self)
        except (AttributeError, LookupError):
            handle = None
        outermost = handle is not None and handle.caller != task_or_thread()
        began = time_ns()
        try:
            result = await call(self, *args, **kwargs)
        except BaseException as exc:
            if outermost:
                tell(handle, name, args, kwargs, began, time_ns(), exc)
            del self, args, kwargs, exc
            raise
        if outermost:
            tell(handle, name, args, kwargs, began, time_ns(), None)
        return result

    return stands_for(statement, call)


def connect_failed(ledger: Ledger, where: Database, exc: BaseException, began: float) -> None:
    """Tell of a connection that could not be opened, where that has a span; `began` is the ledger's clock."""
    if ledger.on_connect_failed is not None:
        ended = time_ns()
        ledger.on_connect_failed(where, exc, ended - int((ledger.clock() - began) * 1e9), ended)


def _failed(
    self: Any, handle: Handle, exc: BaseException, transaction: State, failed: Failed | None, now: float
) -> None:
    handle.uses += 1
    handle.used_at = now
    handle.caller = 0
    try:
        handle.in_transaction = transaction(self)
        if failed is not None:
            failed(self, handle, exc)
    except Exception as error:  # noqa: BLE001 - our fault must stay ours
        stays_ours(error)


def called(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, is_closed: State | None = None) -> Any:
    """`original`, a `close`: once it has returned, its handle is closed. A close that raises closes nothing.

    Where a close may also give back or do nothing, or raise and close all the same, `is_closed(self)` tells.
    """

    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except BaseException:
            if is_closed is not None:
                _closed(self, ledger, handle_of, is_closed)
            del self, args, kwargs
            raise
        _closed(self, ledger, handle_of, is_closed)
        return result

    return stands_for(close, original)


def called_async(
    original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, is_closed: State | None = None
) -> Any:
    """The same for a coroutine function."""

    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(self, *args, **kwargs)
        except BaseException:
            if is_closed is not None:
                _closed(self, ledger, handle_of, is_closed)
            del self, args, kwargs
            raise
        _closed(self, ledger, handle_of, is_closed)
        return result

    return stands_for(close, original)


def _closed(self: Any, ledger: Ledger, handle_of: HandleOf, is_closed: State | None) -> None:
    try:
        handle = handle_of(self)
    except (AttributeError, LookupError):
        return
    if is_closed is None or is_closed(self):
        ledger.closed(handle)


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


def opening_async(
    original: Callable[..., Any],
    ledger: Ledger,
    driver: str,
    told: Told,
    keep: Callable[[Any, Handle], None],
    asked: Where | None = None,
) -> Any:
    """The same for a coroutine function."""
    clock = ledger.clock

    async def open(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A001 - it takes the original's name
        began = clock()
        try:
            result = await original(self, *args, **kwargs)
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
        _took(made, handle_of, clock() - began)
        return made

    return stands_for(connect, original)


def connecting_async(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, asked: Where) -> Any:
    """The same for a coroutine function."""
    clock = ledger.clock

    async def connect(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            made = await original(*args, **kwargs)
        except BaseException as exc:
            refused(ledger, exc, asked, None, args, kwargs, sys._getframe(1), began)
            del args, kwargs, exc
            raise
        _took(made, handle_of, clock() - began)
        return made

    return stands_for(connect, original)


def _took(made: Any, handle_of: HandleOf, seconds: float) -> None:
    try:
        handle_of(made).connect_s = seconds
    except (AttributeError, LookupError):
        pass


def refused(
    ledger: Ledger,
    exc: BaseException,
    asked: Where,
    self: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    frame: Any,
    began: float,
) -> None:
    """Tell the ledger where `exc` says that there are too many connections, or where failed connects have spans."""
    try:
        if is_refusal(exc):
            ledger.refused(exc, asked(self, args, kwargs), frame)
        if ledger.on_connect_failed is not None:
            connect_failed(ledger, asked(self, args, kwargs), exc, began)
    except Exception as error:  # noqa: BLE001 - our fault must stay ours
        stays_ours(error)


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
