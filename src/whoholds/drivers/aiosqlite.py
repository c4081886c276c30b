"""aiosqlite: its sqlite3 connection lives in a worker thread, but its owner is the task that awaits it.

The sqlite driver watches that connection like any other and counts it once; this driver only says for whom it is
opened.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.hooks.seams import stands_for
from whoholds.ledger import here
from whoholds.ledger.callers import stack_of_task
from whoholds.ledger.cpython import task_awaiting
from whoholds.ledger.here import OpenedFor, opened_for
from whoholds.ledger.origin import capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.ledger.ledger import Ledger
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

_CORE = os.path.join("aiosqlite", "core.py")
_FUTURE = "future"  # the variable of the worker's loop that has what the task awaits
_FRAMES = 32


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch aiosqlite while the block lasts."""
    import aiosqlite

    kit.library("aiosqlite", aiosqlite.__version__)
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

    def connected(connection: Any, connector: Any, result: Any, frame: Any) -> None:
        as_before(connection, connector, result, frame)
        handle = getattr(connection._connection, "_whoholds", None)
        if handle is not None:
            handle.asker = _who_awaits

    return kit.around_async(original, for_this_task, connected, as_before)


def _who_awaits(frame: FrameType | None) -> tuple[Owner | None, Origin] | None:
    """The task that awaits what aiosqlite's worker thread runs at `frame`, and its line; None if it cannot be seen.

    Called in the worker thread, for a statement that failed.
    """
    while frame is not None and not (_FUTURE in frame.f_code.co_varnames and frame.f_code.co_filename.endswith(_CORE)):
        frame = frame.f_back
    if frame is None:
        return None
    names = frame.f_locals
    future = names.get(_FUTURE)
    if type(names) is dict:  # before 3.13 a copy, which the frame would keep
        names.clear()
    task = task_awaiting(future) if future is not None else None
    line = stack_of_task(task, _FRAMES) if task else ()
    return (here.task_owner(task), line) if line else None


def _for_somebody(connector: Any, for_whom: OpenedFor) -> Any:
    def connect() -> Any:
        """Opens the connection for `for_whom`. Called in aiosqlite's worker thread, which has a context of its own."""
        opened_for.set(for_whom)
        try:
            return connector()
        finally:
            opened_for.set(None)

    return stands_for(connect, connector)
