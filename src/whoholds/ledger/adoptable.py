"""What a driver says of its library, so that connections that were open before whoholds came are found and described.

Its functions are asked by whoever starts the watch, which need not be the thread that uses the connection: they read
attributes of Python objects only, and leave a C library alone that might be closing the connection at this moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle, Pool


def _never(connection: Any) -> bool:
    del connection
    return False


def _nameless(pool: Any) -> None:
    del pool


@dataclass(frozen=True)
class Adoptable:
    """How to read the connections of one library: their classes, where they lead, and what state they are in."""

    driver: str
    types: tuple[type, ...]  # subclasses count
    identify: Callable[[Any], tuple[Database, int | None]]  # the Database, and the server's process id or None
    is_closed: Callable[[Any], bool]
    in_transaction: Callable[[Any], bool | None] = _never


class Place(NamedTuple):
    """One connection of a pool, lent or at home."""

    pool: Any  # the library's pool
    connection: Any
    lent: bool
    at: Any = None  # the object on which the driver remembers what it knows, where that is not the connection


@dataclass(frozen=True)
class AdoptableStock:
    """How to read the pools of one library: what is in each."""

    driver: str
    types: tuple[type, ...]  # of what `places` takes: the pools, or what they are made of; subclasses count
    places: Callable[[Any], Iterable[Place]]
    sizes: Callable[[Any], tuple[int | None, int | None]]  # the fewest and the most connections of a pool
    system: str = ""
    takes_back: bool = True
    name: Callable[[Any], Any] = _nameless  # what the program calls a pool; None where it does not say


class Keepers(NamedTuple):
    """How a driver that watches remembers what was adopted, so that its hooks find it. Entered in `Ledger.keepers`."""

    handle: Callable[[Any, Handle], None] | None = None  # of a connection
    seen: bool = True  # whether the hooks notice calls on a connection that was adopted
    pool: Callable[[Any, Pool], None] | None = None
    stock: Callable[[Place, Handle], None] | None = None  # a pool's connection
    loan: Callable[[Place, Handle], None] | None = None
    lent: Callable[[Place], Handle | None] | None = None  # the loan that the hooks know of already
