"""What the drivers of pools share: the handle that another driver has put on the connection below.

Called in the user's thread; it asks the connection for three attributes and calls nothing of the library's.
"""

from __future__ import annotations

from typing import Any

from whoholds.drivers._seams import Known
from whoholds.handle import Handle


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
