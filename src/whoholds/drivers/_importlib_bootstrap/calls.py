"""The calls that stand in the place of a library's own: every frame of ours on the user's stack is one of these.

An exception that the program keeps has our frame in its traceback, and its locals with it: each call drops its
arguments before it lets one pass, and only the calls of this folder do that. `around` is for everything that need not
be fast; `used`, `statement` and `closing` are the same idea written out. Coroutine functions have theirs in
`async_calls`. What a call tells the ledger stands in `uses`.

Three promises, whatever happens: the library's own call is made exactly once with the program's arguments, the program
gets its result or its exception, and a fault of ours goes to `stays_ours`. A signal's handler may raise at any
instruction: what is set here is set inside the `try` that takes it back.

The file is long because the calls that each statement and loan pays for are written out: a helper costs a call more.
"""

from __future__ import annotations

import _thread
import sys
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.drivers._importlib_bootstrap.uses import (
    LONGEST_SQL,
    Uses,
    closed,
    met,
    not_ours,
    remember,
    thread,
    whoholds_of,
)
from whoholds.hooks.seams import stands_for, stays_ours
from whoholds.ledger.handle import RING

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import (
        After,
        Arguments,
        Before,
        Broke,
        Failed,
        Gives,
        HandleOf,
        State,
    )
    from whoholds.ledger.ledger import Ledger


_OPEN = (False, False, True, True, False)  # by libpq's transaction status: INTRANS and INERROR


def around(  # noqa: C901 - one sequence: parts of it would cost calls or clarity
    original: Callable[..., Any],
    before: Before | None = None,
    after: After | None = None,
    failed: Failed | None = None,
    *,
    arguments: Arguments | None = None,
    gives: Gives | None = None,
    method: bool = True,
    framed: bool = True,
) -> Any:
    """Stand around `original`, a method, or a function where `method` is false: `self` is None then.

    `before(self, args, kwargs, frame)` gives what is kept for the others; then comes `after(self, kept, result, frame)`
    or `failed(self, kept, exc, frame)`, with `kept` None where `before` did not end. `frame` is the caller's.
    `failed` also follows an `after` in which a signal's handler raised. `arguments(self, args, kwargs)` gives the
    positional and keyword arguments to call with, `gives(self, kept, result, frame)` what the program gets instead of
    the result. Each of these may fail: then the call is as if it were not there. Where `framed` is false the hooks get
    None for the frame, whose object need then not be made.
    """
    if method and arguments is None and gives is None:
        return _around_method(original, before, after, failed, framed=framed)

    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: C901 - one sequence: parts of it would cost calls or clarity
        kept = result = None
        thing, rest = (args[0], args[1:]) if method and args else (None, args)
        try:
            if before is not None:
                try:
                    kept = before(thing, rest, kwargs, sys._getframe(1))
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
            if arguments is not None:
                try:
                    rest, kwargs = arguments(thing, rest, kwargs)
                    args = (thing, *rest) if method else rest
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
            result = original(*args, **kwargs)
            try:
                if after is not None:
                    after(thing, kept, result, sys._getframe(1))
                if gives is not None:
                    result = gives(thing, kept, result, sys._getframe(1))
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
        except BaseException as exc:
            try:
                if failed is not None:
                    failed(thing, kept, exc, sys._getframe(1))
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del args, kwargs, thing, rest, kept, result, exc
            raise
        return result

    return stands_for(call, original)


def _around_method(  # noqa: C901 - one sequence: parts of it would cost calls or clarity
    original: Callable[..., Any], before: Before | None, after: After | None, failed: Failed | None, *, framed: bool
) -> Any:
    """`around` for most methods: a pool's loan passes through two of them or more, and each step counts there."""
    frame_at = sys._getframe

    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: C901 - likewise
        kept = result = None
        try:
            if before is not None:
                try:
                    kept = before(self, args, kwargs, frame_at(1) if framed else None)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
            if kwargs:
                result = original(self, *args, **kwargs)
            elif not args:
                result = original(self)
            elif len(args) == 1:  # a call that need not be unpacked costs half
                result = original(self, args[0])
            else:
                result = original(self, *args)
            if after is not None:
                try:
                    after(self, kept, result, frame_at(1) if framed else None)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
        except BaseException as exc:
            try:
                if failed is not None:
                    failed(self, kept, exc, frame_at(1))
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del self, args, kwargs, kept, result, exc
            raise
        return result

    return stands_for(call, original)


def used(  # noqa: C901 - one sequence: parts of it would cost calls or clarity
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    transaction: State,
    *,
    sql: bool = False,
    broke: Broke | None = None,
    status: State | None = None,
) -> Any:
    """`original`, a method, of which each call is a use; what it calls in its turn is the same use. See `Uses`.

    Where `self` is a connection of libpq's, `status(self)` gives its transaction status, and is asked instead of
    `transaction(self)` where the call has returned: a call less.
    """
    uses = Uses(original, ledger, handle_of, transaction, thread, sql=sql, broke=broke)
    clock, fail = ledger.clock, uses.fail
    threads = _thread  # asked through the module: gevent may patch it later
    plainly = handle_of is whoholds_of

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle: Any
        me = threads.get_ident()
        try:
            handle = self._whoholds if plainly else handle_of(self)
            inside = handle.caller
        except Exception as error:  # noqa: BLE001 - not open yet, or not one of ours
            handle, inside = None, me
            not_ours(error, original)
        if inside:
            if inside == me:
                try:
                    return original(self, *args, **kwargs)
                except BaseException:
                    del self, args, kwargs
                    raise
            met(ledger, handle, me, inside, sys._getframe(1), original)
        began, result = clock(), None
        try:
            try:
                handle.caller = me
                result = original(self, *args, **kwargs) if args or kwargs else original(self)
                now = clock()  # from here on as `Uses.leave`, written out
                handle.calls_s += now - began
                handle.used_at = now
                handle.used_by = me
                handle.caller = 0
                try:
                    if sql and args:
                        remember(handle, args[0], began, now - began)
                    handle.calls += 1
                    handle.in_transaction = transaction(self) if status is None else _OPEN[status(self)]
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
            except BaseException as exc:
                try:
                    fail(self, handle, exc, began, args, sys._getframe(1))
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
                raise
        except BaseException:  # also of a signal's handler at the beginning of the block above, where 3.10 calls it
            handle.caller = 0
            del self, args, kwargs, result
            raise
        return result

    return with_spans(stands_for(call, original), uses)


def unless_inside(original: Callable[..., Any], using: Callable[..., Any]) -> Any:
    """`using`, but straight to `original` where it is a part of a call that is a use already; with `_whoholds`."""
    threads = _thread

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            try:
                inside = self._whoholds.caller == threads.get_ident()
            except Exception as error:  # noqa: BLE001 - not open yet, or not one of ours
                inside = True
                not_ours(error, original)
            return (original if inside else using)(self, *args, **kwargs)
        except BaseException:
            del self, args, kwargs
            raise

    return stands_for(call, original)


_MISSING: Any = object()


def statement(  # noqa: C901, PLR0915 - one sequence: parts of it would cost calls or clarity
    original: Callable[..., Any],
    ledger: Ledger,
    connection_of: Callable[[Any], Any],
    transaction: State,
    status: State | None = None,
    *,
    keywords: tuple[str, str] | None = None,
    broke: Broke | None = None,
) -> Any:
    """`used` for a cursor's `execute` in C, the one call that must cost next to nothing: `Uses`, written out.

    The handle is `connection_of(self)._whoholds`; `transaction(connection)` tells whether a transaction is open, or, in
    a call less, `status(connection)` libpq's transaction status. `keywords` are the names of the statement and of its
    values where the library takes them so. Taking any keyword would make a dict of each call.
    """

    def handle_of(cursor: Any) -> Any:
        return connection_of(cursor)._whoholds

    def state(cursor: Any) -> Any:
        return transaction(connection_of(cursor))

    uses = Uses(original, ledger, handle_of, state, thread, sql=True, broke=broke)
    clock, fail = ledger.clock, uses.fail
    threads = _thread  # asked through the module: gevent may patch it later
    latest: Any = uses  # the last statement that was kept whole: mostly the next is the same object
    plain: Any = None  # a class of cursors that was seen to have the library's own `connection`
    plain_below: Any = None  # one of connections, with the library's own state of the transaction

    def call(self: Any, sql: Any = _MISSING, values: Any = _MISSING, /, *rest: Any) -> Any:  # noqa: C901, PLR0912, PLR0915 - one sequence: parts of it would cost calls or clarity
        nonlocal latest, plain, plain_below
        me = threads.get_ident()
        try:
            if type(self) is plain:
                connection = self.connection  # a third of the next line's price
            else:
                connection = connection_of(self)
                plain = plain or _reads_plainly(type(self), connection_of)
            handle = connection._whoholds
            inside = handle.caller
        except Exception as error:  # noqa: BLE001 - not open yet, or not one of ours
            connection = handle = None
            inside = me
            not_ours(error, original)
        if inside:
            if inside == me:
                try:
                    return original(self, *_given(sql, values, rest))
                except BaseException:
                    del self, connection, sql, values, rest
                    raise
            met(ledger, handle, me, inside, sys._getframe(1), original)
        began = clock()
        try:
            try:
                handle.caller = me
                if values is _MISSING and sql is not _MISSING:
                    result = original(self, sql)
                elif not rest and sql is not _MISSING:
                    result = original(self, sql, values)
                else:
                    result = original(self, *_given(sql, values, rest))
                now = clock()
                took = now - began
                handle.calls_s += took
                handle.used_at = now
                handle.used_by = me
                handle.caller = 0
                try:
                    number, ring = handle.calls, handle.ring
                    if ring and sql is latest:
                        ring[number % RING] = (sql, began, took)
                    elif ring and type(sql) is str and len(sql) <= LONGEST_SQL:
                        latest = sql
                        ring[number % RING] = (sql, began, took)
                    else:
                        remember(handle, sql, began, took)
                    handle.calls = number + 1
                    if status is not None:
                        handle.in_transaction = _OPEN[status(connection)]
                    elif type(connection) is plain_below:
                        handle.in_transaction = connection.in_transaction
                    else:
                        handle.in_transaction = transaction(connection)
                        plain_below = plain_below or _reads_plainly(type(connection), transaction)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
            except BaseException as exc:
                try:
                    fail(self, handle, exc, began, (sql,), sys._getframe(1))
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
                raise
        except BaseException:  # as in `used`
            result = None
            handle.caller = 0
            del self, connection, sql, values, rest, result
            raise
        return result

    if keywords is not None:
        _named_parameters(call, keywords)
    return with_spans(stands_for(call, original), uses)


def _reads_plainly(kind: Any, read: Any) -> Any:
    """The class, if its objects have the attribute that `read`, of C, reads, and have it without further code."""
    descriptor = read.__self__
    own = getattr(kind, descriptor.__name__) is descriptor and kind.__getattribute__ is object.__getattribute__
    return kind if own else None


def _named_parameters(call: Any, keywords: tuple[str, str]) -> None:
    """Let `call` take its two parameters after `self` by these names too, as the library does.

    The names are the library's and cannot stand in the source; a wrapper that takes any keyword would make a dict of
    each call. The contract's `test_execute_takes_what_it_took` holds it against the library.
    """
    code = call.__code__
    names = (code.co_varnames[0], *keywords, *code.co_varnames[3:])
    call.__code__ = code.replace(co_varnames=names, co_posonlyargcount=1)


def _given(sql: Any, values: Any, rest: tuple[Any, ...]) -> tuple[Any, ...]:
    """The positional arguments of a call, as they came."""
    if sql is _MISSING:
        return ()
    return (sql,) if values is _MISSING else (sql, values, *rest)


def with_spans(call: Any, uses: Uses) -> Any:
    """`call` itself, unless statements have spans: then `call`, and afterwards the ledger told of it."""
    name = call.__name__
    if not uses.has_spans(name):
        return call
    outermost, tell = uses.outermost, uses.tell

    def statement(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle, began, result = None, time_ns(), None
        try:
            try:
                handle = outermost(self)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, call)
            result = call(self, *args, **kwargs)
            try:
                if handle is not None:
                    ended, handle = handle, None
                    tell(ended, name, args, kwargs, began, None)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, call)
        except BaseException as exc:
            try:
                if handle is not None:
                    tell(handle, name, args, kwargs, began, exc)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, call)
            finally:
                del self, args, kwargs, result, exc
            raise
        return result

    return stands_for(statement, call)


def closing(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    is_closed: State | None = None,
    *,
    if_raised: State | None = None,
) -> Any:
    """`original`, a `close`: once it has returned, its handle is closed.

    Where a close may also give back or do nothing, `is_closed(self)` tells. `if_raised(self)`, or `is_closed`, tells
    after a close that raises, or in which a signal's handler raised; without either such a close closes nothing.
    """
    if_raised = if_raised or is_closed
    plainly = handle_of is whoholds_of

    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = None
        try:
            result = original(self, *args, **kwargs) if args or kwargs else original(self)
            try:  # as `closed`, written out
                try:
                    handle = self._whoholds if plainly else handle_of(self)
                except Exception as error:  # noqa: BLE001 - not one of ours
                    not_ours(error, original)
                else:
                    if is_closed is None or is_closed(self):
                        ledger.closed(handle)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
        except BaseException:
            try:
                if if_raised is not None:
                    closed(self, ledger, handle_of, if_raised, original)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del self, args, kwargs, result
            raise
        return result

    return stands_for(close, original)


def shortcut(
    original: Callable[..., Any], kind: type | None, note: Callable[[Any, Any], None], run: Callable[..., Any]
) -> Any:
    """`Connection.execute` and its like where C makes a cursor of its own: now it is ours, and `run` runs it.

    It is of the class `kind`, or, where that is None, what the program's `cursor` method makes. `note(cursor, frame)`
    is told of it before.
    """
    plain = original.__objclass__.cursor if kind is not None else None  # type: ignore[attr-defined]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        cursor = None
        try:
            cursor = self.cursor() if plain is None else plain(self, kind)
            try:
                note(cursor, sys._getframe(1))
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            run(cursor, *args, **kwargs)
        except BaseException:
            del self, args, kwargs, cursor
            raise
        return cursor

    return stands_for(call, original)


def listener(tell: Callable[..., object], name: str, *, framed: bool = True) -> Any:
    """A callable for the event `name` of a library: `tell` gets the event's arguments and the caller's frame.

    Where `framed` is false it gets the arguments alone.
    """

    def told(*args: Any) -> None:
        try:
            if framed:
                tell(*args, sys._getframe(1))
            else:
                tell(*args)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, name)

    return told
