"""Any other DB-API 2.0 module, asynchronous or not: it is watched by what its `connect` returns. See `_proxied`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._proxied import watching
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import ModuleType

    from whoholds.ledger.ledger import Ledger


def driver_for(module: ModuleType, system: str = "") -> Callable[[Ledger], AbstractContextManager[None]]:
    """A driver that watches `module`. Raises TypeError if the module has no `connect`."""
    if not callable(getattr(module, "connect", None)):
        name = getattr(module, "__name__", repr(module))
        raise TypeError(f"{name} has no function connect: WHOHOLDS_WATCH and watch_module() take DB-API 2.0 modules")

    def driver(ledger: Ledger) -> AbstractContextManager[None]:
        kit.library(module.__name__.partition(".")[0])
        return watching(ledger, module, _keywords(system or module.__name__))

    return driver


def _keywords(system: str) -> Callable[..., Database]:
    """A function that returns the Database that the arguments of a `connect` name.

    It reads the keywords common to DB-API drivers, and no connection string.
    """

    def target(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
        said = {name: value if type(value) in (str, int) else None for name, value in kwargs.items()}
        port = said.get("port")
        name = said.get("database") or said.get("db") or said.get("dbname") or ""
        if not kwargs and len(args) == 1 and type(args[0]) is str and "=" not in args[0] and ";" not in args[0]:
            name = args[0]
        user, host = said.get("user") or said.get("uid") or "", said.get("host") or said.get("server") or ""
        return database(system, str(user), str(host), port if type(port) is int else None, str(name))

    return target
