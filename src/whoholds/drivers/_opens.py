"""What a call that opens a connection tells: a handle once it has returned, and the reason once it has failed.

Runs in the user's thread, after the library's own part; the calls of `_importlib_bootstrap` guard it.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.drivers._importlib_bootstrap.async_calls import around_async
from whoholds.drivers._importlib_bootstrap.calls import around
from whoholds.drivers._importlib_bootstrap.uses import is_refusal
from whoholds.ledger.handle import CONNECTION, OVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import Frame, HandleOf, Identify, Keep, Raised, Target
    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger

    Kept = tuple[float, tuple[Any, ...], dict[str, Any]]


class _Connects:
    """What every call that connects tells: when it began, and the database that refused it."""

    def __init__(self, ledger: Ledger, target: Target | None) -> None:
        self.ledger = ledger
        self.target = target

    def before(self, thing: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Frame) -> Kept:
        """When the call begins, and its arguments."""
        del thing, frame
        return self.ledger.clock(), args, kwargs

    def failed(self, thing: Any, kept: Kept | None, exc: Raised, frame: Frame) -> None:
        """The call raises `exc`."""
        if kept is not None and self.target is not None:
            began, args, kwargs = kept
            if is_refusal(exc):
                self.ledger.refused(exc, self.target(thing, args, kwargs), frame)
            if self.ledger.on_connect_failed is not None:
                connect_failed(self.ledger, self.target(thing, args, kwargs), exc, began)


class _Opens(_Connects):
    """The call makes the connection that the program gets."""

    def __init__(
        self,
        ledger: Ledger,
        driver: str,
        identify: Identify,
        keep: Keep,
        target: Target | None,
        stand_in: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(ledger, target)
        self.driver = driver
        self.identify = identify
        self.keep = keep
        self.stand_in = stand_in

    def itself(self, thing: Any, kept: Kept | None, result: Any, frame: Frame) -> None:
        """A method has made its object a connection."""
        del result
        self.returned(None, kept, thing, frame)

    def returned(self, thing: Any, kept: Kept | None, connection: Any, frame: Frame) -> Any:
        """A function has returned `connection`: its handle is opened. Gives what the program gets."""
        del thing
        handle = kept_as = None
        try:
            began, args, kwargs = kept or (None, (), {})
            where, pid = self.identify(connection, args, kwargs)
            shown = connection if self.stand_in is None else self.stand_in(connection)
            handle = self.ledger.opened(CONNECTION, self.driver, where, shown, frame, began=began)
            handle.backend_pid = pid
            self.keep(shown, handle)
            kept_as = handle
        finally:
            if kept_as is None:
                self.ledger.cannot_watch(self.driver)
                if handle is not None:  # nobody would ever tell of its close
                    self.ledger.closed(handle, OVER)
        return shown


class _Times(_Connects):
    """The call returns a connection whose handle is opened further in."""

    def __init__(self, ledger: Ledger, handle_of: HandleOf, target: Target) -> None:
        super().__init__(ledger, target)
        self.handle_of = handle_of

    def note_connect_s(self, thing: Any, kept: Kept | None, connection: Any, frame: Frame) -> None:
        """How long the whole call took, not only the part that made the object."""
        del thing, frame
        if kept is None:
            return
        seconds = self.ledger.clock() - kept[0]
        try:
            handle = self.handle_of(connection)
        except (AttributeError, LookupError):  # nobody watches it
            return
        handle.connect_s = seconds


def opening(
    original: Callable[..., Any],
    ledger: Ledger,
    driver: str,
    identify: Identify,
    keep: Keep,
    target: Target | None = None,
) -> Any:
    """`original`, a method that makes `self` a connection (`__init__`, `connect`): a handle once it has returned.

    `identify(connection, args, kwargs)` gives the Database that it leads to and the server's pid or None, without
    I/O; `target(self, args, kwargs)` the Database that a refused connect was meant for; `keep(connection, handle)`
    puts the handle where it is found again.
    """
    tells = _Opens(ledger, driver, identify, keep, target)
    return around(original, tells.before, tells.itself, tells.failed)


def connector(
    original: Callable[..., Any],
    ledger: Ledger,
    driver: str,
    identify: Identify,
    keep: Keep,
    target: Target | None = None,
    *,
    stand_in: Callable[[Any], Any] | None = None,
) -> Any:
    """`original`, a function that returns a connection: a handle once it has returned. See `opening`.

    `stand_in(connection)` makes what the program gets in its place, for a type that can be watched in no other way;
    `keep` is given that.
    """
    tells = _Opens(ledger, driver, identify, keep, target, stand_in)
    return around(original, tells.before, failed=tells.failed, gives=tells.returned, method=False)


def connector_async(
    original: Callable[..., Any],
    ledger: Ledger,
    driver: str,
    identify: Identify,
    keep: Keep,
    target: Target | None = None,
    *,
    stand_in: Callable[[Any], Any] | None = None,
) -> Any:
    """`connector` for a coroutine function."""
    tells = _Opens(ledger, driver, identify, keep, target, stand_in)
    return around_async(original, tells.before, failed=tells.failed, gives=tells.returned, method=False)


def timed_connect(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, target: Target) -> Any:
    """`original`, a function that returns a connection whose handle is opened further in: how long, and refusals."""
    tells = _Times(ledger, handle_of, target)
    return around(original, tells.before, tells.note_connect_s, tells.failed, method=False)


def timed_connect_async(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, target: Target) -> Any:
    """`timed_connect` for a coroutine function."""
    tells = _Times(ledger, handle_of, target)
    return around_async(original, tells.before, tells.note_connect_s, tells.failed, method=False)


def connect_failed(ledger: Ledger, where: Database, exc: Raised, began: float) -> None:
    """Tell of a connection that could not be opened, where that has a span; `began` is the ledger's clock."""
    if ledger.on_connect_failed is not None:
        ended = time_ns()
        ledger.on_connect_failed(where, exc, ended - int((ledger.clock() - began) * 1e9), ended)
