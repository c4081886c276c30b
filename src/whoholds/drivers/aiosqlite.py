"""aiosqlite: its sqlite3 connection lives in a worker thread, but its owner is the task that awaits it.

The sqlite driver watches that connection like any other and counts it once; this driver only says for whom it is
opened.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.hooks.seams import stands_for
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

    kit.library("aiosqlite", aiosqlite.__version__, "0.17", "1")
    with kit.open_names() as stand:
        stand(aiosqlite.Connection, "_connect", _connect(ledger, aiosqlite.Connection._connect))
        yield


def _connect(ledger: Ledger, original: Any) -> Any:
    def for_this_task(connection: Any, _args: Any, _kwargs: Any, frame: Any) -> Any:
        connector = connection._connector
        for_whom = OpenedFor(here.current_owner(), capture(frame, ledger.frames))
        connection._connector = _for_somebody(connector, for_whom)
        return connector

    def as_before(connection: Any, connector: Any, _result: Any, _frame: Any) -> None:
        if connector is not None:
            connection._connector = connector

    return kit.around_async(original, for_this_task, as_before, as_before)


def _for_somebody(connector: Any, for_whom: OpenedFor) -> Any:
    def connect() -> Any:
        """Opens the connection for `for_whom`. Called in aiosqlite's worker thread, which has a context of its own."""
        opened_for.set(for_whom)
        try:
            return connector()
        finally:
            opened_for.set(None)

    return stands_for(connect, connector)
