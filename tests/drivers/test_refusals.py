"""Servers and pools that give no more: who holds what is noted, and the library's own error passes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers
from tests.drivers.libraries import ALL, Library, maybe
from tests.needs import lacking, needed, not_installed
from whoholds.drivers import table
from whoholds.ledger.ledger import Ledger
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def small() -> Iterator[dict[str, Any]]:
    """Give a PostgreSQL and a MariaDB that allow few connections."""
    try:
        with (
            servers.postgres(max_connections=6, reserved=3, user="app", database="shop") as postgres,
            servers.mariadb(max_connections=10) as mariadb,  # it takes no fewer
        ):
            yield {"postgresql": postgres, "mysql": mariadb}
    except servers.NotInstalledError as missing:
        lacking(missing)


@pytest.mark.parametrize("kind", [one for one in ALL if "pid" not in one.lacks], ids=lambda one: one.name)
def test_a_refusal_names_the_database_that_was_asked_for_and_who_holds_it(
    kind: type[Library], small: dict[str, Any]
) -> None:
    """Once for the burst, with every connection that was open at that instant."""
    if not kind.there():
        not_installed(kind.part or kind.module)
    library = kind(small[kind.system])
    watch = Watch(ledger=Ledger(), detectors={}, drivers=library.drivers()).start()

    async def fill() -> None:
        held = []
        try:
            with pytest.raises(Exception, match=r"too many|Too many|remaining connection slots"):
                for _ in range(20):
                    held.append(await maybe(library.connect()))  # noqa: PERF401 - what came before the error counts
            (refusal,) = watch.ledger.take().refusals
            assert str(refusal.database) == library.where
            assert len(refusal.open) == len(held) >= 2
            assert refusal.owner is not None
            assert refusal.owner.kind == ("task" if library.is_async else "thread")
            assert refusal.count == 1
        finally:
            for connection in held:
                await maybe(library.close(connection))
            if library.is_async:
                await asyncio.sleep(0.2)

    try:
        library.go(fill())
        assert watch.handles == []
    finally:
        watch.stop()


def drivers(*modules: str) -> Watch:
    """Start a watch with the drivers of these modules."""
    from importlib import import_module

    found = []
    for module in modules:
        file, _, function = table.DRIVERS[module].partition(":")
        found.append(getattr(import_module(file), function))
    return Watch(ledger=Ledger(), detectors={}, drivers=found).start()


def test_psycopgs_pool_lends(postgres: str) -> None:
    """The stock is at home; a loan has this line; a pool that runs out names the holders; closing forgets all."""
    psycopg_pool = needed("psycopg_pool")
    watch = drivers("psycopg", "psycopg_pool")
    try:
        with psycopg_pool.ConnectionPool(postgres, min_size=2, max_size=2, open=True) as pool:
            pool.wait()
            assert [handle.at_home for handle in watch.handles] == [True, True]
            (made,) = watch.ledger.take().pools
            assert made.max == 2
            assert all(handle.pool is made and handle.origin == made.origin for handle in watch.handles)
            with pool.connection():
                lost = pool.getconn()
                loans = [handle for handle in watch.handles if handle.kind == "checkout"]
                assert [loan.parent.at_home for loan in loans if loan.parent] == [False, False]
                assert {loan.origin[0].co_filename for loan in loans} & {__file__}
                with pytest.raises(psycopg_pool.PoolTimeout):
                    pool.getconn(timeout=0.05)
                (refusal,) = watch.ledger.take().refusals
                assert refusal.by_pool is made
                assert made.timeouts == 1
            pool.putconn(lost)
            assert [handle.kind for handle in watch.handles] == ["connection"] * 2
            with pytest.raises(ValueError, match="can't return"):
                pool.putconn(lost)
            del lost
        assert watch.handles == []
        assert watch.ledger.take().pools == []
    finally:
        watch.stop()


def test_psycopgs_async_pools_lend(postgres: str) -> None:
    """The same in a loop, and for the null pool, which keeps nothing at home."""
    psycopg_pool = needed("psycopg_pool")
    watch = drivers("psycopg", "psycopg_pool")

    async def lend(kind: Any, **sizes: int) -> list[str]:
        async with kind(postgres, **sizes) as pool:
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")
                kinds = [handle.kind for handle in watch.handles if not handle.at_home]
            assert all(handle.kind == "connection" for handle in watch.handles)
        assert watch.handles == []
        return kinds

    try:
        sizes = {"min_size": 1, "max_size": 2}
        assert asyncio.run(lend(psycopg_pool.AsyncConnectionPool, **sizes)) == ["connection", "checkout"]
        assert asyncio.run(lend(psycopg_pool.AsyncNullConnectionPool, max_size=2)) == ["connection", "checkout"]
    finally:
        watch.stop()


def test_asyncpgs_pool_lends(postgres: str) -> None:
    """Its stock is at home, its loans are the application's, and a bare TimeoutError is a refusal."""
    asyncpg = needed("asyncpg")
    watch = drivers("asyncpg")

    async def lend() -> None:
        async with asyncpg.create_pool(postgres, min_size=2, max_size=2) as pool:
            assert [handle.at_home for handle in watch.handles] == [True, True]
            async with pool.acquire() as connection:
                await connection.fetch("SELECT 1")
                other = await pool.acquire()
                kinds = sorted(handle.kind for handle in watch.handles)
                assert kinds == ["checkout", "checkout", "connection", "connection"]
                with pytest.raises(asyncio.TimeoutError):
                    await pool.acquire(timeout=0.05)
                (refusal,) = watch.ledger.take().refusals
                assert refusal.by_pool is not None
                assert refusal.by_pool.timeouts == 1
                await pool.release(other)
            assert [handle.at_home for handle in watch.handles] == [True, True]
        assert watch.handles == []
        assert watch.ledger.take().pools == []

    try:
        asyncio.run(lend())
    finally:
        watch.stop()
