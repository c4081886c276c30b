"""The calls that stand in the place of a library's coroutine functions: who calls is the task, not the thread.

`calls` says what each of these is. The caller's frame is asked for anew after each wait, and never kept over one: a
coroutine that kept it would be part of a cycle, and would die later than without us.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.drivers._importlib_bootstrap.uses import Uses, closed, met, not_ours, task_or_thread
from whoholds.hooks.seams import stands_for, stays_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import (
        After,
        Before,
        Broke,
        Failed,
        Gives,
        HandleOf,
        State,
        TextOf,
    )
    from whoholds.ledger.ledger import Ledger


def around_async(  # noqa: C901 - one sequence: parts of it would cost calls or clarity
    original: Callable[..., Any],
    before: Before | None = None,
    after: After | None = None,
    failed: Failed | None = None,
    *,
    gives: Gives | None = None,
    method: bool = True,
    framed: bool = True,
) -> Any:
    """`around` for a coroutine function; `before` runs when the coroutine starts, not when it is made."""
    if method and gives is None:
        return _around_method(original, before, after, failed, framed=framed)

    async def call(*args: Any, **kwargs: Any) -> Any:
        kept = result = None
        thing, rest = (args[0], args[1:]) if method and args else (None, args)
        try:
            if before is not None:
                try:
                    kept = before(thing, rest, kwargs, sys._getframe(1))
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
            result = await original(*args, **kwargs)
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


def _around_method(
    original: Callable[..., Any], before: Before | None, after: After | None, failed: Failed | None, *, framed: bool
) -> Any:
    """`around_async` for most methods: each step counts in the loan of a pool."""
    frame_at = sys._getframe

    async def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        kept = result = None
        try:
            if before is not None:
                try:
                    kept = before(self, args, kwargs, frame_at(1) if framed else None)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
            result = await original(self, *args, **kwargs)
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


_NOBODY = -2  # no ident of a thread and no id of a task


def used_async(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    transaction: State,
    *,
    sql: bool | TextOf = False,
    broke: Broke | None = None,
) -> Any:
    """`used` for a coroutine function. `sql` may be a function, too: see `Uses`."""
    uses = Uses(original, ledger, handle_of, transaction, task_or_thread, sql=sql, broke=broke)
    clock, leave, fail = ledger.clock, uses.leave, uses.fail

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle: Any
        me = _NOBODY
        try:
            me = task_or_thread()
            handle = handle_of(self)
            inside = handle.caller
        except Exception as error:  # noqa: BLE001 - not open yet, or not one of ours
            handle, inside = None, me
            not_ours(error, original)
        if inside:
            if inside == me:
                try:
                    return await original(self, *args, **kwargs)
                except BaseException:
                    del self, args, kwargs
                    raise
            met(ledger, handle, me, inside, sys._getframe(1), original)
        began, result = clock(), None
        try:
            try:
                handle.caller = me
                result = await original(self, *args, **kwargs)
                try:
                    leave(self, handle, began, args)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    handle.caller = 0
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

    return _with_spans(stands_for(call, original), uses)


def _with_spans(call: Any, uses: Uses) -> Any:
    name = call.__name__
    if not uses.has_spans(name):
        return call
    outermost, tell = uses.outermost, uses.tell

    async def statement(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle, began, result = None, time_ns(), None
        try:
            try:
                handle = outermost(self)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, call)
            result = await call(self, *args, **kwargs)
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


def closing_async(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    is_closed: State | None = None,
    *,
    if_raised: State | None = None,
) -> Any:
    """`closing` for a coroutine function."""
    if_raised = if_raised or is_closed

    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = None
        try:
            result = await original(self, *args, **kwargs)
            try:
                closed(self, ledger, handle_of, is_closed, original)
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
