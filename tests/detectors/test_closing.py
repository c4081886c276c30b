"""Advice in the words of the library and the framework at hand, as real programs get it: one for each kind of server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.drivers.libraries import Pyodbc
from tests.needs import lacking, needed
from tests.programs import Programs
from tests.worlds import World, thread
from whoholds.analysis.blame import never_blame
from whoholds.detectors._closing import WAYS, WHEN, how_to_close
from whoholds.ledger.origin import from_lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import MySQLArguments

pytestmark = pytest.mark.once

# Each function opens twice on one line and keeps both. Its name, up to two underscores, is the row of `WAYS` or of
# `WHEN` that must be told of it, with an underscore for each blank or dot.
SQLITE = """
import asyncio, sqlite3, threading
from concurrent.futures import ThreadPoolExecutor
import dbutils.persistent_db, dbutils.pooled_db, django.conf, peewee, playhouse.pool, sqlalchemy, sqlalchemy.orm
import whoholds.scopes.units as units
kept, lock = [], threading.Lock()

def sqlite3__():
    kept.append(sqlite3.connect("a.db"))

def with__():
    connection = sqlite3.connect("a.db")
    with connection:
        connection.execute("SELECT 1")
    kept.append(connection)

def helper__():
    return sqlite3.connect("a.db")

def with_around_a_helper():
    with helper__() as connection:
        kept.append(connection)

def with_of_a_lock():
    with lock: kept.append(sqlite3.connect("a.db"))

def with_on_one_line():
    with sqlite3.connect("a.db") as connection: kept.append(connection)

def close__():
    connection = sqlite3.connect("a.db")
    kept.append(connection)
    if len(kept) > 1000:
        connection.close()

async def aiosqlite__():
    import aiosqlite
    kept.append(await aiosqlite.connect("b.db"))

def peewee_pool():
    database = playhouse.pool.PooledSqliteDatabase("g.db")
    database.connect()
    kept.append(database)

def peewee__():
    database = peewee.SqliteDatabase("c.db")
    database.connect()
    kept.append(database)

def dbutils__():
    kept.append(pool.connection())

def dbutils_persistent__():
    kept.append(dbutils.persistent_db.PersistentDB(sqlite3, database="d.db").connection())

def sqlalchemy__():
    kept.append(engine.connect())

def sqlalchemy_scoped_session__():
    Session = sqlalchemy.orm.scoped_session(sqlalchemy.orm.sessionmaker(engine))
    Session.execute(sqlalchemy.text("SELECT 1"))
    kept.append(Session)

def sqlalchemy_session__():
    session = sqlalchemy.orm.Session(engine)
    session.execute(sqlalchemy.text("SELECT 1"))
    kept.append(session)

def django__():
    from django.db import connections
    connection = connections.create_connection("default")
    connection.ensure_connection()
    kept.append(connection)

def thread__():
    kept.append(sqlite3.connect("a.db", check_same_thread=False))

def job__():
    kept.append(sqlite3.connect("a.db", check_same_thread=False))

async def task__():
    kept.append(sqlite3.connect("a.db", check_same_thread=False))

def request__():
    kept.append(sqlite3.connect("a.db"))

def queued__():
    kept.append(sqlite3.connect("a.db"))

def command__():
    kept.append(sqlite3.connect("a.db"))

pool = dbutils.pooled_db.PooledDB(sqlite3, database="d.db")
engine = sqlalchemy.create_engine("sqlite:///e.db", poolclass=sqlalchemy.QueuePool)
django.conf.settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "f.db"}})

async def sqlite3__in_an_executor(worker):
    kept.append(await asyncio.get_running_loop().run_in_executor(worker, sqlite3.connect, "a.db"))

async def tasks():
    worker = ThreadPoolExecutor(1)
    for _ in range(2):
        await aiosqlite__()
        await sqlite3__in_an_executor(worker)
    await asyncio.gather(task__(), task__())

def thread_of(job):
    thread = threading.Thread(target=job)
    thread.start()
    thread.join()

def scope_of(job, kind):
    unit = units.begin("cars", kind)
    job(), job()
    units.end(unit)

for _ in range(2):
    with_of_a_lock(), with_on_one_line()
    sqlite3__(), with__(), with_around_a_helper(), close__(), peewee__(), peewee_pool(), dbutils__(), sqlalchemy__()
    sqlalchemy_session__(), sqlalchemy_scoped_session__(), dbutils_persistent__(), django__(), thread_of(thread__)
with ThreadPoolExecutor(1) as executor:
    list(executor.map(lambda _: job__(), range(2)))
scope_of(request__, "request"), scope_of(queued__, "task"), scope_of(command__, "command")
asyncio.run(tasks())
"""
GEVENT = """
import gevent.monkey; gevent.monkey.patch_all()
import gevent, sqlite3
kept = []

def greenlet__():
    kept.append(sqlite3.connect("a.db", check_same_thread=False))

gevent.joinall([gevent.spawn(greenlet__) for _ in range(2)])
"""
POSTGRES = """
import asyncio
from urllib.parse import urlsplit
import aiopg, asyncpg, pg8000.dbapi, psycopg, psycopg2.pool, psycopg_pool, sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
DSN = os.environ["DSN"]
PLACE = urlsplit(DSN)
kept = []

def pg8000__():
    kept.append(pg8000.dbapi.connect(PLACE.username, PLACE.hostname, PLACE.path[1:], PLACE.port))

def psycopg2__():
    kept.append(psycopg2.connect(DSN))

def psycopg2_pool__(pool):
    kept.append(pool.getconn())

def psycopg__():
    kept.append(psycopg.connect(DSN))

def psycopg_pool__(pool):
    kept.append(pool.getconn())

async def psycopg_async__():
    kept.append(await psycopg.AsyncConnection.connect(DSN))

async def psycopg_pool_async__(pool):
    kept.append(await pool.getconn())

async def sync_pool_in_a_task(pool):
    kept.append(pool.getconn())

async def asyncpg__():
    kept.append(await asyncpg.connect(DSN))

async def asyncpg_pool__(pool):
    kept.append(await pool.acquire())

async def aiopg__():
    kept.append(await aiopg.connect(DSN))

async def aiopg_pool__(pool):
    kept.append(await pool.acquire())

async def sqlalchemy_async__(engine):
    connection = engine.connect()
    await connection.start()
    kept.append(connection)

async def sqlalchemy_async_session__(engine):
    session = AsyncSession(engine)
    await session.execute(sqlalchemy.text("SELECT 1"))
    kept.append(session)

first = psycopg2.pool.ThreadedConnectionPool(1, 4, DSN)
second = psycopg_pool.ConnectionPool(DSN, min_size=1, max_size=4, open=True)
for _ in range(2):
    psycopg2__(), psycopg2_pool__(first), psycopg__(), psycopg_pool__(second), pg8000__()

async def main():
    third = psycopg_pool.AsyncConnectionPool(DSN, min_size=1, max_size=4, open=False)
    await third.open()
    fourth = await asyncpg.create_pool(DSN, min_size=1, max_size=4)
    fifth = await aiopg.create_pool(DSN, minsize=1, maxsize=4)
    engine = create_async_engine(DSN.replace("postgresql:", "postgresql+asyncpg:"))
    for _ in range(2):
        await psycopg_async__()
        await psycopg_pool_async__(third)
        await sync_pool_in_a_task(second)
        await asyncpg__()
        await asyncpg_pool__(fourth)
        await aiopg__()
        await aiopg_pool__(fifth)
        await sqlalchemy_async__(engine)
        await sqlalchemy_async_session__(engine)
    end()

asyncio.run(main())
"""
MARIADB = """
import aiomysql, asyncio, asyncmy, pymysql
import mysql.connector.pooling
ADDRESS = eval(os.environ["ADDRESS"])
kept = []

def pymysql__():
    kept.append(pymysql.connect(**ADDRESS))

def mysql_connector__():
    kept.append(mysql.connector.connect(**ADDRESS))

def mysql_connector_pooling__(pool):
    kept.append(pool.get_connection())

async def aiomysql__():
    kept.append(await aiomysql.connect(**NAMED))

async def asyncmy__():
    kept.append(await asyncmy.connect(**ADDRESS))

async def awaited_pool__(pool):
    kept.append(await pool.acquire())

NAMED = {**ADDRESS, "db": ADDRESS["database"]}
del NAMED["database"]
pool = mysql.connector.pooling.MySQLConnectionPool(pool_size=2, pool_name="few", **ADDRESS)
for _ in range(2):
    pymysql__(), mysql_connector__(), mysql_connector_pooling__(pool)

async def main():
    pool = await aiomysql.create_pool(minsize=1, maxsize=4, **NAMED)
    for _ in range(2):
        await aiomysql__()
        await asyncmy__()
        await awaited_pool__(pool)
    end()

asyncio.run(main())
"""
ODBC = """
import aioodbc, asyncio, pyodbc
ADDRESS = "DRIVER=SQLite3;Database=a.db"
kept = []

def pyodbc__():
    kept.append(pyodbc.connect(ADDRESS))

async def aioodbc__():
    kept.append(await aioodbc.connect(dsn=ADDRESS))

async def main():
    await aioodbc__()
    await aioodbc__()
    end()

pyodbc__(), pyodbc__()
asyncio.run(main())
"""
COMPILED = """
import mariadb, MySQLdb
ADDRESS = eval(os.environ["ADDRESS"])
kept = []

def MySQLdb__():
    kept.append(MySQLdb.connect(**ADDRESS))

def mariadb__():
    kept.append(mariadb.connect(**ADDRESS))

MySQLdb__(), MySQLdb__(), mariadb__(), mariadb__()
"""
WITHOUT_A_ROW = """
import duckdb
kept = []

def None__():
    kept.append(duckdb.connect("a.duckdb"))

None__(), None__()
"""
END = """
import os, sys, time
def end():
    import whoholds
    time.sleep(0.3)  # the end of a request or job is judged at the next tick
    whoholds.stop()
    sys.stdout.flush()
    os._exit(0)
"""
IN_SQLITE = {"sqlite3", "aiosqlite", "peewee", "dbutils", "sqlalchemy", "sqlalchemy session", "django"}
IN_SQLITE |= {"dbutils persistent", "sqlalchemy scoped session"}
IN_POSTGRES = {
    row for row in WAYS if row and row.startswith(("psycopg", "asyncpg", "aiopg", "pg8000", "sqlalchemy async"))
}
IN_MARIADB = {"pymysql", "mysql.connector", "aiomysql", "asyncmy", "awaited pool", "mysql.connector.pooling"}
IN_ODBC = {"pyodbc", "aioodbc"}
IN_COMPILED = {"MySQLdb", "mariadb"}


def advice(folder: Path, source: str, **environ: object) -> dict[str, str]:
    """Run the program and give what is advised for each function that opens."""
    ran = Programs(folder).run(
        f"{END}{source}\nend()\n", within=90, WHOHOLDS_EVERY=0.1, WHOHOLDS_TOO_MANY=1000, **environ
    )
    assert ran.code == 0, ran.err
    records = ran.of("finding", "left-open")
    return {record["opened"]["function"]: " ".join(record["why"]) for record in records}


def told(folder: Path, source: str, rows: set[str | None], **environ: object) -> dict[str, str]:
    """Give the advice of each function, once that of each function named after one of `rows` is seen to be its row's."""
    got = advice(folder, source, **environ)
    named = {str(row).replace(" ", "_").replace(".", "_"): row for row in rows}
    seen = {row for function, row in named.items() if f"{function}__" in got}
    wrong = [function for function, row in named.items() if row in seen and WAYS[row].code not in got[f"{function}__"]]
    assert not wrong, got
    assert seen == rows, got
    return got


def test_sqlite_programs_and_every_kind_of_owner(tmp_path: Path) -> None:
    """Each library's own words, each owner's own end, and the two mistakes with their lines."""
    got = told(tmp_path, SQLITE, IN_SQLITE)
    lines = f"{END}{SQLITE}".splitlines()
    within = next(number for number, line in enumerate(lines, 1) if line.strip() == "with connection:")
    around = next(number for number, line in enumerate(lines, 1) if "with helper__()" in line)
    close = next(number for number, line in enumerate(lines, 1) if line.strip() == "connection.close()")
    ends = "ends the transaction and does not close the connection."
    assert f"`with connection:` at app.py:{within} {ends}" in got["with__"]
    assert got["peewee_pool"].startswith("Give each connection back")
    assert WAYS["peewee"].code in got["peewee_pool"]
    assert f"`with connection:` at app.py:{around} {ends}" in got["helper__"]
    assert ends not in got["with_of_a_lock"]
    if sys.version_info >= (3, 11):  # before it, the columns of calls are not known
        assert ends in got["with_on_one_line"]
    assert f"The close at app.py:{close} has not run" in got["close__"]
    assert "has not run" not in got["sqlite3__"]
    for world, when in WHEN.items():
        if world not in ("", "test", "greenlet", "process"):
            assert when in got[f"{world}__"], world
    assert WHEN[""] in got["sqlite3__"]


WORKERS = """
import multiprocessing, sqlite3
from concurrent.futures import ProcessPoolExecutor
kept = []

def open_two():
    for _ in range(2):
        kept.append(sqlite3.connect("a.db"))

def submitted__(_): open_two()
def mapped__(_): open_two()
def initializer__(): open_two()
def process__(): open_two()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        executor.submit(submitted__, 1).result()
    with ProcessPoolExecutor(1, context, initializer__) as executor:
        executor.submit(int).result()
    pool = context.Pool(1)
    pool.map(mapped__, [1])
    pool.close(), pool.join()
    process = context.Process(target=process__)
    process.start(), process.join()
"""


@pytest.mark.once
def test_a_worker_process_goes_from_job_to_job(tmp_path: Path) -> None:
    """A job closes what it opened, though its owner is a main thread; what starts a worker, and a process, at their end."""
    ran = Programs(tmp_path).run(WORKERS)
    found = ran.of("finding", "left-open")
    got = {record["stack"][1]["function"]: " ".join(record["why"]) for record in found}
    whens = {"submitted__": "job", "mapped__": "job", "initializer__": "process", "process__": "process"}
    assert got.keys() == whens.keys()
    for function, when in whens.items():
        assert WHEN[when] in got[function]
    assert not any(frame["file"] == "<string>" for record in found for frame in record["stack"])


def test_a_program_of_greenlets(tmp_path: Path) -> None:
    """What a greenlet opened, the greenlet closes."""
    needed("gevent")
    assert WHEN["greenlet"] in advice(tmp_path, GEVENT)["greenlet__"]


def test_postgresql_programs(tmp_path: Path, postgres: str) -> None:
    """Drivers and their pools, synchronous and not; SQLAlchemy with asyncio."""
    got = told(tmp_path, POSTGRES, IN_POSTGRES, DSN=postgres)
    assert WAYS["psycopg_pool"].code in got["sync_pool_in_a_task"]
    assert "async with" not in got["sync_pool_in_a_task"]


def test_mariadb_programs(tmp_path: Path, mariadb: MySQLArguments) -> None:
    """PyMySQL, its asynchronous kin and their pool, and MySQL's own connector."""
    told(tmp_path, MARIADB, IN_MARIADB, ADDRESS=dict(mariadb))


def test_odbc_programs(tmp_path: Path) -> None:
    """Over SQLite's ODBC driver."""
    if not Pyodbc.there():
        lacking("SQLite's ODBC driver is not installed: run .ci/install-servers as root")
    told(tmp_path, ODBC, IN_ODBC)


def test_programs_of_libraries_that_are_compiled(tmp_path: Path, mariadb: MySQLArguments) -> None:
    """mysqlclient and mariadb may be missing."""
    needed("MySQLdb")
    needed("mariadb")
    told(tmp_path, COMPILED, IN_COMPILED, ADDRESS=dict(mariadb))


def test_a_program_of_a_library_without_a_row(tmp_path: Path) -> None:
    """One that `WHOHOLDS_WATCH` names."""
    told(tmp_path, WITHOUT_A_ROW, {None}, WHOHOLDS_WATCH="duckdb")


def test_a_loan_of_a_pool_without_a_row() -> None:
    """One that somebody else's driver watches."""
    world = World()
    loan = world.opens(kind="checkout", pool=world.pool(), driver="cars_pool")
    assert how_to_close([loan]) == (
        f"Give the connection back {WHEN['']}: borrow in a `with` block, or give back in a finally.",
    )


def test_djangos_connection_of_a_request_that_has_a_thread_of_its_own() -> None:
    """Django leaves it open if CONN_MAX_AGE says so; in a thread that the program started, nobody closes it."""
    world = World()
    packages = "/srv/venv/lib/python3.11/site-packages"
    never_blame("django", ("django/db/", "django/utils/"))
    ours, django = ("/srv/shop/views.py", 4, "cars"), (f"{packages}/django/db/backends/base/base.py", 279, "connect")
    server, started = (f"{packages}/uvicorn/server.py", 9, "serve"), ("/srv/shop/views.py", 2, "start")
    for spawned, words in ((server, "set CONN_MAX_AGE to 0"), (started, "close_all()")):
        handle = world.opens(by=thread("Thread-1", f"{spawned[0]}:{spawned[1]} {spawned[2]}"))
        handle.origin = from_lines([django, ours])
        world.look()
        assert words in how_to_close([handle])[-1]


def test_every_row_is_tried() -> None:
    """Each is tried by a real program."""
    assert set(WAYS) == {None} | IN_SQLITE | IN_POSTGRES | IN_MARIADB | IN_ODBC | IN_COMPILED


POOL = """
import asyncio, asyncpg, os
async def export(pool):
    connection = await pool.acquire()
    try:
        await connection.execute("SELECT pg_sleep(0.6)")
    finally:
        await pool.release(connection)

async def leak(pool):
    connection = await pool.acquire()
    await connection.execute("SELECT 1/0")
    await pool.release(connection)

async def main():
    for holds in (export, leak):
        pool = await asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=2)
        holders = [asyncio.create_task(holds(pool)) for _ in range(2)]
        await asyncio.sleep(0.3)
        try:
            await pool.acquire(timeout=0.1)
        except asyncio.TimeoutError:
            pass
        await asyncio.gather(*holders, return_exceptions=True)
        pool.terminate()

asyncio.run(main())
"""


def test_a_close_that_is_still_to_come_is_no_mistake(tmp_path: Path, postgres: str) -> None:
    """Where a pool is only too small, nobody is told of a mistake; where the task has ended, its close is named."""
    needed("asyncpg")
    ran = Programs(tmp_path).run(POOL, DSN=postgres, WHOHOLDS_EVERY=0.1)
    advised = {record["opened"]["function"]: " ".join(record["why"]) for record in ran.of("finding", "refused")}
    assert "has not run" not in advised["export"]
    assert "The close at app.py:13 has not run" in advised["leak"]
