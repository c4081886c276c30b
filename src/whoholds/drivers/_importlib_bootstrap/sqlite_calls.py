"""sqlite3's own frames of ours on the user's stack: `connect`, `Connection.__init__` and `Connection.cursor`.

`around` written out, because these are called often; what it promises they promise too.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from whoholds.hooks.seams import stands_for, stays_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    Arguments = tuple[tuple[Any, ...], dict[str, Any]]
    AsKeywords = Callable[[tuple[Any, ...], dict[str, Any], str], Arguments]


def init(
    original: Callable[..., None],
    clock: Callable[[], float],
    as_keywords: AsKeywords,
    opened: Callable[..., None],
    not_opened: Callable[..., None],
) -> Any:
    """`Connection.__init__`, which tells `opened` or `not_opened`."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's
        began = clock()
        try:
            if len(args) > 1:
                args, kwargs = as_keywords(args, kwargs, "_sqlite3.Connection")
            path = args[0] if args else kwargs.get("database")
            kind = type(path)
            if kind is not str and kind is not bytes and hasattr(kind, "__fspath__"):
                path = os.fspath(path)  # type: ignore[arg-type]  # asked here, and not again by C
                if args:
                    args = (path, *args[1:])
                else:
                    kwargs["database"] = path
            original(self, *args, **kwargs)
            try:
                opened(self, args, kwargs, sys._getframe(1), began)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
        except BaseException as exc:
            try:
                not_opened(args, kwargs, exc, began)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            finally:
                path = None
                del self, args, kwargs, exc
            raise

    return stands_for(__init__, original)


def making_cursors(
    original: Callable[..., Any], ours: type, factory: Callable[[Any], Any], note_line: Callable[[Any, Any], None]
) -> Any:
    """`Connection.cursor`, with our class `ours` for the factory, or `factory(wanted)` for the user's."""

    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = None
        try:
            if not args and not kwargs:
                made = original(self, ours)
            else:
                try:
                    if len(args) == 1 and not kwargs:
                        args = (factory(args[0]),)
                    elif not args and len(kwargs) == 1 and "factory" in kwargs:
                        kwargs["factory"] = factory(kwargs["factory"])
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
                made = original(self, *args, **kwargs)
            try:
                note_line(made, sys._getframe(1))
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
        except BaseException:
            del self, args, kwargs, made
            raise
        return made

    return stands_for(cursor, original)


def connecting(
    original: Callable[..., Any],
    plain: type,
    factory: Callable[[tuple[Any, ...], dict[str, Any]], Any],
    as_keywords: AsKeywords,
    made: Callable[[Any], None],
) -> Any:
    """`sqlite3.connect`, with our class `plain` for the factory, or `factory(args, kwargs)` where the user has one.

    `made` is told of what the user's factory made.
    """

    def connect(*args: Any, **kwargs: Any) -> Any:
        ours = connection = None
        try:
            if len(args) <= 1 and "factory" not in kwargs:
                kwargs["factory"] = plain
                return original(*args, **kwargs)
            try:
                ours = factory(args, kwargs)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
                return original(*args, **kwargs)
            if len(args) > 1 and as_keywords(args, kwargs, "sqlite3.connect")[0] is not args:
                # as `connect` does in C, which hands all of its arguments on, but would blame this line
                connection = ours(*args, **kwargs)
            else:
                if len(args) > _FACTORY:
                    args = (*args[:_FACTORY], ours, *args[_FACTORY + 1 :])
                else:
                    kwargs["factory"] = ours
                connection = original(*args, **kwargs)
            try:
                made(connection)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
        except BaseException:
            del args, kwargs, ours, connection
            raise
        return connection

    return stands_for(connect, original)


_FACTORY = 5  # its place among the arguments
