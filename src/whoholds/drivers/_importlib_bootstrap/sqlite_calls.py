"""sqlite3's two frames of ours on the user's stack: `connect`, and `Connection.__init__`.

In a file of that name for `warnings`, as `_frames_importlib_bootstrap` says.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from whoholds.hooks.seams import stands_for

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
            args, kwargs = _asked_once(args, kwargs)
            original(self, *args, **kwargs)
        except BaseException as exc:
            not_opened(args, kwargs, exc, began)
            del self, args, kwargs, exc
            raise
        opened(self, args, kwargs, sys._getframe(1), began)

    return stands_for(__init__, original)


def _asked_once(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The same arguments with the path of a path-like object, which is asked for it here and not again by C."""
    path = args[0] if args else kwargs.get("database")
    kind = type(path)
    if kind is str or kind is bytes or not hasattr(kind, "__fspath__"):
        return args, kwargs
    path = os.fspath(path)  # type: ignore[arg-type]  # it has the method
    return ((path, *args[1:]), kwargs) if args else (args, {**kwargs, "database": path})


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
        try:
            if len(args) <= 1 and "factory" not in kwargs:
                kwargs["factory"] = plain
                return original(*args, **kwargs)
            ours = factory(args, kwargs)
            if len(args) > 1 and as_keywords(args, kwargs, "sqlite3.connect")[0] is not args:
                # as `connect` does in C, which hands all of its arguments on, but would blame this line
                connection = ours(*args, **kwargs)
            else:
                if len(args) > _FACTORY:
                    args = (*args[:_FACTORY], ours, *args[_FACTORY + 1 :])
                else:
                    kwargs["factory"] = ours
                connection = original(*args, **kwargs)
        except BaseException:
            del args, kwargs
            raise
        made(connection)
        return connection

    return stands_for(connect, original)


_FACTORY = 5  # its place among the arguments
