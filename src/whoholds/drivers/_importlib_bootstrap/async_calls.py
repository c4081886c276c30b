"""The calls that stand in the place of a library's coroutine functions: who calls is the task, not the thread.

`_frames_importlib_bootstrap` says why the file has its name, and what each of these is.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.drivers._uses import Uses, closed, refused, task_or_thread, took
from whoholds.hooks.seams import stands_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._uses import Broke, HandleOf, State, Where
    from whoholds.ledger.ledger import Ledger


def noticed_async(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: HandleOf,
    transaction: State,
    *,
    sql: bool = False,
    broke: Broke | None = None,
) -> Any:
    """`noticed` for a coroutine function."""
    uses = Uses(ledger, handle_of, transaction, task_or_thread, sql=sql, broke=broke)
    clock, enter, leave, fail = ledger.clock, uses.enter, uses.leave, uses.fail

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle = enter(self)
        if handle is None:
            try:
                return await original(self, *args, **kwargs)
            except BaseException:
                del self, args, kwargs
                raise
        began = clock()
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as exc:
            fail(self, handle, exc, began, args)
            del self, args, kwargs, exc
            raise
        leave(self, handle, began, args)
        return result

    return _told(stands_for(call, original), uses)


def _told(call: Any, uses: Uses) -> Any:
    name = call.__name__
    tell, outermost = uses.telling(name), uses.outermost
    if tell is None:
        return call

    async def statement(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle = outermost(self)
        began = time_ns()
        try:
            result = await call(self, *args, **kwargs)
        except BaseException as exc:
            if handle is not None:
                tell(handle, name, args, kwargs, began, time_ns(), exc)
            del self, args, kwargs, exc
            raise
        if handle is not None:
            tell(handle, name, args, kwargs, began, time_ns(), None)
        return result

    return stands_for(statement, call)


def called_async(
    original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, is_closed: State | None = None
) -> Any:
    """`called` for a coroutine function."""

    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(self, *args, **kwargs)
        except BaseException:
            if is_closed is not None:
                closed(self, ledger, handle_of, is_closed)
            del self, args, kwargs
            raise
        closed(self, ledger, handle_of, is_closed)
        return result

    return stands_for(close, original)


def connecting_async(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, asked: Where) -> Any:
    """`connecting` for a coroutine function."""
    clock = ledger.clock

    async def connect(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            made = await original(*args, **kwargs)
        except BaseException as exc:
            refused(ledger, exc, asked, None, args, kwargs, sys._getframe(1), began)
            del args, kwargs, exc
            raise
        took(made, handle_of, clock() - began)
        return made

    return stands_for(connect, original)
