"""Stretches of a program's main thread in which an exception may come at any instruction, and what is true after it.

Each puts what it has opened into a list at once, as a program that keeps its connections does, and can tell without us
what of that is open.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.programs import World

    Kept = list[Any]


@dataclass(frozen=True)
class Stretch:
    """What is done, and how it is asked what is open after it."""

    needs: tuple[str, ...]
    run: Callable[[World, Kept], None]
    is_open: Callable[[Any], bool] = lambda _: False  # of one connection
    kind: Callable[[], type] = lambda: int  # what its connections are instances of
    use: Callable[[Any], object] = lambda _: None  # any call on a connection: whoever is "inside" meets it
    close: Callable[[Any], object] = lambda _: None
    lent: Callable[[Kept], int] = field(default=lambda _: 0)  # how many loans the pools in the list say are out

    swallow: tuple[str, ...] = ()  # the library's own functions in which `except Exception: pass` stands

    def living(self) -> list[Any]:
        """The connections that live and are open, also those that the program never got."""
        kind = self.kind()
        return [one for one in gc.get_objects() if issubclass(type(one), kind) and self.is_open(one)]


def _sqlite3(world: World, kept: Kept) -> None:
    import sqlite3

    connection = sqlite3.connect(world.folder / "cars.db")
    kept.append(connection)
    cursor = connection.cursor()
    cursor.execute("create table if not exists cars (id integer)")
    connection.execute("insert into cars values (1)").fetchone()
    with suppress(sqlite3.OperationalError):
        cursor.execute("select * from nowhere")
    connection.commit()
    connection.close()


def _sqlite3_is_open(connection: Any) -> bool:
    try:
        return bool(connection.total_changes >= 0)
    except Exception as error:  # noqa: BLE001 - sqlite3.ProgrammingError: closed, or never opened
        return type(error).__name__ != "ProgrammingError"


def _sqlite3_kind() -> type:
    import _sqlite3

    found: type = _sqlite3.Connection
    return found


def _psycopg2(world: World, kept: Kept) -> None:
    import psycopg2

    connection = psycopg2.connect(world.postgres)
    kept.append(connection)
    cursor = connection.cursor()
    cursor.execute("select 1")
    with suppress(psycopg2.Error):
        cursor.execute("select * from nowhere")
    connection.rollback()
    with connection.cursor("named") as named:
        named.execute("select 1")
        named.fetchone()
    connection.commit()
    connection.close()


def _psycopg2_kind() -> type:
    import psycopg2._psycopg as c

    found: type = c.connection
    return found


def _psycopg2_pool(world: World, kept: Kept) -> None:
    from psycopg2 import pool

    places = pool.ThreadedConnectionPool(1, 2, world.postgres)
    kept.append(places)
    for _ in range(2):
        lent = places.getconn()
        lent.cursor().execute("select 1")
        places.putconn(lent)
    places.getconn()
    places.closeall()


def _psycopg(world: World, kept: Kept) -> None:
    import psycopg

    connection = psycopg.connect(world.postgres)
    kept.append(connection)
    cursor = connection.cursor()
    cursor.execute("select 1")
    with suppress(psycopg.Error):
        connection.execute("select * from nowhere")
    connection.rollback()
    with connection.cursor("named") as named:
        named.execute("select 1")
        named.fetchone()
    connection.commit()
    connection.close()


def _psycopg_kind() -> type:
    import psycopg

    return psycopg.Connection


def _asyncpg(world: World, kept: Kept) -> None:
    import asyncpg

    async def main() -> None:
        connection = await asyncpg.connect(world.postgres)
        kept.append(connection)
        await connection.execute("select 1")
        with suppress(asyncpg.PostgresError):
            await connection.fetch("select * from nowhere")
        async with connection.transaction():
            await connection.fetchval("select $1::int", 1)
        await connection.close()

    _in_loop(main())


def _asyncpg_pool(world: World, kept: Kept) -> None:
    import asyncpg

    async def main() -> None:
        places = await asyncpg.create_pool(world.postgres, min_size=1, max_size=2)
        kept.append(places)
        for _ in range(2):
            async with places.acquire() as lent:
                await lent.fetchval("select 1")
        await places.close()

    _in_loop(main())


def _asyncpg_kind() -> type:
    import asyncpg

    found: type = asyncpg.Connection
    return found


def _in_loop(main: Any) -> None:
    """Run it in a loop of its own, which is closed whatever comes."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main)
    finally:
        sys.settrace(None)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        with suppress(Exception):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _threads(world: World, kept: Kept) -> None:
    del world, kept
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _jobs(world: World, kept: Kept) -> None:
    """The work item of an executor, run in this thread, as asgiref's executor does."""
    from concurrent.futures import Future
    from concurrent.futures.thread import _WorkItem

    del world
    future: Future[int] = Future()
    try:
        item = _WorkItem(future, int, (), {})  # type: ignore[call-arg,arg-type]  # 3.14 takes other arguments
    except TypeError:
        return
    kept.append(future)
    item.run()


def _tasks(world: World, kept: Kept) -> None:
    del world, kept

    async def nothing() -> None:
        pass

    async def main() -> None:
        await asyncio.create_task(nothing())
        loop = asyncio.get_running_loop()
        asyncio.run_coroutine_threadsafe(nothing(), loop)
        await asyncio.sleep(0)
        loop.set_task_factory(lambda own, coro, **rest: asyncio.Task(coro, loop=own, **rest))
        await asyncio.create_task(nothing())

    _in_loop(main())


_DROPPING = ("__del__",)  # asyncpg's own `Connection.__del__` is Python, and loses exceptions without us, too

STRETCHES = {
    "sqlite3": Stretch(
        ("sqlite3",), _sqlite3, _sqlite3_is_open, _sqlite3_kind, lambda c: c.execute("select 1"), lambda c: c.close()
    ),
    "psycopg2": Stretch(
        ("psycopg2", "postgres"),
        _psycopg2,
        lambda c: not c.closed,
        _psycopg2_kind,
        lambda c: c.cursor().execute("select 1"),
        lambda c: c.close(),
    ),
    "psycopg2_pool": Stretch(
        ("psycopg2.pool", "postgres"),
        _psycopg2_pool,
        lambda c: not c.closed,
        _psycopg2_kind,
        lambda c: c.cursor().execute("select 1"),
        lambda c: c.close(),
        lambda kept: sum(len(one._used) for one in kept if not one.closed),
        swallow=("_closeall",),
    ),
    "psycopg": Stretch(
        ("psycopg", "postgres"),
        _psycopg,
        lambda c: not c.closed,
        _psycopg_kind,
        lambda c: c.execute("select 1"),
        lambda c: c.close(),
    ),
    "asyncpg": Stretch(
        ("asyncpg", "postgres"), _asyncpg, lambda c: not c.is_closed(), _asyncpg_kind, swallow=_DROPPING
    ),
    "asyncpg_pool": Stretch(
        ("asyncpg", "postgres"),
        _asyncpg_pool,
        lambda c: not c.is_closed(),
        _asyncpg_kind,
        swallow=_DROPPING,
        lent=lambda kept: sum(bool(holder._in_use) for one in kept if not one._closed for holder in one._holders),
    ),
    "threads": Stretch((), _threads),
    "jobs": Stretch(("concurrent.futures.thread",), _jobs),
    "tasks": Stretch(("asyncio",), _tasks),
}
