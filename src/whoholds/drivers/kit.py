"""What drivers share: subclasses that look like what they stand for, where handles are kept, versions, names rebound.

Everything here runs in the user's thread: no lock, no foreign code, and no frame that keeps the user's objects.
"""

from __future__ import annotations

import os
import re
import sys
import types
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from whoholds.drivers._importlib_bootstrap.async_calls import called_async, connecting_async, noticed_async
from whoholds.drivers._importlib_bootstrap.calls import (
    called,
    connecting,
    noticed,
    opening,
    shortcut,
    statement,
    within,
)
from whoholds.drivers._uses import connect_failed, is_refusal, refused, task_or_thread
from whoholds.hooks.imports import names_of
from whoholds.hooks.seams import replace, stands_for
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.ledger import Ledger

__all__ = [
    "Known",
    "StandsAside",
    "called",
    "called_async",
    "connect_failed",
    "connecting",
    "connecting_async",
    "in_range",
    "is_refusal",
    "keep",
    "keep_anew",
    "layered",
    "like",
    "noticed",
    "noticed_async",
    "opening",
    "postgres_asked",
    "rebind",
    "refused",
    "replace",
    "shortcut",
    "stands_for",
    "statement",
    "task_or_thread",
    "whoholds_of",
    "within",
]


class StandsAside(Exception):  # noqa: N818 - it is what the driver does; said in one line, and the program runs on
    """A driver does not know this version of its library."""


def in_range(library: str, version: str, oldest: str, below: str) -> None:
    """Raise `StandsAside` unless `oldest` ≤ `version` < `below`, all of them dotted numbers: what the driver knows."""
    if not _numbers(oldest) <= _numbers(version) < _numbers(below):
        raise StandsAside(f"{library} {version} is here; this driver knows {library} from {oldest} to below {below}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version.split(" ", maxsplit=1)[0])[:2])


class Known:
    """The handles of connections that take no attribute of ours: found by id, forgotten when the connection goes.

    The weak reference's callback runs before the memory, and with it the id, is given to anything else.
    """

    everywhere: ClassVar[list[ref[Known]]] = []  # drivers of pools find the handles of other drivers here

    def __init__(self) -> None:
        self._known: dict[int, tuple[_Key, Handle]] = {}  # each change one C call
        Known.everywhere = [one for one in Known.everywhere if one() is not None] + [ref(self)]

    def put(self, thing: Any, handle: Handle) -> None:
        """Remember `handle` as that of `thing`, which is held weakly."""
        reference = _Key(thing, self._gone)
        reference.key = id(thing)
        self._known[id(thing)] = (reference, handle)

    def found(self, thing: Any) -> Handle | None:
        """The handle of `thing`, or None."""
        reference, handle = self._known.get(id(thing), (None, None))
        return handle if reference is not None and reference() is thing else None

    def of(self, thing: Any) -> Handle:
        """The handle of `thing`. Raises KeyError."""
        return self._known[id(thing)][1]

    def pop(self, thing: Any) -> Handle | None:
        """The handle of `thing`, which is then forgotten."""
        found = self._known.pop(id(thing), None)
        return found[1] if found else None

    def handles(self) -> list[Handle]:
        """Every handle that is known now."""
        return [handle for _, handle in list(self._known.values())]

    def _gone(self, reference: Any) -> None:
        self._known.pop(reference.key, None)


class _Key(ref):  # type: ignore[type-arg]  # generic only for the type checker
    __slots__ = ("key",)
    key: int


def whoholds_of(connection: Any) -> Handle:
    """The handle of a connection that takes attributes. Raises AttributeError."""
    handle: Handle = connection._whoholds
    return handle


def keep(connection: Any, handle: Handle) -> None:
    """Put the handle on a connection that takes attributes."""
    connection._whoholds = handle


def keep_anew(ledger: Ledger) -> Callable[[Any, Handle], None]:
    """`keep` where one object connects again and again: what it had before was closed, or broke."""

    def kept(connection: Any, handle: Handle) -> None:
        before = connection.__dict__.get("_whoholds")
        if before is not None:
            ledger.closed(before)
        keep(connection, handle)

    return kept


def postgres_asked(said: Mapping[str, Any]) -> Database:
    """The database that connection parameters name; what they leave out as libpq's variables and defaults have it."""
    environ = os.environ
    user = str(said.get("user") or environ.get("PGUSER", ""))
    host = str(said.get("host") or said.get("hostaddr") or environ.get("PGHOST", ""))
    port = str(said.get("port") or environ.get("PGPORT") or "5432")
    name = str(said.get("dbname") or said.get("database") or environ.get("PGDATABASE") or user)
    return database("postgresql", user, host, int(port) if port.isdigit() else None, name)


def like(base: type, name_space: dict[str, Any], bases: tuple[type, ...] | None = None) -> Any:
    """A subclass of `base` that carries its name, module and docstring, so that reprs name nobody of ours."""
    shown = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return types.new_class(base.__name__, bases or (base,), exec_body=lambda ns: ns.update({**shown, **name_space}))


def layered(wanted: type, ours: type, methods_for: Callable[[type], dict[str, Any]], known: dict[type, type]) -> type:
    """`wanted` with our layer between it and the C class, made once; `wanted` itself where it has the layer.

    Where it has slots, or a C class, of its own there is no room below: then `methods_for(wanted)` goes on top.
    """
    if issubclass(wanted, ours):
        return wanted
    made = known.get(wanted)
    if made is None:
        try:
            slots = {"__slots__": ()} if "__dict__" not in dir(wanted) else {}
            made = like(wanted, slots, (wanted, ours))
        except TypeError:  # no room for a layer below
            made = like(wanted, methods_for(wanted))
        known[wanted] = made
    return made


def rebind(old: Any, new: Any) -> Callable[[], None]:
    """Where a module's global is `old`, imported by name before the start, let it be `new`; the call undoes it."""
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
