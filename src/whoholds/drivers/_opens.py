"""Wrappers for calls that open a connection: they open its handle on success and note the reason on failure.

They run in the user's thread, after the library's own code; the wrappers of `_importlib_bootstrap` guard them, so what
they raise does not reach the program.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.drivers._importlib_bootstrap.async_calls import around_async
from whoholds.drivers._importlib_bootstrap.calls import around
from whoholds.drivers._importlib_bootstrap.errors import is_refusal
from whoholds.ledger.handle import CONNECTION, OVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import Frame, HandleOf, Identify, Keep, Raised, Target
    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger

    Kept = tuple[float, tuple[Any, ...], dict[str, Any]]


class _Connects:
    """The hooks that all calls that connect share: they note when the call began and which database refused it."""

    def __init__(self, ledger: Ledger, target: Target | None) -> None:
        self.ledger = ledger
        self.target = target

    def before(self, thing: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Frame) -> Kept:
        """The time on the ledger's clock when the call begins, its arguments and its keyword arguments."""
        del thing, frame
        return self.ledger.clock(), args, kwargs

    def failed(self, thing: Any, kept: Kept | None, exc: Raised, frame: Frame) -> None:
        """The call raised `exc`: a refusal is noted in the ledger, and a failed connect reported for its span."""
        if kept is not None and self.target is not None:
            began, args, kwargs = kept
            if is_refusal(exc):
                self.ledger.refused(exc, self.target(thing, args, kwargs), frame)
            if self.ledger.on_connect_failed is not None:
                connect_failed(self.ledger, self.target(thing, args, kwargs), exc, began)


class _Opens(_Connects):
    """The hooks of a call that makes the connection that the program gets."""

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
        """For a method that makes its own object `thing` a connection: the handle of `thing` is opened."""
        del result
        self.returned(None, kept, thing, frame)

    def returned(self, thing: Any, kept: Kept | None, connection: Any, frame: Frame) -> Any:
        """For a function that has returned `connection`: opens its handle and returns what the program gets.

        The program gets `connection`, or its stand-in if there is one.
        """
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
                if handle is not None:  # no hook would ever report its close
                    self.ledger.closed(handle, OVER)
                self.ledger.cannot_watch(self.driver, failed=True)
        return shown


class _Times(_Connects):
    """The hooks of a call that returns a connection whose handle an inner call has already opened."""

    def __init__(self, ledger: Ledger, handle_of: HandleOf, target: Target) -> None:
        super().__init__(ledger, target)
        self.handle_of = handle_of

    def note_connect_s(self, thing: Any, kept: Kept | None, connection: Any, frame: Frame) -> None:
        """Notes on the handle how many seconds the whole call took, not only the part that made the object."""
        del thing, frame
        if kept is None:
            return
        seconds = self.ledger.clock() - kept[0]
        try:
            handle = self.handle_of(connection)
        except (AttributeError, LookupError):  # the connection is not watched
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
    """`original`, a method that makes `self` a connection (`__init__`, `connect`), wrapped so that a handle is opened.

    `identify(connection, args, kwargs)` returns the Database that the connection leads to and the server's process id
    or None, without I/O; `target(self, args, kwargs)` returns the Database that a refused connect was meant for;
    `keep(connection, handle)` stores the handle where the other hooks find it again.
    """
    tells = _Opens(ledger, driver, identify, keep, target)
    return around(original, tells.before, tells.itself, tells.failed)


def opening_async(
    original: Callable[..., Any],
    ledger: Ledger,
    driver: str,
    identify: Identify,
    keep: Keep,
    target: Target | None = None,
) -> Any:
    """Like `opening`, for a coroutine function."""
    tells = _Opens(ledger, driver, identify, keep, target)
    return around_async(original, tells.before, tells.itself, tells.failed)


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
    """`original`, a function that returns a connection, wrapped so that a handle is opened. See `opening`.

    `stand_in(connection)` returns the object that the program gets in place of a connection whose type can be watched
    in no other way; `keep` is then called with that object.
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
    """Like `connector`, for a coroutine function."""
    tells = _Opens(ledger, driver, identify, keep, target, stand_in)
    return around_async(original, tells.before, failed=tells.failed, gives=tells.returned, method=False)


def timed_connect(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, target: Target) -> Any:
    """`original`, a function that returns a connection whose handle an inner call opens, wrapped.

    The wrapper notes how long the whole call took, and notes refusals and failures for `target(self, args, kwargs)`.
    """
    tells = _Times(ledger, handle_of, target)
    return around(original, tells.before, tells.note_connect_s, tells.failed, method=False)


def timed_connect_async(original: Callable[..., Any], ledger: Ledger, handle_of: HandleOf, target: Target) -> Any:
    """Like `timed_connect`, for a coroutine function."""
    tells = _Times(ledger, handle_of, target)
    return around_async(original, tells.before, tells.note_connect_s, tells.failed, method=False)


def connect_failed(ledger: Ledger, where: Database, exc: Raised, began: float) -> None:
    """Report a connection that could not be opened to the ledger's listener, which makes a span of it, if it has one.

    `began` is a time of the ledger's clock.
    """
    if ledger.on_connect_failed is not None:
        ended = time_ns()
        ledger.on_connect_failed(where, exc, ended - int((ledger.clock() - began) * 1e9), ended)
