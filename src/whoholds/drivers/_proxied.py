"""Watching a module by what its `connect` returns: a `wrapt.ObjectProxy` of each connection, and of its cursors.

This is for types that can be watched in no other way. `isinstance` sees the real class; checks in C do not, and every
call pays about 0.7 µs for the proxy. With an asynchronous module awaiting the connection gives its proxy. A connection
that a watched library opens further in (aiopg's is psycopg2's) is left to that library's driver.
"""

from __future__ import annotations

import inspect
from contextlib import ExitStack, contextmanager
from types import MethodDescriptorType
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._importlib_bootstrap.awaited import awaited, is_awaitable
from whoholds.drivers._importlib_bootstrap.proxy_calls import (
    closed_attribute,
    enter,
    enter_async,
    forward,
    forward_async,
    leaving,
    leaving_async,
    making_cursors,
    open_async,
    to_come,
    wait,
)
from whoholds.drivers._proxies import as_itself, behind, proxy_class
from whoholds.hooks.stand_ins import StandIn
from whoholds.ledger.handle import CONNECTION, UNSEEN
from whoholds.ledger.here import OPENED_ABOVE, OpenedFor, opened_for
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger

_STATEMENTS = ("execute", "executemany", "callproc")
_SHORTCUTS = ("executescript", "sql", "query", "fetch")  # of a connection, for a cursor of its own
_CONNECTION_CALLS = ("commit", "rollback", "begin")
_FETCHES = ("fetchone", "fetchmany", "fetchall", "nextset")
_CLOSES = ("close", "ensure_closed", "aclose")


@contextmanager
def watching(ledger: Ledger, module: ModuleType, target: Callable[..., Database]) -> Iterator[None]:
    """Watch `module` while the block lasts; `target(args, kwargs)` returns the Database that `connect` is asked for.

    A module that writes to this ledger already is left as it is: each of its connections would count twice.
    """
    key = (id(ledger), id(module))  # both live as long as the block
    with ExitStack() as stands:
        me = object()
        stands.callback(_forget, key, me)
        if _stand.setdefault(key, me) is me:
            stands.enter_context(_connects(ledger, module, target))
        yield


_stand: dict[tuple[int, int], object] = {}  # which driver stands before which module; setdefault is one C call


def _forget(key: tuple[int, int], me: object) -> None:
    if _stand.get(key) is me:
        del _stand[key]


@contextmanager
def _connects(ledger: Ledger, module: ModuleType, target: Callable[..., Database]) -> Iterator[None]:
    original = module.connect
    wrapped = _async_connect if _is_coroutine_function(original) else _connect
    ours = wrapped(_Connects(ledger, module.__name__, target), original)
    if not hasattr(type(original), "__get__"):  # a C function is not bound where it is an attribute of a class
        ours = StandIn(original, ours)
    with kit.open_names() as stand:
        stand.at_the_end(kit.rebind(original, ours))  # `from module import connect`, in modules that came first
        stand(module, "connect", ours)
        yield


def _is_coroutine_function(function: Any) -> bool:
    """Whether `function` is an `async def`, also one compiled by Cython, which marks such functions in its own way."""
    # Cython's functions have the attribute on 3.10: False, or asyncio's marker for an `async def`
    return inspect.iscoroutinefunction(function) or bool(getattr(function, "_is_coroutine", False))


def _connect(connects: _Connects, original: Any) -> Any:
    """A wrapper of the module's `connect`, which returns a connection or an awaitable of one."""
    return kit.around(original, connects.asks, failed=connects.not_given, gives=connects.given, method=False)


def _async_connect(connects: _Connects, original: Any) -> Any:
    """A wrapper of the module's `connect` where it is a coroutine function."""
    return kit.around_async(original, connects.asks, failed=connects.not_given, gives=connects.come, method=False)


class _Connects:
    """The hooks of one module's `connect`: they open handles, note failures and make the proxy classes."""

    def __init__(self, ledger: Ledger, driver: str, target: Callable[..., Database]) -> None:
        self.ledger = ledger
        self._driver = driver
        self.where = target
        self._awaits = False  # whether `connect` is awaited: then the connection's own calls are, too
        self._known: dict[type, Any] = {}
        self._known_cursors: dict[type, Any] = {}

    # --- around the module's connect ------------------------------------------------------------------------------

    def asks(self, _: Any, args: Any, kwargs: Any, _frame: Any) -> tuple[float, Database]:
        """The time on the ledger's clock when the call begins, and the Database that its arguments name."""
        return self.ledger.clock(), self.where(args, kwargs)

    def not_given(self, _: Any, kept: Any, exc: Raised, frame: Any) -> None:
        """The call raised `exc`: the failure is noted."""
        if kept is not None:
            self.failed(exc, kept[1], frame, kept[0])

    def given(self, _: Any, kept: Any, made: Any, frame: Any) -> Any:
        """What the program gets for `made`: a proxy of a connection, open now or by `await`, or an awaitable of one."""
        if opened_for.get() is OPENED_ABOVE:
            return made
        began, where = kept
        if hasattr(type(made), "cursor") or not is_awaitable(made):
            return self.took(made, where, began, frame, opens=not hasattr(type(made), "__await__"))
        return awaited(made, *self.waiting(where, frame))

    def come(self, _: Any, kept: Any, made: Any, frame: Any) -> Any:
        """What the program gets for the connection `made` that a coroutine function has returned: its proxy."""
        began, where = kept
        self._awaits = True
        return self.took(made, where, began, frame)

    def failed(self, exc: Raised, where: Database, frame: Any, began: float) -> None:
        """The connection could not be opened: a refusal is noted in the ledger, and the failure is reported."""
        if kit.is_refusal(exc):
            self.ledger.refused(exc, where, frame)
        kit.connect_failed(self.ledger, where, exc, began)

    def took(self, made: Any, where: Database, began: float, at: Any, *, opens: bool = True) -> Any:
        """The proxy of the connection `made`, open now or, without `opens`, once it is awaited or entered.

        Returns `made` itself where a watched library has a handle for it. `at` is the frame of the call, or its
        origin.
        """
        if _is_watched_within(made):
            return made
        seen = False
        try:
            proxy = self._class_of(type(made))(made)
            proxy._self_handle = None
            if opens:
                self.opened(proxy, where, began, at)
            else:
                origin = capture(at, self.ledger.frames)
                proxy._self_open = lambda one: self.opened(one, where, began, origin)
            seen = True
        finally:
            if not seen:
                self.ledger.cannot_watch(self._driver, failed=True)
        return proxy

    def opened(self, proxy: Any, where: Database, began: float, at: Any) -> None:
        """The connection behind `proxy` is open: its handle is opened."""
        if type(at) is tuple:
            opened_for.set(OpenedFor(None, at))  # the next line reads and clears it
            at = None
        handle = proxy._self_handle = self.ledger.opened(CONNECTION, self._driver, where, proxy, at, began=began)
        if self._is_blind(type(proxy.__wrapped__)):
            handle.caller = UNSEEN

    def waiting(self, where: Database, frame: Any) -> tuple[Any, Any]:
        """The function that the awaitable's result goes through, and the one to call after its `async with` block.

        The opening line is that of the call, which may stand on another line than the `await`.
        """
        origin = capture(frame, self.ledger.frames)
        opened: list[Any] = []
        self._awaits = True
        del frame

        def took(made: Any, began: float) -> Any:
            proxy = self.took(made, where, began, origin)
            if proxy is not made:
                opened[:] = [proxy._self_handle]
            return proxy

        def failed(exc: Raised, began: float) -> None:
            opened_for.set(OpenedFor(None, origin))
            try:
                self.failed(exc, where, None, began)
            finally:
                opened_for.set(None)

        def left() -> None:
            for handle in opened:
                self.ledger.closed(handle)

        return to_come(self.ledger.clock, took, failed), left

    def _class_of(self, kind: type) -> Any:
        proxy = self._known.get(kind)
        if proxy is None:
            proxy = self._known[kind] = proxy_class(kind, self._connection_methods(kind))
        return proxy

    def _connection_methods(self, kind: type) -> dict[str, Any]:
        """The watched methods for the proxy of a connection of type `kind`: those that the type has."""
        methods: dict[str, Any] = {}
        if not self._is_blind(kind):
            methods |= {name: self._use(kind, name) for name in _has(kind, _CONNECTION_CALLS)}
            shortcuts = [name for name in _SHORTCUTS if callable(getattr(kind, name, None))]
            methods |= {name: self._use(kind, name, sql=True) for name in (*_has(kind, _STATEMENTS), *shortcuts)}
            methods["cursor"] = making_cursors(self._cursor_of)
        for name in _has(kind, _CLOSES):
            closing = kit.closing_async if _is_coroutine_function(getattr(kind, name, None)) else kit.closing
            methods[name] = closing(_forward(kind, name), self.ledger, _handle_of)
        blocks = {
            "__enter__": enter,
            "__exit__": leaving(lambda proxy: self._left(proxy, unknown=False)),
            "__await__": wait,
            "__aenter__": open_async,
            "__aexit__": leaving_async(lambda proxy: self._left(proxy, unknown=True)),
        }
        return {**methods, **{name: method for name, method in blocks.items() if hasattr(kind, name)}}

    def _is_blind(self, kind: type) -> bool:
        """Whether the calls of a connection cannot be seen to end: they are awaited, and do not say so (psqlpy's)."""
        return self._awaits and isinstance(getattr(kind, "execute", None), MethodDescriptorType)

    def _use(self, kind: type, name: str, *, sql: bool = False) -> Any:
        use = kit.used_async if _is_coroutine_function(getattr(kind, name, None)) else kit.used
        return use(_forward(kind, name), self.ledger, _handle_of, _unknown, sql=sql)

    def _cursor_of(self, connection: Any, made: Any) -> Any:
        kind = type(made)
        ours = self._known_cursors.get(kind)
        if ours is None:
            methods: dict[str, Any] = {name: self._use(kind, name, sql=True) for name in _has(kind, _STATEMENTS)}
            methods |= {name: self._use(kind, name) for name in _has(kind, _FETCHES)}
            methods |= {name: method for name, method in _CURSOR.items() if hasattr(kind, name)}
            ours = self._known_cursors[kind] = proxy_class(kind, methods)
        proxy = ours(made)
        proxy._self_connection, proxy._self_handle = connection, connection._self_handle
        return proxy

    def _left(self, proxy: Any, *, unknown: bool) -> None:
        """The connection's block has ended: the handle is closed if the connection's `closed` attribute says so.

        `unknown` is assumed where the connection has no such attribute.
        """
        said = closed_attribute(proxy.__wrapped__)
        closed = bool(said) if type(said) in (bool, int) else unknown
        if closed and proxy._self_handle is not None:
            self.ledger.closed(proxy._self_handle)


def _is_watched_within(connection: Any) -> bool:
    """Whether the connection has another as an attribute that has a handle, as aiopg's has one of psycopg2's.

    Called in the user's thread: it reads only what an object's `__dict__` holds and whether its class has a slot of
    ours, and never asks the object for an attribute. Where another watch has wrapped the connection in a proxy, the
    connection itself is asked: each proxy would ask what it wraps twice, and many layers for ever.
    """
    values = list(_names_of(behind(connection)).values())
    return any("_whoholds" in names for one in values for names in (_names_of(one), *map(vars, type(one).__mro__)))


def _names_of(thing: Any) -> dict[str, Any]:
    try:
        names = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return names if type(names) is dict else {}


def _has(kind: type, names: tuple[str, ...]) -> list[str]:
    """The `names` that objects of type `kind` have, or may have where the type defines `__getattr__`."""
    return [name for name in names if hasattr(kind, name) or hasattr(kind, "__getattr__")]


def _handle_of(proxy: Any) -> Any:
    handle = proxy._self_handle
    if handle is None:
        raise AttributeError("_self_handle")  # not open yet
    return handle


def _unknown(_: Any) -> bool:
    return False


def _forward(kind: type, name: str) -> Any:
    return (forward_async if _is_coroutine_function(getattr(kind, name, None)) else forward)(name)


def _iter(self: Any) -> Any:
    return as_itself(self, iter(self.__wrapped__))


def _next(self: Any) -> Any:
    return next(self.__wrapped__)


def _aexit(self: Any, *raised: Any) -> Any:
    return self.__wrapped__.__aexit__(*raised)  # older versions of wrapt do not pass it on


def _aiter(self: Any) -> Any:
    return as_itself(self, self.__wrapped__.__aiter__())


def _anext(self: Any) -> Any:
    return self.__wrapped__.__anext__()


_CURSOR: dict[str, Any] = {
    "connection": property(lambda self: self._self_connection),
    "__iter__": _iter,
    "__next__": _next,
    "__enter__": enter,
    "__aenter__": enter_async,
    "__aexit__": _aexit,
    "__aiter__": _aiter,
    "__anext__": _anext,
}
