"""The calls that lend a pool's connection: `around`, written out, because each request of a program borrows.

What `calls` promises these promise too.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from whoholds.drivers._importlib_bootstrap.calls import around
from whoholds.hooks.seams import stands_for, stays_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import Before, Lent, NotLent


def lending(  # noqa: C901 - one sequence: parts of it would cost calls or clarity
    original: Callable[..., Any], asks: Before, lent: Lent, not_lent: NotLent
) -> Any:
    """`original`, the method of a pool that lends a connection.

    `asks(self, args, kwargs, frame)` gives the loan that waits from now on, or None where nothing is told of this call.
    Then comes `lent(self, loan, result)`, or `not_lent(self, loan, exc, args, kwargs)`, which follows also where the
    program's signal handler raised in one of the others: the loan is then None where `asks` did not end.
    """
    frame_at = sys._getframe

    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        loan = result = None
        try:
            try:
                loan = asks(self, args, kwargs, frame_at(1))
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
            if loan is not None:
                try:
                    if loan.pool is not None:
                        loan.pool.waiting.discard(loan)
                    lent(self, loan, result)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
        except BaseException as exc:
            try:
                not_lent(self, loan, exc, args, kwargs)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del self, args, kwargs, loan, result, exc
            raise
        return result

    return stands_for(call, original)


def lending_async(original: Callable[..., Any], asks: Before, lent: Lent, not_lent: NotLent) -> Any:
    """`lending` for a coroutine function; `asks` is called when the coroutine starts, not when it is made."""
    frame_at = sys._getframe

    async def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        loan = result = None
        try:
            try:
                loan = asks(self, args, kwargs, frame_at(1))
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            result = await original(self, *args, **kwargs)
            if loan is not None:
                try:
                    if loan.pool is not None:
                        loan.pool.waiting.discard(loan)
                    lent(self, loan, result)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
        except BaseException as exc:
            try:
                not_lent(self, loan, exc, args, kwargs)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del self, args, kwargs, loan, result, exc
            raise
        return result

    return stands_for(call, original)


_RESET = ("self", "pool", "transaction_was_reset", "terminate_only", "asyncio_safe")


def resetting(original: Callable[..., Any], before: Before) -> Any:
    """`original`, the `_reset` of SQLAlchemy's connection proxy, with `before(proxy, (), {}, None)`.

    SQLAlchemy calls it with keywords. Where the names are those of 2.0, they are named here too: a call that takes any
    keywords makes a dict of them, which doubles its price.
    """
    code = original.__code__
    if code.co_varnames[: code.co_argcount] != _RESET or code.co_kwonlyargcount:
        return around(original, before, framed=False)

    def call(self: Any, pool: Any, transaction_was_reset: Any, terminate_only: Any, asyncio_safe: Any) -> Any:
        try:
            try:
                before(self, (), {}, None)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            return original(self, pool, transaction_was_reset, terminate_only, asyncio_safe)
        except BaseException:
            del self, pool, transaction_was_reset, terminate_only, asyncio_safe
            raise

    return stands_for(call, original)
