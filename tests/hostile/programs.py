"""Small programs, one for each library at hand, that say what they get: what is hostile to us is tried on them.

Each is a function of a `World`, says the same each time, and looks after itself: whether every place of its pool can
be lent again, whether every future is resolved. A library that is not installed leaves its programs out.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tests.drivers.libraries import Pyodbc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Program = Callable[["World"], None]

PATIENCE_S = 10.0  # for a future or thread that must end


@dataclass
class World:
    """What a program may use, and what it has said so far."""

    folder: Path
    postgres: str = ""  # the URL of a server, "" where there is none
    mariadb: dict[str, Any] = field(default_factory=dict)  # the arguments of a connect, empty where there is none
    said: list[str] = field(default_factory=list)

    def say(self, what: object) -> None:
        """Keep what a program got."""
        self.said.append(repr(what))

    @contextmanager
    def expecting(self, what: type[Exception]) -> Iterator[None]:
        """Say which exception the block raises; any other is the program's end."""
        try:
            yield
        except what as error:
            self.say((type(error).__name__, str(error).splitlines()[0][:30]))
        else:
            self.say("nothing raised")


PROGRAMS: dict[str, Program] = {}
_NEEDS: dict[str, tuple[str, ...]] = {}


def _program(*needs: str) -> Callable[[Program], Program]:
    """Put a program into the table, with the modules and servers that it needs."""

    def put(program: Program) -> Program:
        name = program.__name__.removesuffix("_")
        PROGRAMS[name] = program
        _NEEDS[name] = needs
        return program

    return put


def at_hand(world: World) -> dict[str, Program]:
    """The programs whose libraries and servers are here."""
    return {name: program for name, program in PROGRAMS.items() if all(here(need, world) for need in _NEEDS[name])}


def needs(name: str) -> tuple[str, ...]:
    """The modules and servers that a program needs."""
    return _NEEDS[name]


def here(need: str, world: World) -> bool:
    """Whether a module can be imported, or a server runs."""
    servers = {"postgres": world.postgres, "mariadb": world.mariadb}
    if need in servers:
        return bool(servers[need])
    if need == "odbc":
        return Pyodbc.there()
    try:
        return find_spec(need) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def imports(name: str) -> None:
    """Import what a program needs, so that a watch may stand there before it runs."""
    for need in _NEEDS[name]:
        if need not in ("postgres", "mariadb", "odbc"):
            __import__(need)


# --- DB-API modules -------------------------------------------------------------------------------------------------


@_program()
def imports_(world: World) -> None:
    """Import what is at hand, while a watch waits for it."""
    import sqlite3
    from concurrent import futures

    for name in ("psycopg2.pool", "psycopg_pool", "asyncpg", "pymysql", "sqlalchemy", "anyio", "multiprocessing"):
        if find_spec(name.partition(".")[0]):
            __import__(name)
    with world.expecting(ModuleNotFoundError):
        __import__("MySQLdb_that_nobody_has")
    sqlite3.connect(":memory:").close()
    with futures.ThreadPoolExecutor(1) as executor:
        world.say(executor.submit(sum, (1, 2)).result(PATIENCE_S))


@_program("sqlite3")
def sqlite3(world: World) -> None:
    import sqlite3

    connection = sqlite3.connect(str(world.folder / "cars.db"))
    cursor = connection.cursor()
    world.say(cursor.execute("create table if not exists cars (id integer, name text)").fetchall())
    cursor.executemany("insert into cars values (?, ?)", [(1, "Lada"), (2, "Volga")])
    world.say(connection.execute("select count(*) from cars where id = ?", (1,)).fetchone()[0] > 0)
    with world.expecting(sqlite3.OperationalError):
        connection.execute("select * from nowhere")
    connection.rollback()
    with connection:
        connection.execute("delete from cars")
    other = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(other)
    other.executescript("create table a (b); drop table a;")
    other.close()
    connection.commit()
    connection.close()
    with world.expecting(sqlite3.ProgrammingError):
        connection.execute("select 1")
    with world.expecting(sqlite3.OperationalError):
        sqlite3.connect(str(world.folder / "no" / "such" / "folder"))
    again = sqlite3.connect(":memory:", factory=type("Mine", (sqlite3.Connection,), {}))
    world.say(type(again).__name__)
    del again  # the collector frees it, or its last reference


@_program("psycopg2", "postgres")
def psycopg2(world: World) -> None:
    import psycopg2

    connection = psycopg2.connect(world.postgres)
    with connection.cursor() as cursor:
        cursor.execute("select %s::int", (7,))
        world.say(cursor.fetchall())
        with world.expecting(psycopg2.errors.UndefinedTable):
            cursor.execute("select * from nowhere")
    connection.rollback()
    with connection, connection.cursor("named") as cursor:
        cursor.execute("select generate_series(1, 3)")
        world.say(cursor.fetchall())
    cursor = connection.cursor()
    cursor.executemany("select %s", [(1,), (2,)])
    connection.commit()
    connection.close()
    with world.expecting(psycopg2.InterfaceError):
        connection.cursor()
    with world.expecting(psycopg2.OperationalError):
        psycopg2.connect(world.postgres.rpartition("/")[0] + "/nowhere")


@_program("psycopg2.pool", "postgres")
def psycopg2_pool(world: World) -> None:
    from psycopg2 import pool

    places = pool.ThreadedConnectionPool(1, 2, world.postgres)
    for _ in range(2):
        lent = [places.getconn(), places.getconn()]
        with world.expecting(pool.PoolError):
            places.getconn()
        world.say([one.cursor().execute("select 1") for one in lent])
        for one in lent:
            places.putconn(one)
    keyed = places.getconn("key")
    world.say(places.getconn("key") is keyed)
    places.putconn(keyed, "key", close=True)
    world.say((len(places._used), len(places._pool)))
    places.closeall()
    with world.expecting(pool.PoolError):
        places.getconn()


@_program("psycopg", "postgres")
def psycopg(world: World) -> None:
    import psycopg

    with psycopg.connect(world.postgres) as connection:
        world.say(connection.execute("select %s::int", (7,)).fetchall())
        with world.expecting(psycopg.errors.UndefinedTable), connection.transaction():
            connection.execute("select * from nowhere")
        with connection.cursor("named") as cursor:
            cursor.execute("select generate_series(1, 3)")
            world.say(cursor.fetchall())
        connection.commit()
    world.say(connection.closed)
    with world.expecting(psycopg.OperationalError):
        connection.execute("select 1")
    with world.expecting(psycopg.OperationalError):
        psycopg.connect(world.postgres.rpartition("/")[0] + "/nowhere")


@_program("psycopg_pool", "psycopg", "postgres")
def psycopg_pool(world: World) -> None:
    import psycopg_pool

    with psycopg_pool.ConnectionPool(world.postgres, min_size=1, max_size=2, timeout=PATIENCE_S) as places:
        for _ in range(2):
            with places.connection() as one, places.connection() as two:
                world.say([one.execute("select 1").fetchone(), two.execute("select 2").fetchone()])
                with world.expecting(psycopg_pool.PoolTimeout):
                    places.getconn(timeout=0.01)
    world.say(places.closed)
    with world.expecting(psycopg_pool.PoolClosed):
        places.getconn()


@_program("psycopg_pool", "psycopg", "postgres")
def psycopg_async(world: World) -> None:
    import psycopg
    import psycopg_pool as library

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(world.postgres) as connection:
            world.say(await (await connection.execute("select 1")).fetchall())
            with world.expecting(psycopg.errors.UndefinedTable):
                await connection.execute("select * from nowhere")
            await connection.rollback()
            async with connection.cursor("named") as cursor:
                await cursor.execute("select generate_series(1, 3)")
                world.say(await cursor.fetchall())
        async with library.AsyncConnectionPool(
            world.postgres, min_size=1, max_size=2, open=False, timeout=PATIENCE_S
        ) as places:
            for _ in range(2):
                async with places.connection() as one, places.connection() as two:
                    world.say([await (await each.execute("select 1")).fetchone() for each in (one, two)])
                    with world.expecting(library.PoolTimeout):
                        await places.getconn(timeout=0.01)
        world.say(places.closed)

    _run(main)


@_program("asyncpg", "postgres")
def asyncpg(world: World) -> None:
    import asyncpg

    async def main() -> None:
        connection = await asyncpg.connect(world.postgres)
        world.say(await connection.execute("select 1"))
        world.say([tuple(row) for row in await connection.fetch("select $1::int", 7)])
        with world.expecting(asyncpg.UndefinedTableError):
            await connection.fetch("select * from nowhere")
        async with connection.transaction():
            world.say([row[0] async for row in connection.cursor("select generate_series(1, 3)")])
        await connection.close()
        with world.expecting(asyncpg.InterfaceError):
            await connection.execute("select 1")
        with world.expecting(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(world.postgres.rpartition("/")[0] + "/nowhere")
        places = await asyncpg.create_pool(world.postgres, min_size=1, max_size=2)
        for _ in range(2):
            async with places.acquire(timeout=PATIENCE_S) as one, places.acquire(timeout=PATIENCE_S) as two:
                world.say([await one.fetchval("select 1"), await two.fetchval("select 2")])
                with world.expecting(asyncio.TimeoutError):
                    await places.acquire(timeout=0.01)
        await asyncio.wait_for(places.close(), PATIENCE_S)

    _run(main)


@_program("aiopg", "postgres")
def aiopg(world: World) -> None:
    import aiopg
    import psycopg2

    async def answer(connection: Any, sql: str) -> Any:
        async with connection.cursor() as cursor:
            await cursor.execute(sql)
            return await cursor.fetchall()

    async def main() -> None:
        connection = await aiopg.connect(world.postgres)
        world.say(await answer(connection, "select 7"))
        with world.expecting(psycopg2.errors.UndefinedTable):
            await answer(connection, "select * from nowhere")
        async with connection.cursor() as cursor, cursor.begin():
            await cursor.execute("select 1")
        await connection.close()
        with world.expecting(psycopg2.InterfaceError):
            await answer(connection, "select 1")
        with world.expecting(psycopg2.OperationalError):
            await aiopg.connect(world.postgres.rpartition("/")[0] + "/nowhere")
        async with aiopg.create_pool(world.postgres, minsize=1, maxsize=2, timeout=0.5) as places:
            for _ in range(2):
                async with places.acquire() as one, places.acquire() as two:
                    world.say([await answer(one, "select 1"), await answer(two, "select 2")])
                    with world.expecting(asyncio.TimeoutError):
                        await places.acquire()

    _run(main)


@_program("aiosqlite")
def aiosqlite(world: World) -> None:
    import aiosqlite

    async def main() -> None:
        async with aiosqlite.connect(":memory:") as connection:
            async with connection.execute("select 7") as cursor:
                world.say(await cursor.fetchall())
            with world.expecting(aiosqlite.OperationalError):
                await connection.execute("select * from nowhere")
            await connection.commit()
        with world.expecting(Exception):
            await connection.execute("select 1")

    _run(main)


@_program("pymysql", "mariadb")
def pymysql(world: World) -> None:
    import pymysql

    connection = pymysql.connect(**world.mariadb)
    with connection.cursor() as cursor:
        cursor.execute("select %s", (7,))
        world.say(cursor.fetchall())
        with world.expecting(pymysql.ProgrammingError):
            cursor.execute("select * from nowhere")
    connection.commit()
    connection.rollback()
    connection.close()
    with world.expecting(pymysql.Error):
        connection.cursor().execute("select 1")
    with world.expecting(pymysql.OperationalError):
        pymysql.connect(**{**world.mariadb, "database": "nowhere"})


@_program("mysql.connector", "mariadb")
def mysql_connector(world: World) -> None:
    import mysql.connector

    connection = mysql.connector.connect(**world.mariadb, use_pure=True)
    cursor = connection.cursor()
    cursor.execute("select 7")
    world.say(cursor.fetchall())
    with world.expecting(mysql.connector.ProgrammingError):
        cursor.execute("select * from nowhere")
    cursor.close()
    connection.commit()
    connection.close()


def _aio_mysql(world: World, library: Any, errors: Any, database: str) -> None:
    """What a program of aiomysql and one of asyncmy do."""
    at = {{"database": database}.get(name, name): value for name, value in world.mariadb.items()}

    async def answer(connection: Any, sql: str) -> Any:
        async with connection.cursor() as cursor:
            await cursor.execute(sql)
            return await cursor.fetchall()

    async def main() -> None:
        connection = await library.connect(**at)
        world.say(await answer(connection, "select 7"))
        with world.expecting(errors.ProgrammingError):
            await answer(connection, "select * from nowhere")
        await connection.begin()
        await connection.rollback()
        await connection.ensure_closed()
        with world.expecting(errors.OperationalError):
            await library.connect(**{**at, database: "nowhere"})
        async with library.create_pool(minsize=1, maxsize=2, **at) as places:
            for _ in range(2):
                async with places.acquire() as one, places.acquire() as two:
                    world.say([await answer(one, "select 1"), await answer(two, "select 2")])
                    with world.expecting(asyncio.TimeoutError):
                        await asyncio.wait_for(places.acquire(), 0.01)

    _run(main)


@_program("aiomysql", "mariadb")
def aiomysql(world: World) -> None:
    import aiomysql
    import pymysql.err

    _aio_mysql(world, aiomysql, pymysql.err, "db")


@_program("asyncmy", "mariadb")
def asyncmy(world: World) -> None:
    import asyncmy
    import asyncmy.errors

    _aio_mysql(world, asyncmy, asyncmy.errors, "database")


@_program("mariadb.connectionpool", "mariadb")
def mariadb(world: World) -> None:
    import mariadb

    with mariadb.connect(**world.mariadb) as connection, connection.cursor() as cursor:
        cursor.execute("select ?", (7,))
        world.say(cursor.fetchall())
        with world.expecting(mariadb.ProgrammingError):
            cursor.execute("select * from nowhere")
        connection.commit()
    with world.expecting(mariadb.ProgrammingError):
        connection.commit()
    with world.expecting(mariadb.Error):
        mariadb.connect(**{**world.mariadb, "database": "nowhere"})
    places = mariadb.ConnectionPool(pool_name="few", pool_size=2, **world.mariadb)
    try:
        for _ in range(2):
            with places.get_connection(), places.get_connection(), world.expecting(mariadb.PoolError):
                places.get_connection()
    finally:
        places.close()


@_program("mysql.connector", "mysql.connector.pooling", "mariadb")
def mysql_connector_pool(world: World) -> None:
    from mysql.connector.errors import PoolError
    from mysql.connector.pooling import MySQLConnectionPool

    places = MySQLConnectionPool(2, "few", use_pure=True, **world.mariadb)
    for _ in range(2):
        one, two = places.get_connection(), places.get_connection()
        cursor = one.cursor()
        cursor.execute("select 7")
        world.say(cursor.fetchall())
        with world.expecting(PoolError):
            places.get_connection()
        one.close()
        two.close()
    world.say(places._remove_connections())


@_program("pyodbc", "odbc")
def pyodbc(world: World) -> None:
    import pyodbc

    with pyodbc.connect(f"DRIVER=SQLite3;Database={world.folder}/odbc.db") as connection:
        world.say(connection.execute("select 7").fetchall())
        with connection.cursor() as cursor, world.expecting(pyodbc.Error):
            cursor.execute("select * from nowhere")
        connection.commit()
    connection.close()
    with world.expecting(pyodbc.ProgrammingError):
        connection.execute("select 1")
    with world.expecting(pyodbc.Error):
        pyodbc.connect("DRIVER=nowhere")


@_program("pyodbc", "aioodbc", "odbc")
def aioodbc(world: World) -> None:
    import aioodbc
    import pyodbc

    async def main() -> None:
        dsn = f"DRIVER=SQLite3;Database={world.folder}/odbc.db"
        async with aioodbc.connect(dsn=dsn) as connection, connection.cursor() as cursor:
            await cursor.execute("select 7")
            world.say(await cursor.fetchall())
            with world.expecting(pyodbc.Error):
                await cursor.execute("select * from nowhere")
        with world.expecting(pyodbc.Error):
            await aioodbc.connect(dsn="DRIVER=nowhere")
        async with aioodbc.create_pool(dsn, minsize=1, maxsize=2) as places:
            for _ in range(2):
                async with places.acquire() as one, places.acquire():
                    world.say(one.closed)
                    with world.expecting(asyncio.TimeoutError):
                        await asyncio.wait_for(places.acquire(), 0.01)

    _run(main)


@_program("pg8000.dbapi", "postgres")
def pg8000(world: World) -> None:
    from urllib.parse import urlsplit

    import pg8000.dbapi

    at = urlsplit(world.postgres)
    named = {"host": at.hostname, "port": at.port, "database": at.path[1:]}
    connection = pg8000.dbapi.connect(at.username or "postgres", **named)
    cursor = connection.cursor()
    cursor.execute("select 7")
    world.say([list(row) for row in cursor.fetchall()])
    with world.expecting(pg8000.dbapi.DatabaseError):
        cursor.execute("select * from nowhere")
    connection.rollback()
    connection.close()
    with world.expecting(pg8000.dbapi.InterfaceError):
        connection.cursor().execute("select 1")


# --- what stands above them -----------------------------------------------------------------------------------------


@_program("sqlalchemy", "sqlite3")
def sqlalchemy(world: World) -> None:
    import sqlalchemy
    from sqlalchemy.pool import QueuePool

    at = f"sqlite:///{world.folder / 'shop.db'}"
    engine = sqlalchemy.create_engine(at, poolclass=QueuePool, pool_size=1, max_overflow=1, pool_timeout=0.01)
    for _ in range(2):
        with engine.connect() as one, engine.connect() as two:
            world.say([each.execute(sqlalchemy.text("select 7")).scalar() for each in (one, two)])
            with world.expecting(sqlalchemy.exc.TimeoutError):
                engine.connect()
    world.say((engine.pool.checkedout(), engine.pool.checkedin()))
    with world.expecting(sqlalchemy.exc.OperationalError), engine.begin() as connection:
        connection.execute(sqlalchemy.text("select * from nowhere"))
    kept = engine.connect()
    kept.detach()
    kept.close()
    engine.dispose()
    with engine.connect() as connection:
        world.say(connection.scalar(sqlalchemy.text("select 8")))
    engine.dispose()


@_program("sqlalchemy", "psycopg2", "postgres")
def sqlalchemy_psycopg2(world: World) -> None:
    import sqlalchemy
    from sqlalchemy.orm import Session

    engine = sqlalchemy.create_engine(world.postgres.replace("postgresql:", "postgresql+psycopg2:"), pool_size=1)
    with engine.begin() as connection:
        world.say(connection.execute(sqlalchemy.text("select 7")).scalar())
    with world.expecting(sqlalchemy.exc.ProgrammingError), engine.connect() as connection:
        connection.execute(sqlalchemy.text("select * from nowhere"))
    with Session(engine) as session:
        world.say(session.execute(sqlalchemy.text("select 9")).scalar())
        session.commit()
        with world.expecting(sqlalchemy.exc.ProgrammingError):
            session.execute(sqlalchemy.text("select * from nowhere"))
    engine.dispose()


@_program("sqlalchemy.ext.asyncio", "aiosqlite")
def sqlalchemy_async(world: World) -> None:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{world.folder / 'shop.db'}")
        async with engine.connect() as one:
            world.say((await one.execute(sqlalchemy.text("select 7"))).scalar())
        await engine.dispose()

    _run(main)


@_program("dbutils.pooled_db", "dbutils.persistent_db", "sqlite3")
def dbutils(world: World) -> None:
    import sqlite3

    from dbutils.persistent_db import PersistentDB
    from dbutils.pooled_db import PooledDB, TooManyConnectionsError

    places = PooledDB(sqlite3, 1, maxconnections=2, database=":memory:", check_same_thread=False)
    for _ in range(2):
        one, two = places.connection(), places.connection()
        with world.expecting(TooManyConnectionsError):
            places.connection()
        cursor = one.cursor()
        cursor.execute("select 7")
        world.say(cursor.fetchall())
        cursor.close()
        one.close()
        two.close()
    places.close()
    kept = PersistentDB(sqlite3, database=":memory:").connection()
    kept.cursor().execute("select 1")
    kept.close()


@_program("playhouse.pool")
def peewee(world: World) -> None:
    import peewee
    from playhouse.pool import MaxConnectionsExceeded, PooledSqliteDatabase

    places = PooledSqliteDatabase(str(world.folder / "pee.db"), max_connections=1)
    for _ in range(2):
        places.connect()
        world.say(places.execute_sql("select 7").fetchall())
        with world.expecting(peewee.OperationalError):
            places.execute_sql("select * from nowhere")

        def elsewhere() -> None:
            with world.expecting(MaxConnectionsExceeded):
                places.connect()

        _in_thread(elsewhere)
        places.close()
    places.close_all()


# --- what starts something ------------------------------------------------------------------------------------------


@_program("sqlite3")
def threads(world: World) -> None:
    import sqlite3

    def work() -> None:
        connection = sqlite3.connect(":memory:")
        world.say(connection.execute("select 7").fetchone())
        connection.close()

    for _ in range(2):
        _in_thread(work)
    with world.expecting(RuntimeError):
        threading.current_thread().start()


@_program("concurrent.futures.thread", "sqlite3")
def executors(world: World) -> None:
    import sqlite3

    def work(number: int) -> int:
        connection = sqlite3.connect(":memory:")
        try:
            if number < 0:
                raise ValueError(number)
            return int(connection.execute("select ?", (number,)).fetchone()[0])
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(work, number) for number in range(4)]
        world.say([future.result(PATIENCE_S) for future in futures])
        with world.expecting(ValueError):
            executor.submit(work, -1).result(PATIENCE_S)
        world.say(list(executor.map(work, range(3), timeout=PATIENCE_S)))
    with world.expecting(RuntimeError):
        executor.submit(work, 1)


@_program("asyncio", "concurrent.futures.thread", "sqlite3")
def tasks(world: World) -> None:
    import sqlite3

    async def work(number: int) -> int:
        connection = sqlite3.connect(":memory:")
        try:
            await asyncio.sleep(0)
            if number < 0:
                raise ValueError(number)
            return number
        finally:
            connection.close()

    async def main() -> None:
        world.say(await asyncio.gather(*(work(number) for number in range(3)), return_exceptions=True))
        with world.expecting(ValueError):
            await asyncio.create_task(work(-1))
        loop = asyncio.get_running_loop()
        world.say(await asyncio.wait_for(loop.run_in_executor(None, sum, (1, 2)), PATIENCE_S))
        world.say(await asyncio.wait_for(asyncio.to_thread(sum, (1, 2)), PATIENCE_S))
        if sys.version_info >= (3, 12):
            loop.set_task_factory(asyncio.eager_task_factory)
            world.say(await asyncio.create_task(work(5)))
        loop.set_task_factory(lambda own, coro, **rest: asyncio.Task(coro, loop=own, **rest))
        world.say(await asyncio.create_task(work(6)))

    _run(main)


@_program("anyio._backends._asyncio", "sqlite3")
def anyio(world: World) -> None:
    import sqlite3

    import anyio

    def work(number: int) -> int:
        with sqlite3.connect(":memory:") as connection:
            found = int(connection.execute("select ?", (number,)).fetchone()[0])
        connection.close()
        return found // (number - 3)

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            world.say(await anyio.to_thread.run_sync(work, 8))
            with world.expecting(ZeroDivisionError):
                await anyio.to_thread.run_sync(work, 3)

    anyio.run(main)


@_program("asgiref.sync", "asgiref.current_thread_executor", "sqlite3")
def asgiref(world: World) -> None:
    import sqlite3

    from asgiref.sync import async_to_sync, sync_to_async

    def work(number: int) -> int:
        connection = sqlite3.connect(":memory:")
        connection.close()
        return 8 // number

    async def main() -> None:
        world.say(await asyncio.wait_for(sync_to_async(work)(2), PATIENCE_S))
        with world.expecting(ZeroDivisionError):
            await asyncio.wait_for(sync_to_async(work)(0), PATIENCE_S)

    async_to_sync(main)()


@_program("multiprocessing.context", "sqlite3")
def processes(world: World) -> None:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs,))
    child.start()
    world.say(ours.recv() if ours.poll(PATIENCE_S) else "nothing came")
    child.join(PATIENCE_S)
    world.say(child.exitcode)


def _child(pipe: Any) -> None:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    pipe.send(connection.execute("select 7").fetchone())
    connection.close()


def _run(main: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(main(), 6 * PATIENCE_S))


def _in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if thread.is_alive():
        raise TimeoutError("a thread has not ended")
