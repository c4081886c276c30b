"""Who waits for a pool, and how long a borrower waited: every pool that lets one wait, on real connections."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.needs import needed
from whoholds.drivers.table import DRIVERS
from whoholds.ledger.handle import CHECKOUT
from whoholds.settings.limits import Limits
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from whoholds.ledger.handle import Handle

PATIENCE = 20  # seconds
WAITS = 0.05


@contextmanager
def watching(*libraries: str) -> Iterator[Watch]:
    """Watch these libraries; nobody looks but the test."""
    drivers = []
    for library in libraries:
        needed(library)
        file, _, function = DRIVERS[library].partition(":")
        drivers.append(getattr(import_module(file), function))
    with Watch(Limits(outputs=()), drivers=drivers) as watch:
        yield watch


def pending(watch: Watch) -> int:
    """Give how many requests wait now, over all pools."""
    return sum(pool.pending for pool in watch.ledger.take().pools)


def loan(watch: Watch) -> Handle:
    """Give the one loan that is out."""
    (found,) = [handle for handle in watch.ledger.peek() if handle.kind == CHECKOUT]
    return found


def waited_for(happens: Callable[[], bool]) -> bool:
    """Say whether it came to be within the patience."""
    until = time.monotonic() + PATIENCE
    while not happens() and time.monotonic() < until:
        time.sleep(0.005)
    return happens()


# --- threads ------------------------------------------------------------------------------------------------------


@contextmanager
def sqlalchemy_pool(url: str) -> Iterator[tuple[Any, Any]]:
    engine = import_module("sqlalchemy").create_engine(
        url.replace("postgresql:", "postgresql+psycopg2:"), pool_size=1, max_overflow=0
    )
    try:
        yield engine.connect, lambda connection: connection.close()
    finally:
        engine.dispose()


@contextmanager
def psycopg_pool(url: str) -> Iterator[tuple[Any, Any]]:
    with import_module("psycopg_pool").ConnectionPool(url, min_size=1, max_size=1) as pool:
        yield pool.getconn, pool.putconn


@contextmanager
def pooled_db(url: str) -> Iterator[tuple[Any, Any]]:
    module = import_module("dbutils.pooled_db")
    pool = module.PooledDB(import_module("psycopg2"), maxconnections=1, blocking=True, dsn=url)
    try:
        yield pool.connection, lambda connection: connection.close()
    finally:
        pool.close()


@contextmanager
def peewee_pool(url: str) -> Iterator[tuple[Any, Any]]:
    parts = urlsplit(url)
    database = import_module("playhouse.pool").PooledPostgresqlDatabase(
        parts.path[1:], user=parts.username, host=parts.hostname, port=parts.port, max_connections=1, timeout=PATIENCE
    )

    def take() -> Any:
        database.connect()
        return database

    try:
        yield take, lambda connection: connection.close()
    finally:
        database.close_all()


@pytest.mark.parametrize(
    ("pool", "libraries"),
    [
        (sqlalchemy_pool, ("psycopg2", "sqlalchemy")),
        (psycopg_pool, ("psycopg", "psycopg_pool")),
        (pooled_db, ("psycopg2", "dbutils.pooled_db")),
        (peewee_pool, ("psycopg2", "playhouse.pool")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_thread_that_waits_is_pending_and_then_has_waited(
    pool: Callable[[str], Any], libraries: tuple[str, ...], postgres: str
) -> None:
    """One connection, two threads: the second is counted while it waits, and its loan knows for how long."""
    with watching(*libraries) as watch, pool(postgres) as (take, give):
        first = take()
        assert pending(watch) == 0
        done, end = threading.Event(), threading.Event()

        def second() -> None:
            connection = take()
            done.set()
            end.wait(PATIENCE)
            give(connection)

        thread = threading.Thread(target=second)
        thread.start()
        try:
            assert waited_for(lambda: pending(watch) == 1)
            time.sleep(WAITS)
            give(first)
            assert done.wait(PATIENCE)
            assert pending(watch) == 0
            assert WAITS <= (loan(watch).connect_s or 0) < PATIENCE
        finally:
            end.set()
            thread.join()


def test_a_request_that_the_pool_refuses_waits_no_more(postgres: str) -> None:
    """It ran out of patience, and nothing is left of it."""
    with watching("psycopg", "psycopg_pool") as watch, psycopg_pool(postgres) as (take, give):
        first = take()
        with pytest.raises(import_module("psycopg_pool").PoolTimeout):
            take(timeout=0.01)
        assert pending(watch) == 0
        give(first)


# --- tasks --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def asyncpg_pool(url: str) -> AsyncIterator[tuple[Any, Any]]:
    async with import_module("asyncpg").create_pool(url, min_size=1, max_size=1) as pool:

        async def take() -> Any:
            return await pool.acquire()

        yield take, pool.release


@asynccontextmanager
async def async_psycopg_pool(url: str) -> AsyncIterator[tuple[Any, Any]]:
    async with import_module("psycopg_pool").AsyncConnectionPool(url, min_size=1, max_size=1, open=False) as pool:
        yield pool.getconn, pool.putconn


@asynccontextmanager
async def aiopg_pool(url: str) -> AsyncIterator[tuple[Any, Any]]:
    async with import_module("aiopg").create_pool(url, minsize=1, maxsize=1) as pool:

        async def take() -> Any:
            return await pool.acquire()

        yield take, pool.release


@pytest.mark.parametrize(
    ("pool", "libraries"),
    [
        (asyncpg_pool, ("asyncpg",)),
        (aiopg_pool, ("psycopg2", "aiopg")),
        (async_psycopg_pool, ("psycopg", "psycopg_pool")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_task_that_waits_is_pending_and_then_has_waited(
    pool: Callable[[str], Any], libraries: tuple[str, ...], postgres: str
) -> None:
    """The same in one thread, where the one that waits is a task."""

    async def both(watch: Watch) -> None:
        async with pool(postgres) as (take, give):
            first = await take()
            assert pending(watch) == 0
            second = asyncio.create_task(take())
            await asyncio.sleep(WAITS)
            assert pending(watch) == 1
            await give(first)
            connection = await second
            assert pending(watch) == 0
            assert WAITS / 2 <= (loan(watch).connect_s or 0) < PATIENCE
            await give(connection)

    with watching(*libraries) as watch:
        asyncio.run(asyncio.wait_for(both(watch), PATIENCE))
