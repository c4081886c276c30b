"""What every pool's driver owes: waiting, its time, time-outs and refusals are counted once, whatever the library."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.drivers.libraries import Aioodbc, maybe
from tests.needs import lacking, needed
from whoholds.drivers.table import DRIVERS
from whoholds.ledger.ledger import Ledger
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Kind:
    """One library's pool, with room for one."""

    modules: tuple[str, ...]
    fixture = "postgres"  # the server; "" for a file
    patient = False  # whoever asks waits for ever: nobody is refused

    def __init__(self, at: Any) -> None:
        self.at = at

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Any]:
        with self.made() as pool:
            yield pool

    @contextmanager
    def made(self) -> Iterator[Any]:
        raise NotImplementedError
        yield

    def take(self, pool: Any) -> Any:
        """Borrow, in next to no time."""
        raise NotImplementedError

    def give(self, pool: Any, loan: Any) -> Any:
        """Give back."""
        loan.close()


class Psycopg2Pool(Kind):
    modules = ("psycopg2", "psycopg2.pool")

    @contextmanager
    def made(self) -> Iterator[Any]:
        from psycopg2.pool import ThreadedConnectionPool

        pool = ThreadedConnectionPool(1, 1, self.at)
        yield pool
        pool.closeall()

    def take(self, pool: Any) -> Any:
        return pool.getconn()

    def give(self, pool: Any, loan: Any) -> Any:
        pool.putconn(loan)


class PsycopgPool(Kind):
    modules = ("psycopg", "psycopg_pool")

    @contextmanager
    def made(self) -> Iterator[Any]:
        from psycopg_pool import ConnectionPool

        with ConnectionPool(self.at, min_size=1, max_size=1, open=True) as pool:
            pool.wait()
            yield pool

    def take(self, pool: Any) -> Any:
        return pool.getconn(timeout=0.1)

    def give(self, pool: Any, loan: Any) -> Any:
        pool.putconn(loan)


class AsyncPsycopgPool(PsycopgPool):
    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Any]:
        from psycopg_pool import AsyncConnectionPool

        async with AsyncConnectionPool(self.at, min_size=1, max_size=1, open=False) as pool:
            await pool.wait()
            yield pool

    async def give(self, pool: Any, loan: Any) -> None:
        await pool.putconn(loan)


class AsyncpgPool(Kind):
    modules = ("asyncpg",)

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Any]:
        import asyncpg

        async with asyncpg.create_pool(self.at, min_size=1, max_size=1) as pool:
            yield pool

    def take(self, pool: Any) -> Any:
        return pool.acquire(timeout=0.1)

    async def give(self, pool: Any, loan: Any) -> None:
        await pool.release(loan)


class AiopgPool(Kind):
    modules = ("psycopg2", "aiopg")

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Any]:
        import aiopg

        async with aiopg.create_pool(self.at, minsize=1, maxsize=1, timeout=0.1) as pool:
            yield pool

    def take(self, pool: Any) -> Any:
        return pool.acquire()

    async def give(self, pool: Any, loan: Any) -> None:
        await pool.release(loan)


class AiomysqlPool(AiopgPool):
    modules, fixture, patient = ("aiomysql",), "mariadb", True
    database = "db"

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Any]:
        at = {{"database": self.database}.get(name, name): value for name, value in self.at.items()}
        async with import_module(self.modules[0]).create_pool(minsize=1, maxsize=1, **at) as pool:
            yield pool

    async def take(self, pool: Any) -> Any:
        return await asyncio.wait_for(pool.acquire(), 0.1)


class AsyncmyPool(AiomysqlPool):
    modules, database = ("asyncmy",), "database"


class AioodbcPool(AiomysqlPool):
    modules, fixture = ("pyodbc", "aioodbc"), ""

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Any]:
        import aioodbc

        async with aioodbc.create_pool(dsn=f"DRIVER=SQLite3;Database={self.at}", minsize=1, maxsize=1) as pool:
            yield pool


class MariaDBPool(Kind):
    modules, fixture = ("mariadb",), "mariadb"
    made_so_far = 0

    @contextmanager
    def made(self) -> Iterator[Any]:
        import mariadb

        MariaDBPool.made_so_far += 1
        pool = mariadb.ConnectionPool(pool_name=f"p{self.made_so_far}", pool_size=1, **self.at)
        yield pool
        pool.close()

    def take(self, pool: Any) -> Any:
        return pool.get_connection()


class MySQLConnectorPool(Kind):
    modules, fixture = ("mysql.connector", "mysql.connector.pooling"), "mariadb"

    @contextmanager
    def made(self) -> Iterator[Any]:
        from mysql.connector.pooling import MySQLConnectionPool

        pool = MySQLConnectionPool(pool_size=1, pool_name="contract", **self.at)
        yield pool
        pool._remove_connections()

    def take(self, pool: Any) -> Any:
        return pool.get_connection()


class DBUtilsPool(Kind):
    modules, fixture = ("sqlite3", "dbutils.pooled_db"), ""

    @contextmanager
    def made(self) -> Iterator[Any]:
        from dbutils.pooled_db import PooledDB

        pool = PooledDB(sqlite3, maxconnections=1, database=self.at)
        yield pool
        pool.close()

    def take(self, pool: Any) -> Any:
        return pool.connection()


class PeeweePool(Kind):
    modules, fixture = ("sqlite3", "playhouse.pool"), ""

    @contextmanager
    def made(self) -> Iterator[Any]:
        from playhouse.pool import PooledSqliteDatabase

        pool = PooledSqliteDatabase(self.at, max_connections=1, thread_safe=False)
        yield pool
        pool.close_all()

    def take(self, pool: Any) -> Any:
        pool._state.reset()  # another thread's: it has none yet
        pool.connect()
        return pool._state.conn

    def give(self, pool: Any, loan: Any) -> Any:
        pool._state.set_connection(loan)
        pool.close()


class SQLAlchemyPool(Kind):
    modules, fixture = ("sqlite3", "sqlalchemy"), ""

    @contextmanager
    def made(self) -> Iterator[Any]:
        import sqlalchemy
        from sqlalchemy.pool import QueuePool

        engine = sqlalchemy.create_engine(
            f"sqlite:///{self.at}", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.1
        )
        yield engine
        engine.dispose()

    def take(self, pool: Any) -> Any:
        return pool.connect()


KINDS = (
    Psycopg2Pool,
    PsycopgPool,
    AsyncPsycopgPool,
    AsyncpgPool,
    AiopgPool,
    AiomysqlPool,
    AsyncmyPool,
    AioodbcPool,
    MariaDBPool,
    MySQLConnectorPool,
    DBUtilsPool,
    PeeweePool,
    SQLAlchemyPool,
)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Give each library's pool in turn."""
    chosen: type[Kind] = request.param
    for module in chosen.modules:
        needed(module.partition(".")[0])
    if "pyodbc" in chosen.modules and not Aioodbc.there():
        lacking("SQLite's ODBC driver is not installed: run .ci/install-servers as root")
    return chosen(request.getfixturevalue(chosen.fixture) if chosen.fixture else str(tmp_path / "shop.db"))


@pytest.fixture
def watch(kind: Kind) -> Iterator[Watch]:
    """Give a watch with the pool's driver and the one below."""
    drivers = []
    for module in kind.modules:
        file, _, function = DRIVERS[module].partition(":")
        drivers.append(getattr(import_module(file), function))
    with Watch(ledger=Ledger(), detectors={}, drivers=drivers) as watching:
        assert not watching.failed
        yield watching


def loans(watch: Watch) -> list[Any]:
    return [handle for handle in watch.handles if handle.kind == "checkout"]


def test_a_loan_and_a_refusal(kind: Kind, watch: Watch) -> None:
    """A loan has its time of waiting and its connection; a refusal is one time-out; nobody waits afterwards."""

    async def contract() -> None:
        async with kind.pool() as pool:
            first = await maybe(kind.take(pool))
            (loan,) = loans(watch)
            assert loan.connect_s is not None
            assert loan.parent is not None
            assert not loan.parent.at_home
            ours = loan.pool
            assert ours is not None
            assert (ours.pending, ours.timeouts) == (0, 0)
            with pytest.raises(Exception):  # noqa: B017, PT011 - each library's own
                await maybe(kind.take(pool))
            refused = 0 if kind.patient else 1
            assert (ours.pending, ours.timeouts) == (0, refused)
            refusals = [(refusal.by_pool, refusal.count) for refusal in watch.ledger.take().refusals]
            assert refusals == [(ours, 1)] * refused
            assert loans(watch) == [loan]
            await maybe(kind.give(pool, first))
            del first
            assert loans(watch) == []
            assert [handle.at_home for handle in watch.handles] == [True]
            again = await maybe(kind.take(pool))
            assert (len(loans(watch)), ours.timeouts) == (1, refused)
            await maybe(kind.give(pool, again))
        assert watch.handles == []

    asyncio.run(contract())


@pytest.mark.parametrize(
    "kind",
    [Psycopg2Pool, PsycopgPool, AsyncPsycopgPool, AsyncpgPool, AiopgPool, AiomysqlPool, AsyncmyPool, AioodbcPool],
    ids=lambda kind: kind.__name__,
    indirect=True,
)
def test_what_another_pool_does_not_take_is_lent_as_before(kind: Kind, watch: Watch) -> None:
    """Given to the wrong pool and then to its own: the loan is over with the second, and nobody is left with one."""

    async def contract() -> None:
        async with kind.pool() as other, kind.pool() as pool:
            taken = await maybe(kind.take(pool))
            try:
                await maybe(kind.give(other, taken))
            except Exception:  # noqa: BLE001 - each library's own
                assert [loan.open for loan in loans(watch)] == [True]
                await maybe(kind.give(pool, taken))
            assert loans(watch) == []
            with suppress(Exception):
                await maybe(kind.give(pool, taken))  # twice
            assert loans(watch) == []

    asyncio.run(contract())


@pytest.mark.parametrize("kind", [AioodbcPool, MariaDBPool], ids=lambda kind: kind.__name__, indirect=True)
def test_a_connection_that_is_lent_on_before_the_call_returns_is_the_next_ones(kind: Kind, watch: Watch) -> None:
    """The call that gives it back ends after another task or thread has it: the first loan ends, and not the second."""
    taken: list[Any] = []

    class Lock:
        """The pool's lock, which another thread gets at once."""

        def __init__(self, pool: Any) -> None:
            self.pool, self.real = pool, pool._lock_pool

        def __enter__(self) -> None:
            self.real.acquire()

        def __exit__(self, *_: object) -> None:
            self.pool._lock_pool = self.real
            self.real.release()
            taken.append(kind.take(self.pool))

    async def contract() -> None:
        async def borrows() -> None:
            taken.append(await kind.take(pool))

        async with kind.pool() as pool:
            first = await maybe(kind.take(pool))
            (loan,) = loans(watch)
            if kind.modules == ("mariadb",):
                pool._lock_pool = Lock(pool)
                kind.give(pool, first)
            else:
                wakes, pool._wakeup = pool._wakeup, borrows
                await kind.give(pool, first)
                pool._wakeup = wakes
            (second,) = loans(watch)
            assert (loan.open, second is not loan) == (False, True)
            assert not second.parent.at_home
            await maybe(kind.give(pool, taken[0]))
            assert loans(watch) == []

    asyncio.run(contract())


def test_a_lender_that_fails_costs_nobody_a_place(kind: Kind, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours at each step: the program gets its connections and its exceptions, and can give back."""

    def broken(*_: Any, **__: Any) -> Any:
        return 1 // 0

    async def contract() -> None:
        async with kind.pool() as pool:
            for name in ("asks", "opened", "closed", "dropped", "refused"):
                monkeypatch.setattr(watch.ledger, name, broken)
                for _ in range(2):
                    taken = await maybe(kind.take(pool))
                    with pytest.raises(Exception) as raised:  # noqa: PT011 - each library's own
                        await maybe(kind.take(pool))
                    assert not isinstance(raised.value, ZeroDivisionError)
                    await maybe(kind.give(pool, taken))
                    del taken, raised
            monkeypatch.undo()
            taken = await maybe(kind.take(pool))
            await maybe(kind.give(pool, taken))

    asyncio.run(contract())
