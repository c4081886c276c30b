"""The methods of proxies: each calls on to what its proxy stands before, and gives the proxy where that gives itself.

What `around` promises they promise too. A proxy has its handle as `_self_handle`, None until it is open; a cursor's
proxy has its connection's as `_self_connection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.drivers._importlib_bootstrap.awaited import Step, awaited, is_awaitable, iterable
from whoholds.drivers._proxies import as_itself
from whoholds.hooks.seams import stays_ours

if TYPE_CHECKING:
    from collections.abc import Callable


def forward(name: str) -> Any:
    """The method `name` of what a proxy stands before."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return as_itself(self, getattr(self.__wrapped__, name)(*args, **kwargs))
        except BaseException:
            del self, args, kwargs
            raise

    call.__name__ = name
    return call


def forward_async(name: str) -> Any:
    """`forward` for a coroutine function."""

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return as_itself(self, await getattr(self.__wrapped__, name)(*args, **kwargs))
        except BaseException:
            del self, args, kwargs
            raise

    call.__name__ = name
    return call


def making_cursors(cursor_of: Callable[[Any, Any], Any]) -> Any:
    """A connection's `cursor`: what it gives now, or once it is awaited, becomes `cursor_of(connection, cursor)`."""

    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = None
        try:
            made = self.__wrapped__.cursor(*args, **kwargs)
            if made is self.__wrapped__:
                return self
            try:
                if is_awaitable(made) and not hasattr(type(made), "execute"):
                    return awaited(made, lambda awaiting: _cursor_to_come(self, awaiting, cursor_of))
                return cursor_of(self, made)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, "connection.cursor")
                return made
        except BaseException:
            del self, args, kwargs, made
            raise

    return cursor


def _cursor_to_come(connection: Any, awaiting: Any, cursor_of: Callable[[Any, Any], Any]) -> Any:
    made = None
    try:
        made = yield from awaiting
        try:
            return cursor_of(connection, made)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, "connection.cursor")
            return made
    except BaseException:
        del connection, awaiting, made
        raise


# --- blocks -----------------------------------------------------------------------------------------------------------


def enter(self: Any) -> Any:
    """`__enter__` of a connection or cursor."""
    try:
        return as_itself(self, self.__wrapped__.__enter__())
    except BaseException:
        del self
        raise


async def enter_async(self: Any) -> Any:
    """`__aenter__` of a cursor."""
    try:
        return as_itself(self, await self.__wrapped__.__aenter__())
    except BaseException:
        del self
        raise


def leaving(left: Callable[[Any], None]) -> Any:
    """`__exit__` of a connection, after which `left(self)` is called."""

    def leave(self: Any, *exc: Any) -> Any:
        try:
            result = self.__wrapped__.__exit__(*exc)
            try:
                left(self)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, "connection.__exit__")
            return result  # noqa: TRY300 - shorter this way
        except BaseException:
            del self, exc
            raise

    return leave


def leaving_async(left: Callable[[Any], None]) -> Any:
    """`__aexit__` of a connection, after which `left(self)` is called."""

    async def leave(self: Any, *exc: Any) -> Any:
        try:
            result = await self.__wrapped__.__aexit__(*exc)
            try:
                left(self)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, "connection.__aexit__")
            return result  # noqa: TRY300 - shorter this way
        except BaseException:
            del self, exc
            raise

    return leave


# --- connections that are opened by being awaited or entered ----------------------------------------------------------


def wait(self: Any) -> Any:
    """`__await__` of a connection."""
    try:
        return _opened_by(self, iterable(self.__wrapped__.__await__()))
    except BaseException:
        del self
        raise


async def open_async(self: Any) -> Any:
    """`__aenter__` of a connection."""
    try:
        return await Step(_opened_by(self, iterable(self.__wrapped__.__aenter__().__await__())))
    except BaseException:
        del self
        raise


def _opened_by(proxy: Any, awaiting: Any) -> Any:
    result = None
    try:
        result = yield from awaiting
        try:
            if proxy._self_handle is None:
                proxy._self_open(proxy)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, "connect")
        return as_itself(proxy, result)
    except BaseException:
        del proxy, awaiting, result
        raise


def to_come(
    clock: Callable[[], float], took: Callable[[Any, float], Any], failed: Callable[[BaseException, float], None]
) -> Callable[[Any], Any]:
    """What the awaitable of a connection goes through: `took(made, began)` is what is given, `failed(exc, began)` told.

    `began` is the clock's when the program begins to wait.
    """

    def run(awaiting: Any) -> Any:
        began, made = clock(), None
        try:
            made = yield from awaiting
            try:
                return took(made, began)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, "connect")
                return made
        except BaseException as exc:
            try:
                failed(exc, began)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, "connect")
            finally:
                del awaiting, made, exc
            raise

    return run


def closed_attribute(connection: Any) -> Any:
    """What the connection says in its attribute `closed`; None where it has none that can be read."""
    try:
        return connection.closed
    except Exception as error:  # noqa: BLE001 - it is the library's attribute, and may be there or not
        if type(error) is not AttributeError:
            stays_ours(error, "connection.closed")
        return None
