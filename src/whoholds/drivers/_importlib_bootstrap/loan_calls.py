"""The calls that lend a pool's connection: `around`, written out, because each request of a program borrows.

What `calls` promises these promise too.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from whoholds.hooks.seams import stands_for, stays_ours
from whoholds.ledger.cpython import attribute as own  # no `__getattr__` runs, which would ask the connection below

_ANY_ARGUMENTS = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_NOTHING: dict[str, Any] = {}

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import After, Asks, Before, Failed, Lent, NotLent, NotTaken, Takes


def lending(  # noqa: C901 - one sequence: parts of it would cost calls or clarity
    original: Callable[..., Any], asks: Asks, lent: Lent, not_lent: NotLent
) -> Any:
    """`original`, the method of a pool that lends a connection.

    `asks(self, frame)` gives the loan that waits from now on, or None where nothing is told of this call. Then comes
    `lent(self, loan, result)`, or `not_lent(self, loan, exc, args, kwargs)`, which follows also where the program's
    signal handler raised in one of the others: the loan is then None where `asks` did not end.
    """
    many = _plain_parameters(original)
    if many is None or many > 2:  # noqa: PLR2004 - as below
        return lending_by_arguments(original, lambda self, _args, _kwargs, frame: asks(self, frame), lent, not_lent)
    frame_at = sys._getframe

    def call(self: Any, a: Any, b: Any) -> Any:
        loan = result = None
        try:
            try:
                loan = asks(self, frame_at(1))
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            if many == 1:
                result = original(self, a)
            elif not many:
                result = original(self)
            else:
                result = original(self, a, b)
            if loan is not None:
                try:
                    pool = loan.pool
                    if pool is not None and pool.waiting:
                        pool.waiting.discard(loan)
                    lent(self, loan, result)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
        except BaseException as exc:
            try:
                not_lent(self, loan, exc, (a,) if many == 1 else (a, b) if many else (), _NOTHING)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                a = b = None
                del self, loan, result, exc
            raise
        return result

    return _with_parameters_of(original, call, many)


def lending_by_arguments(  # noqa: C901 - likewise
    original: Callable[..., Any], asks: Before, lent: Lent, not_lent: NotLent
) -> Any:
    """`lending` where the arguments say who lends: `asks(self, args, kwargs, frame)` gets them."""
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


def lending_async(original: Callable[..., Any], asks: Asks, lent: Lent, not_lent: NotLent) -> Any:
    """`lending` for a coroutine function; `asks` is called when the coroutine starts, not when it is made."""
    frame_at = sys._getframe

    async def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        loan = result = None
        try:
            try:
                loan = asks(self, frame_at(1))
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


def while_lent(
    original: Callable[..., Any],
    mark: str,
    before: Before | None = None,
    after: After | None = None,
    failed: Failed | None = None,
) -> Any:
    """`around` for a method without arguments of what a pool has lent: only while its attribute `mark` is set.

    What was given back is closed a second time by its finalizer, which then costs next to nothing.
    """

    def call(self: Any, /) -> Any:
        kept = result = None
        lent = False
        try:
            try:
                lent = own(self, mark) is not None
                if lent and before is not None:
                    kept = before(self, (), _NOTHING, None)
            except AttributeError:  # no pool of ours has lent it
                pass
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            result = original(self)
            if lent and after is not None:
                try:
                    after(self, kept, result, None)
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
        except BaseException as exc:
            try:
                if lent and failed is not None:
                    failed(self, kept, exc, None)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del self, kept, result, exc
            raise
        return result

    return stands_for(call, original)


def around_named(original: Callable[..., Any], before: Takes, failed: NotTaken | None = None) -> Any:
    """Stand around a method whose callers may name its arguments: `before(self, first)` gets the first of them.

    `failed(self, first, exc)` follows where the method raised, or a signal's handler did in here. A call that takes any
    keywords makes a dict of them, and one more for `original`: twice the price. So this call has the parameters of
    `original`, where they are one to four plain ones.
    """
    many = _plain_parameters(original)
    if many is None or not 1 <= many <= 4:  # noqa: PLR2004 - as below
        return _around_any(original, before, failed)

    def call(self: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        result = None
        try:
            try:
                before(self, a)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            if many == 1:
                result = original(self, a)
            elif many == 2:  # noqa: PLR2004 - the number of parameters
                result = original(self, a, b)
            elif many == 3:  # noqa: PLR2004 - likewise
                result = original(self, a, b, c)
            else:
                result = original(self, a, b, c, d)
        except BaseException as exc:
            try:
                if failed is not None:
                    failed(self, a, exc)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                a = b = c = d = None
                del self, result, exc
            raise
        return result

    return _with_parameters_of(original, call, many)


def _around_any(original: Callable[..., Any], before: Takes, failed: NotTaken | None) -> Any:
    """`around_named` for a method with any parameters."""

    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        first = result = None
        try:
            try:
                first = args[0] if args else next(iter(kwargs.values()), None)
                before(self, first)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            try:
                if failed is not None:
                    failed(self, first, exc)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del self, args, kwargs, first, result, exc
            raise
        return result

    return stands_for(call, original)


def around_named_async(original: Callable[..., Any], before: Takes, failed: NotTaken | None = None) -> Any:
    """`around_named` for a coroutine function; `before` is called when the coroutine starts, not when it is made."""

    async def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        first = result = None
        try:
            try:
                first = args[0] if args else next(iter(kwargs.values()), None)
                before(self, first)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            result = await original(self, *args, **kwargs)
        except BaseException as exc:
            try:
                if failed is not None:
                    failed(self, first, exc)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                del self, args, kwargs, first, result, exc
            raise
        return result

    return stands_for(call, original)


def _plain_parameters(original: Any) -> int | None:
    """How many parameters a method takes after `self`; None if it is no Python function or takes others than plain."""
    code = getattr(original, "__code__", None)
    if code is None or code.co_kwonlyargcount or code.co_flags & _ANY_ARGUMENTS:
        return None
    return int(code.co_argcount) - 1


def _with_parameters_of(original: Any, call: Any, many: int) -> Any:
    """`call` with the names and defaults of the `many` parameters of `original` for its own after `self`.

    Those that it has beyond have no value.
    """
    theirs, ours = original.__code__, call.__code__
    names = (*theirs.co_varnames[: many + 1], *ours.co_varnames[many + 1 :])
    call.__code__ = ours.replace(co_varnames=names, co_argcount=many + 1)
    call.__defaults__ = original.__defaults__
    return stands_for(call, original)
