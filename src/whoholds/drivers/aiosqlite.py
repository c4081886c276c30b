"""aiosqlite: its sqlite3 connection lives in a worker thread, but whoever awaits it is the owner.

That connection is watched as any other of sqlite3's, and counted once: here it is only told for whom it is opened.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers.kit import in_range, replace, stands_for
from whoholds.ledger import here
from whoholds.ledger.here import OpenedFor, opened_for
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch aiosqlite while the block lasts."""
    import aiosqlite

    in_range("aiosqlite", aiosqlite.__version__, "0.17", "1")
    never_blame("aiosqlite")
    restore = replace(aiosqlite.Connection, "_connect", _connect(ledger, aiosqlite.Connection._connect))
    try:
        yield
    finally:
        restore()


def _connect(ledger: Ledger, original: Any) -> Any:
    async def _connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        connector = self._connector
        for_whom = OpenedFor(here.current_owner(), capture(sys._getframe(1), ledger.frames))
        try:
            self._connector = _for_somebody(connector, for_whom)
            return await original(self, *args, **kwargs)
        except BaseException:
            self._connector = connector
            del self, args, kwargs
            raise
        finally:
            if "self" in locals():
                self._connector = connector

    return stands_for(_connect, original)


def _for_somebody(connector: Any, for_whom: OpenedFor) -> Any:
    def connect() -> Any:
        """Runs in the worker thread, whose context is its own."""
        opened_for.set(for_whom)
        try:
            return connector()
        finally:
            opened_for.set(None)

    return stands_for(connect, connector)
