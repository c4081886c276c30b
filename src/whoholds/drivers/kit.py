"""The kit that a driver is written with: wrappers for a library's calls, which tell the ledger what happens there.

A driver is a function `watch(ledger)`, a context manager that replaces the library's calls while the block lasts:

    @contextmanager
    def watch(ledger):
        import library

        kit.library("library", library.__version__, "2.0", "4")
        known, connection, cursor = kit.Known(), library.Connection, library.Cursor
        with kit.open_names() as stand:
            stand(library, "connect", kit.connector(library.connect, ledger, "library", identify, known.put))
            stand(connection, "close", kit.closing(connection.close, ledger, known.of))
            execute = kit.used(cursor.execute, ledger, kit.through("connection", known.of), in_transaction, sql=True)
            stand(cursor, "execute", execute)
            yield  # until the watch ends

`connector`, `opening` and `timed_connect` wrap calls that open a connection, `used` and `statement` calls that use it,
and `closing` calls that close it. All except `statement` and `unless_inside` have a form for coroutine functions, and
all are forms of `around`. A handle is stored on its connection by `keep` and read by `whoholds_of` if the connection
takes attributes, and in a `Known` otherwise. A driver's own functions (`identify`, `in_transaction`, …) run in the
user's thread: they must take no lock and do no I/O, and may ask the library only for what it knows without I/O. What
they raise goes no further: the program's call is not touched, and the next look names the hook.

`docs/extending.md` shows a whole driver. A third party registers its driver by the entry point `whoholds.drivers`.
"""

from __future__ import annotations

import os
import sys
import types
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from whoholds.analysis.blame import never_blame
from whoholds.drivers._importlib_bootstrap.async_calls import around_async, closing_async, used_async
from whoholds.drivers._importlib_bootstrap.calls import (
    around,
    closing,
    listener,
    shortcut,
    statement,
    unless_inside,
    used,
)
from whoholds.drivers._importlib_bootstrap.errors import is_refusal
from whoholds.drivers._importlib_bootstrap.loan_calls import (
    around_named,
    around_named_async,
    lending,
    lending_async,
    lending_by_arguments,
    while_lent,
)
from whoholds.drivers._importlib_bootstrap.uses import task_or_thread, whoholds_of
from whoholds.drivers._opens import (
    connect_failed,
    connector,
    connector_async,
    opening,
    opening_async,
    timed_connect,
    timed_connect_async,
)
from whoholds.drivers.versions import LIBRARIES, numbers
from whoholds.hooks.imports import names_of
from whoholds.hooks.seams import replace, stands_for
from whoholds.ledger.cpython import set_attribute
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger

__all__ = [
    "Database",
    "Known",
    "OpenNames",
    "StandsAside",
    "any_alive",
    "around",
    "around_async",
    "around_named",
    "around_named_async",
    "as_if_in",
    "closing",
    "closing_async",
    "connect_failed",
    "connector",
    "connector_async",
    "database",
    "is_refusal",
    "keep",
    "keep_anew",
    "layered",
    "lending",
    "lending_async",
    "lending_by_arguments",
    "library",
    "listener",
    "open_names",
    "opening",
    "opening_async",
    "postgres_target",
    "reader",
    "rebind",
    "row_of",
    "shortcut",
    "stands_for",
    "statement",
    "subclass",
    "task_or_thread",
    "through",
    "timed_connect",
    "timed_connect_async",
    "unless_inside",
    "used",
    "used_async",
    "while_lent",
    "whoholds_of",
]


class StandsAside(Exception):  # noqa: N818 - it is what the driver does; said in one line, and the program runs on
    """Raised by a driver that does not know this version of its library."""


def library(
    name: str,
    version: str = "",
    oldest: str = "",
    below: str = "",
    *,
    packages: tuple[str, ...] = (),
    layers: tuple[str, ...] = (),
) -> None:
    """Declare the library that a driver watches: findings never blame its frames, and its version is checked.

    `packages` are the library's top-level packages where they are not called `name`; `layers` are the folders that
    work with the database (`django/db/`), where the rest of the library only calls them. Raises `StandsAside` unless
    `oldest` ≤ `version` < `below`, which whoholds's own drivers have in `versions`; without `version` nothing is
    checked.
    """
    if version and not oldest:
        known = LIBRARIES[name]
        oldest, below = known.oldest, known.below
    if version and not numbers(oldest) <= numbers(version) < numbers(below):
        raise StandsAside(f"{name} {version} is here; this driver knows {name} from {oldest} to below {below}")
    for package in packages or (name,):
        never_blame(package, tuple(layer for layer in layers if layer.startswith(f"{package}/")))


class OpenNames:
    """Replaces names for a driver: each call replaces one name, and the end of `open_names` gives all of them back."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo

    def __call__(self, target: Any, name: str, ours: Any) -> None:
        """Set the name `name` of the module or class `target` to `ours` until the end of the block."""
        self._undo.callback(replace(target, name, ours))

    def at_the_end(self, undo: Callable[..., object], *args: Any) -> None:
        """Call `undo(*args)` at the end of the block, before the names replaced earlier are given back."""
        self._undo.callback(undo, *args)


@contextmanager
def open_names() -> Iterator[OpenNames]:
    """Provide a function that replaces names while the block lasts: `stand(target, "name", ours)`.

    At the end of the block each name is given back, the last one first, unless other code has replaced it since.
    """
    with ExitStack() as undo:
        yield OpenNames(undo)


def through(attribute: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Lift `function`, which takes a connection, to a function of an object that has the connection as `attribute`.

    The usual such object is a cursor.
    """
    if function is whoholds_of:
        return attrgetter(f"{attribute}._whoholds")
    get = attrgetter(attribute)

    def lifted(thing: Any, *rest: Any) -> Any:
        return function(get(thing), *rest)

    return lifted


class Known:
    """The handles of connections that take no attribute of ours: found by id, forgotten when the connection is freed.

    The weak reference's callback runs before the connection's memory, and with it its id, can be used for another
    object.
    """

    everywhere: ClassVar[list[ref[Known]]] = []  # drivers of pools find the handles of other drivers here

    def __init__(self) -> None:
        self._known: dict[int, tuple[ref[Any], Handle]] = {}  # each change is one C call
        Known.everywhere = [known for known in Known.everywhere if known() is not None] + [ref(self)]

    def put(self, thing: Any, handle: Handle) -> None:
        """Remember `handle` as the handle of `thing`, which is held weakly."""
        key = id(thing)
        # pop(key, reference), in C: a callback in Python would lose what a signal's handler raises in it
        self._known[key] = (ref(thing, partial(self._known.pop, key)), handle)

    def found(self, thing: Any) -> Handle | None:
        """The handle of `thing`, or None if there is none."""
        reference, handle = self._known.get(id(thing), (None, None))
        return handle if reference is not None and reference() is thing else None

    def of(self, thing: Any) -> Handle:
        """The handle of `thing`. Raises KeyError if there is none."""
        return self._known[id(thing)][1]

    def pop(self, thing: Any) -> Handle | None:
        """The handle of `thing`, which is then forgotten, or None if there is none."""
        found = self._known.pop(id(thing), None)
        return found[1] if found else None

    def handles(self) -> list[Handle]:
        """A list of all handles that are known now."""
        return [handle for _, handle in list(self._known.values())]


def reader(kind: Any, name: str) -> Callable[[Any], Any]:
    """Reads the attribute `name` of an object, or calls its method of that name, as the library's class `kind` has it.

    What a subclass of the program's has in its place does not run: it may wait for a lock or ask the server.
    """
    found: Any = next(vars(base)[name] for base in kind.__mro__ if name in vars(base))
    if isinstance(found, property) and found.fget is not None:
        return found.fget
    return found if callable(found) else found.__get__  # type: ignore[no-any-return]  # C's descriptor of a value


def row_of(
    read: Callable[[Any], Any], withheld: Callable[[Any], Any]
) -> Callable[[Handle], Callable[[Handle], tuple[Any, bool]]]:
    """Makes the `probe` of a server-side cursor's handle, given the handle of its connection.

    The probe tells the number of the cursor's row, which `read(cursor)` gives without I/O, and whether the server may
    keep its rows: a cursor ends with its transaction, unless it is `withheld(cursor)`, and with its connection.

    Called in the thread that ticks: `read` and `withheld` may ask the library's own Python object, and nothing of
    libpq's.
    """

    def row(connection: Handle, handle: Handle) -> tuple[Any, bool]:
        cursor = handle.ref() if handle.ref is not None else None
        if cursor is None:
            return None, False
        in_time = bool(connection.caller or connection.in_transaction or withheld(cursor))
        return read(cursor), connection.open and in_time

    return partial(partial, row)


def keep(connection: Any, handle: Handle) -> None:
    """Store the handle on a connection that takes attributes. No `__setattr__` of the program's runs."""
    try:
        set_attribute(connection, "_whoholds", handle)
    except TypeError:  # a class in C that sets attributes in its own way
        connection._whoholds = handle


def keep_anew(ledger: Ledger) -> Callable[[Any, Handle], None]:
    """A `keep` for a library whose connection object connects again: it closes the handle of the connection before.

    That earlier connection was closed or broke.
    """

    def kept(connection: Any, handle: Handle) -> None:
        before = connection.__dict__.get("_whoholds")
        if before is not None:
            ledger.closed(before)
        keep(connection, handle)

    return kept


def postgres_target(said: Mapping[str, Any]) -> Database:
    """The database that connection parameters name; libpq's environment variables and defaults fill the gaps."""
    environ = os.environ
    user = str(said.get("user") or environ.get("PGUSER", ""))
    host = str(said.get("host") or said.get("hostaddr") or environ.get("PGHOST", ""))
    port = str(said.get("port") or environ.get("PGPORT") or "5432")
    name = str(said.get("dbname") or said.get("database") or environ.get("PGDATABASE") or user)
    return database("postgresql", user, host, int(port) if port.isdigit() else None, name)


def subclass(base: type, name_space: dict[str, Any], bases: tuple[type, ...] | None = None) -> Any:
    """A subclass of `base` with the name, module and docstring of `base`, so that no repr names whoholds."""
    shown = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return types.new_class(base.__name__, bases or (base,), exec_body=lambda ns: ns.update({**shown, **name_space}))


def layered(wanted: type, ours: type, methods_for: Callable[[type], dict[str, Any]], known: dict[type, type]) -> type:
    """A subclass of `wanted` with our layer between it and the C class; `wanted` itself if it already has the layer.

    Each subclass is made once and kept in `known`. Where `wanted` has slots, or a C class, of its own, there is no
    room for a layer below it: then the layer is `methods_for(wanted)` on top.
    """
    if issubclass(wanted, ours):
        return wanted
    layer = known.get(wanted)
    if layer is None:
        try:
            slots = {"__slots__": ()} if "__dict__" not in dir(wanted) else {}
            layer = subclass(wanted, slots, (wanted, ours))
        except TypeError:  # no room for a layer below
            layer = subclass(wanted, methods_for(wanted))
        known[wanted] = layer
    return layer


def as_if_in(module: str, function: Any) -> Any:
    """A copy of `function` whose module is `module`: a library may blame a warning on the first foreign frame.

    Such a library looks for the first frame whose module is not its own.
    """
    names = {**function.__globals__, "__name__": module}
    moved = types.FunctionType(function.__code__, names, function.__name__, None, function.__closure__)
    return stands_for(moved, function.__wrapped__)


def rebind(old: Any, new: Any) -> Callable[[], None]:
    """Set each module's global that is `old`, imported before the start, to `new`. The returned call undoes it."""
    changed: list[tuple[dict[str, Any], str]] = []
    for module in list(sys.modules.values()):
        names = names_of(module)
        place = names.get("__name__")
        if type(place) is str and place.partition(".")[0] == "whoholds":
            continue
        for name, value in list(names.items()):
            if value is old and name != "_connect":
                names[name] = new
                changed.append((names, name))

    def restore() -> None:
        for names, name in changed:
            if names.get(name) is new:
                names[name] = old

    return restore


def any_alive(*kinds: type, subclasses: bool = False) -> bool:
    """Whether an object of one of the C types `kinds` lives, for which `isinstance` must not become false."""
    import gc

    if subclasses:
        return any(issubclass(type(thing), kinds) for thing in gc.get_objects())
    return not set(map(id, kinds)).isdisjoint(map(id, map(type, gc.get_objects())))
