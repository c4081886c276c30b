"""What an asynchronous module gives for a connection to come: awaited, entered and sent to as the original.

A proxy stands before the library's own awaitable. What comes out of that goes through a generator of ours, in the
task that waits: no frame of ours is left when nobody waits, and what is never awaited is the library's to warn of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.drivers._proxies import proxy_class

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    # Takes the iterator of the library's awaitable, and gives what stands for its result.
    Run = Callable[[Any], Generator[Any, Any, Any]]

_CLASSES: dict[type, type] = {}


def is_awaitable(thing: Any) -> bool:
    """Whether `await thing` or `async with thing` is meant. Called in the user's thread: the type alone is asked."""
    kind = type(thing)
    return hasattr(kind, "__await__") or hasattr(kind, "__aenter__")


def awaited(thing: Any, run: Run, left: Callable[[], None] | None = None) -> Any:
    """A proxy of the awaitable `thing`: what it gives goes through `run`; `left()` after its `async with`."""
    kind = type(thing)
    made = _CLASSES.get(kind)
    if made is None:
        names = {name: method for name, method in _METHODS.items() if hasattr(kind, name)}
        if "__await__" not in names:
            names = {name: method for name, method in names.items() if name not in _GENERATORS}
        made = _CLASSES.setdefault(kind, proxy_class(kind, names))
    proxy = made(thing)
    proxy._self_run = run
    proxy._self_left = left
    proxy._self_steps = None
    return proxy


class Step:
    """An awaitable of a generator, so that an `async def` of ours can wait for it."""

    __slots__ = ("_generator",)

    def __init__(self, generator: Generator[Any, Any, Any]) -> None:
        self._generator = generator

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._generator


class _Iterable:
    """Something to `yield from`, of an iterator that has no `__iter__`, as Rust's coroutines have none."""

    __slots__ = ("_iterator",)

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __iter__(self) -> Any:
        return self._iterator


def iterable(awaiting: Any) -> Any:
    """What `__await__` has returned, for a `yield from`, which asks more of an iterator than `await` does."""
    return awaiting if hasattr(type(awaiting), "__iter__") else _Iterable(awaiting)


def _await(self: Any) -> Any:
    try:
        return self._self_run(iterable(self.__wrapped__.__await__()))
    except BaseException:
        del self
        raise


async def _aenter(self: Any) -> Any:
    try:
        return await Step(self._self_run(iterable(self.__wrapped__.__aenter__().__await__())))
    except BaseException:
        del self
        raise


async def _aexit(self: Any, *exc: Any) -> Any:
    try:
        result = await self.__wrapped__.__aexit__(*exc)
        if self._self_left is not None:
            self._self_left()
        return result  # noqa: TRY300 - shorter this way
    except BaseException:
        del self, exc
        raise


# A coroutine's own methods, for whoever drives it by hand: asyncio's tasks do.


def _send(self: Any, value: Any) -> Any:
    try:
        return _steps(self).send(value)
    except BaseException:
        del self, value
        raise


def _throw(self: Any, *exc: Any) -> Any:
    try:
        return (self._self_steps or self.__wrapped__).throw(*exc)
    except BaseException:
        del self, exc
        raise


def _close(self: Any) -> Any:
    try:
        return (self._self_steps or self.__wrapped__).close()
    except BaseException:
        del self
        raise


def _next(self: Any) -> Any:
    return _send(self, None)


def _steps(self: Any) -> Any:
    if self._self_steps is None:
        self._self_steps = self.__await__()
    return self._self_steps


_GENERATORS: dict[str, Any] = {"send": _send, "throw": _throw, "close": _close, "__iter__": _await, "__next__": _next}
_METHODS: dict[str, Any] = {"__await__": _await, "__aenter__": _aenter, "__aexit__": _aexit, **_GENERATORS}
