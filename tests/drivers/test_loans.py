"""The numbers of a loan, on every pool: what its borrower did, and not what its connection ever did."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import whoholds
from tests.hostile import interrupts
from tests.needs import needed
from whoholds.drivers import table
from whoholds.ledger.handle import CHECKOUT
from whoholds.ledger.ledger import Ledger
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from whoholds.ledger.handle import Handle

    # a pool of one connection, and the block in which it lends that: to what runs a statement
    Pool = Callable[[str], AbstractContextManager[Callable[[], AbstractContextManager[Callable[[], object]]]]]
    AsyncPool = Callable[[str], AbstractAsyncContextManager[Callable[[], AbstractAsyncContextManager[Any]]]]

USES = (3, 0, 1)  # statements of three loans, one after the other


@contextmanager
def psycopg2_pool(dsn: str) -> Iterator[Any]:
    from psycopg2.pool import ThreadedConnectionPool

    pool = ThreadedConnectionPool(1, 1, dsn)

    @contextmanager
    def lend() -> Iterator[Any]:
        connection = pool.getconn()
        try:
            yield lambda: connection.cursor().execute("SELECT 1")
        finally:
            pool.putconn(connection)

    yield lend
    pool.closeall()


@contextmanager
def psycopg_pool(dsn: str) -> Iterator[Any]:
    from psycopg_pool import ConnectionPool

    with ConnectionPool(dsn, min_size=1, max_size=1, open=True) as pool:
        pool.wait()

        @contextmanager
        def lend() -> Iterator[Any]:
            connection = pool.getconn()
            try:
                yield lambda: connection.execute("SELECT 1")
            finally:
                pool.putconn(connection)

        yield lend


@contextmanager
def sqlalchemy(dsn: str) -> Iterator[Any]:
    from sqlalchemy import create_engine

    engine = create_engine(dsn.replace("postgresql:", "postgresql+psycopg2:"), pool_size=1, max_overflow=0)

    @contextmanager
    def lend() -> Iterator[Any]:
        with engine.connect() as connection:
            yield lambda: connection.exec_driver_sql("SELECT 1")

    yield lend
    engine.dispose()


@contextmanager
def dbutils(dsn: str) -> Iterator[Any]:
    import psycopg2
    from dbutils.pooled_db import PooledDB

    with closing(PooledDB(psycopg2, mincached=1, maxconnections=1, dsn=dsn)) as pool:

        @contextmanager
        def lend() -> Iterator[Any]:
            with closing(pool.connection()) as connection:
                yield lambda: connection.cursor().execute("SELECT 1")

        yield lend


@contextmanager
def peewee(dsn: str) -> Iterator[Any]:
    from playhouse.pool import PooledPostgresqlDatabase

    at = urlsplit(dsn)
    database = PooledPostgresqlDatabase(
        at.path[1:], user=at.username, host=at.hostname, port=at.port, max_connections=1
    )

    @contextmanager
    def lend() -> Iterator[Any]:
        with database.connection_context():
            yield lambda: database.execute_sql("SELECT 1")

    yield lend
    database.close_all()


@asynccontextmanager
async def asyncpg(dsn: str) -> AsyncIterator[Any]:
    import asyncpg as library

    async with library.create_pool(dsn, min_size=1, max_size=1) as pool:

        @asynccontextmanager
        async def lend() -> AsyncIterator[Any]:
            async with pool.acquire() as connection:
                yield lambda: connection.execute("SELECT 1")

        yield lend


@asynccontextmanager
async def psycopg_async_pool(dsn: str) -> AsyncIterator[Any]:
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False) as pool:
        await pool.wait()

        @asynccontextmanager
        async def lend() -> AsyncIterator[Any]:
            connection = await pool.getconn()
            try:
                yield lambda: connection.execute("SELECT 1")
            finally:
                await pool.putconn(connection)

        yield lend


@asynccontextmanager
async def sqlalchemy_async(dsn: str) -> AsyncIterator[Any]:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(dsn.replace("postgresql:", "postgresql+asyncpg:"), pool_size=1, max_overflow=0)

    @asynccontextmanager
    async def lend() -> AsyncIterator[Any]:
        async with engine.connect() as connection:
            yield lambda: connection.exec_driver_sql("SELECT 1")

    yield lend
    await engine.dispose()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch of every pool and driver that is installed, which ticks only when asked."""
    found = []
    for module in ("psycopg2", "psycopg2.pool", "psycopg", "psycopg_pool", "asyncpg", "sqlalchemy"):
        needed(module.partition(".")[0])
        found.append(module)
    for module, name in (
        ("dbutils.pooled_db", "dbutils"),
        ("dbutils.steady_db", "dbutils"),
        ("playhouse.pool", "peewee"),
    ):
        needed(name)
        found.append(module)
    drivers = []
    for module in found:
        file, _, function = table.DRIVERS[module].partition(":")
        drivers.append(getattr(import_module(file), function))
    with Watch(ledger=Ledger(), detectors={}, drivers=drivers) as watching:
        yield watching


def loans(watch: Watch) -> list[Handle]:
    """Give the loans that came back since the last look, oldest first."""
    watch.tick()
    assert watch.snapshot is not None
    return sorted((one for one in watch.snapshot.ended if one.kind == CHECKOUT), key=lambda one: one.opened_stamp)


def assert_their_own(watch: Watch) -> None:
    """Each loan has counted what ran in it: a pool's reset, and what others did, belong to the connection alone."""
    taken = loans(watch)
    assert len({id(loan.parent) for loan in taken}) == 1, "one connection was lent three times"
    seen = [(bool(loan.uses), bool(loan.busy_s), bool(loan.statements)) for loan in taken]
    assert seen == [(uses > 0,) * 3 for uses in USES]
    assert taken[0].uses > taken[2].uses > 0
    assert sum(loan.uses for loan in taken) <= taken[0].parent.uses
    for loan in taken:
        assert loan.busy_s <= loan.held_s(0.0)
        assert loan.idle_s(0.0) <= loan.held_s(0.0)


@pytest.mark.parametrize(
    "pool", [psycopg2_pool, psycopg_pool, sqlalchemy, dbutils, peewee], ids=lambda one: one.__name__
)
def test_a_loan_s_numbers_are_its_own(pool: Pool, watch: Watch, postgres: str) -> None:
    """Three loans of one connection, of which the second is never used."""
    with pool(postgres) as lend:
        for uses in USES:
            with lend() as run:
                for _ in range(uses):
                    run()
        assert_their_own(watch)


@pytest.mark.parametrize("pool", [asyncpg, psycopg_async_pool, sqlalchemy_async], ids=lambda one: one.__name__)
def test_an_asynchronous_loan_s_numbers_are_its_own(pool: AsyncPool, watch: Watch, postgres: str) -> None:
    """The same where the calls are awaited."""

    async def main() -> None:
        async with pool(postgres) as lend:
            for uses in USES:
                async with lend() as run:
                    for _ in range(uses):
                        await run()
            assert_their_own(watch)

    asyncio.run(main())


BLOCKS = (0, 3)


def assert_the_blocks_own(watch: Watch) -> None:
    """The commit and the rollback at the end of a block are the library's."""
    assert [loan.uses for loan in loans(watch)] == list(BLOCKS)


def test_a_block_of_psycopg_s_pool_commits_for_itself(watch: Watch, postgres: str) -> None:
    """`with pool.connection()`: a loan that is never used says so."""
    from psycopg_pool import ConnectionPool

    with ConnectionPool(postgres, min_size=1, max_size=1, open=True) as pool:
        for uses in BLOCKS:
            with pool.connection() as connection:
                for _ in range(uses):
                    connection.execute("SELECT 1")
        assert_the_blocks_own(watch)
        with pool.connection() as connection:
            connection.execute("SELECT 1")
            connection.commit()
            with connection:
                connection.execute("SELECT 1")
            connection.execute("SELECT 1")
        assert [loan.uses for loan in loans(watch)] == [4]  # the program's own commit is one


def test_a_block_of_psycopg_s_asynchronous_pool_commits_for_itself(watch: Watch, postgres: str) -> None:
    """The same with `async with`, also where an exception leaves the block."""
    from psycopg_pool import AsyncConnectionPool

    async def main() -> None:
        async with AsyncConnectionPool(postgres, min_size=1, max_size=1, open=False) as pool:
            for uses in BLOCKS:
                with suppress(LookupError):
                    async with pool.connection() as connection:
                        for _ in range(uses):
                            await connection.execute("SELECT 1")
                        raise LookupError
            assert_the_blocks_own(watch)

    asyncio.run(main())


def test_sqlalchemy_s_rollback_at_close_is_its_own(watch: Watch, postgres: str) -> None:
    """Of a connection and of a session; what the program itself rolls back is a use."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session

    url = postgres.replace("postgresql:", "postgresql+psycopg2:")
    engine = create_engine(url, future=True, pool_size=1, max_overflow=0)  # in 1.4 only such a one can roll back
    with engine.connect():
        loans(watch)  # what the first connection of an engine asks the server
    for uses in BLOCKS:
        with engine.connect() as connection:
            for _ in range(uses):
                connection.execute(text("SELECT 1"))
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.rollback()
        connection.execute(text("SELECT 1"))
    assert [loan.uses for loan in loans(watch)][1:] == [*BLOCKS, 1, 3]
    engine.dispose()


def test_a_loan_that_psycopg_s_pool_had_taken_when_a_signal_came_has_ended(watch: Watch, postgres: str) -> None:
    """The signal's handler raises in `putconn`, when the connection is home or lent on: no second loan is made of it."""
    from psycopg_pool import ConnectionPool

    class Interrupted(ConnectionPool):  # type: ignore[type-arg]
        """Its handler raises after all was done."""

        signals = 2

        def interrupted(self, *args: Any, **kwargs: Any) -> None:
            getattr(super(), last_step)(*args, **kwargs)
            if self.signals:
                self.signals -= 1
                if not self.signals:
                    borrowed.append(self.getconn())
                raise KeyboardInterrupt

    last_step = "_putconn" if hasattr(ConnectionPool, "_putconn") else "_return_connection"  # before 3.2
    setattr(Interrupted, last_step, Interrupted.interrupted)
    borrowed: list[Any] = []
    with Interrupted(postgres, min_size=1, max_size=1, open=True) as pool:
        for out in (0, 1):
            connection = pool.getconn()
            with pytest.raises(KeyboardInterrupt):
                pool.putconn(connection)
            assert len([one for one in watch.handles if one.kind == CHECKOUT]) == out
        pool.putconn(borrowed.pop())
        assert [one for one in watch.handles if one.kind == CHECKOUT] == []


@pytest.mark.parametrize("library", ["psycopg2", "psycopg"])
def test_a_loan_that_another_pool_would_not_take_is_lent_as_before(watch: Watch, postgres: str, library: str) -> None:
    """It is open, its uses count, and its own pool takes it back."""
    if library == "psycopg2":
        from psycopg2.pool import PoolError, ThreadedConnectionPool

        own, other = ThreadedConnectionPool(1, 1, postgres), ThreadedConnectionPool(1, 1, postgres)
        refused, close = PoolError, ThreadedConnectionPool.closeall
    else:
        from psycopg_pool import ConnectionPool

        own, other = (ConnectionPool(postgres, min_size=1, max_size=1, open=True) for _ in range(2))
        refused, close = ValueError, ConnectionPool.close
    connection, others = own.getconn(), other.getconn()
    first, second = loans = [one for one in watch.handles if one.kind == CHECKOUT]
    with pytest.raises(refused):
        other.putconn(connection)
    assert [loan.open for loan in loans] == [True, True]
    assert [loan.parent.at_home for loan in loans] == [False, False]
    connection.cursor().execute("SELECT 1")
    assert (first.uses, second.uses) == (1, 0)
    own.putconn(connection)
    other.putconn(others)
    assert [loan.open for loan in loans] == [False, False]
    close(own)
    close(other)


@pytest.mark.once
@pytest.mark.parametrize("library", ["psycopg2", "psycopg"])
def test_a_signal_at_any_step_of_giving_back_leaves_no_doubt(watch: Watch, postgres: str, library: str) -> None:
    """The handler raises at each instruction of ours in turn: the loan is open if the library's pool has it out."""
    if library == "psycopg2":
        from psycopg2.pool import ThreadedConnectionPool

        pool: Any = ThreadedConnectionPool(1, 1, postgres)
        is_out, close = (lambda connection: id(connection) in pool._rused), pool.closeall
    else:
        from psycopg_pool import ConnectionPool

        pool = ConnectionPool(postgres, min_size=1, max_size=1, open=True)
        is_out, close = (lambda connection: connection._pool is pool), pool.close
    before = signal.signal(signal.SIGUSR1, interrupts.raise_here)
    outs, number = set(), 0
    try:
        while True:
            connection = pool.getconn()
            interrupter = interrupts.Interrupter(str(Path(whoholds.__file__).parent) + os.sep, number, ())
            try:
                sys.settrace(interrupter.call)
                pool.putconn(connection)
            except interrupts.InterruptedHereError:
                pass
            finally:
                sys.settrace(None)
            if not interrupter.at:
                break
            out = is_out(connection)
            loans = [one for one in watch.handles if one.kind == CHECKOUT]
            assert [(one.uses, one.parent.at_home) for one in loans] == [(0, False)] * out, interrupter.at
            if out:
                pool.putconn(connection)
            assert [one for one in watch.handles if one.kind == CHECKOUT] == []
            outs.add(out)
            number += 1
    finally:
        signal.signal(signal.SIGUSR1, before)
        close()
    assert True in outs  # and False where there is a step after the pool took it back: not on every Python
    assert number > 5
