"""What the drivers of pools share: the handle that another driver has put on the connection below, and the loan of it.

Called in the user's thread; it asks the connection for three attributes and calls nothing of the library's.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import ref

from whoholds.drivers.kit import Known
from whoholds.ledger.database import database
from whoholds.ledger.handle import CHECKOUT, UNSEEN, Handle

if TYPE_CHECKING:
    from types import FrameType

    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Pool, Request
    from whoholds.ledger.ledger import Ledger


def handle_on(connection: Any) -> Handle | None:
    """The handle of a connection, as its library's own driver left it there; None where nobody watches it."""
    for name in ("_whoholds", "_self_handle"):
        found = getattr(connection, name, None)
        if isinstance(found, Handle):
            return found
    below = getattr(connection, "_connection", None)  # aiosqlite's has sqlite3's in it
    if isinstance(getattr(below, "_whoholds", None), Handle):
        return handle_on(below)
    for one in Known.everywhere:
        known = one()
        handle = known.found(connection) if known is not None else None
        if handle is not None:
            return handle
    return None


# The request in whose answering a library calls one of our hooks that makes the loan; set and reset around that call.
asked_with: ContextVar[Request | None] = ContextVar("whoholds_asked_with", default=None)


def lend(
    ledger: Ledger,
    driver: str,
    lent: Any,
    handle: Handle | None,
    pool: Pool | None,
    frame: FrameType | None,
    *,
    began: float | None = None,
    request: Request | None = None,
    otherwise: Database | None = None,
) -> Handle:
    """A loan out of `pool` of the connection with this handle; of one that nobody watches, to the database `otherwise`.

    `lent` is what the borrower gets, or None where a library never lets go of it; `request` what it had asked with.
    """
    if request is not None:
        began = request.began
    if pool is not None and pool.closed:
        ledger.pool_back(pool)
    if handle is None:
        where = otherwise or database("other_sql")
        loan = ledger.opened(CHECKOUT, driver, where, lent, frame, began=began, pool=pool, request=request)
        loan.caller = UNSEEN
        return loan
    handle.at_home = False
    if pool is not None:
        handle.pool = pool
    loan = ledger.opened(
        CHECKOUT, driver, handle.database, lent, frame, began=began, parent=handle, pool=pool, request=request
    )
    loan.backend_pid = handle.backend_pid
    return loan


class Pools:
    """Ours for a library's pools, found by id: nothing of ours is seen on them. Each change is one C call."""

    def __init__(self) -> None:
        self._pools: dict[int, tuple[ref[Any], Pool | None]] = {}

    def put(self, theirs: Any, ours: Pool | None) -> None:
        """Remember `ours` until theirs is freed; None for a pool that lends nothing."""
        key, pools = id(theirs), self._pools
        pools[key] = (ref(theirs, lambda _: pools.pop(key, None)), ours)

    def of(self, theirs: Any) -> Pool | None:
        """Ours, or None where it lends nothing or was made before the start."""
        found = self._pools.get(id(theirs))
        return found[1] if found is not None else None

    def __contains__(self, theirs: Any) -> bool:
        return id(theirs) in self._pools
