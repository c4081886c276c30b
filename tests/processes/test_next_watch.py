"""One watch after another in a process, as a test suite has them: what an earlier one left tells the one that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.needs import needed

if TYPE_CHECKING:
    from tests.programs import Programs

HEAD = """
import sys, threading, time, warnings, whoholds
warnings.simplefilter("ignore")
DSN = sys.argv[1]
kept = []
def said(watch):
    print(*(finding.rule for finding in watch.findings))
"""


def ran(program: Programs, source: str, postgres: str) -> str:
    """Run the program, which must end well, and give what it printed."""
    done = program.run(HEAD + source, postgres, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    assert done.code == 0, done.err
    assert "whoholds: fault" not in done.err
    assert "a fault of whoholds" not in done.err
    return done.out


def test_objects_of_an_earlier_watch_are_still_of_the_classes_with_these_names(
    program: Programs, postgres: str
) -> None:
    """`isinstance` answers as it would without a watch; psycopg2's classes likewise."""
    source = """
import sqlite3, psycopg2.extensions
with whoholds.watch():
    first = sqlite3.connect(":memory:"), psycopg2.connect(DSN)
with whoholds.watch():
    second = sqlite3.connect(":memory:"), psycopg2.connect(DSN)
    for lite, pg in (first, second):
        print(isinstance(lite, sqlite3.Connection), isinstance(lite.cursor(), sqlite3.Cursor))
        print(isinstance(pg, psycopg2.extensions.connection), isinstance(pg.cursor(), psycopg2.extensions.cursor))
        lite.close(), pg.close()
"""
    assert ran(program, source, postgres) == 4 * "True True\n"


def test_a_name_imported_in_an_earlier_watch_is_seen(program: Programs, postgres: str) -> None:
    """A leak through `from sqlite3 import connect` of the first watch is one of the second, with its line."""
    source = """
with whoholds.watch():
    from sqlite3 import connect
def leak():
    kept.append(connect("shop.db"))
with whoholds.watch() as watch:
    leak()
(finding,) = watch.findings
print(finding.rule, finding.count, str(finding).split("app.py:")[1].split()[0])
with whoholds.watch() as watch:
    connect("shop.db").close()
said(watch)
"""
    assert ran(program, source, postgres) == "left-open 1 12\n\n"


def test_a_hook_that_others_have_wrapped_tells_no_opening_twice(program: Programs, postgres: str) -> None:
    """In the second watch ours stands around theirs, and theirs around ours of the first, which cannot be taken out."""
    source = """
import psycopg2
with whoholds.watch():
    theirs = psycopg2._connect
    psycopg2._connect = lambda *args, **kwargs: theirs(*args, **kwargs)
with whoholds.watch() as watch:
    connection = psycopg2.connect(DSN)
    print(len(watch.handles))
    connection.close()
    print(len(watch.handles))
said(watch)
"""
    assert ran(program, source, postgres) == "1\n0\n\n"


def test_a_class_derived_in_an_earlier_watch_tells_of_locks_and_sharing(program: Programs, postgres: str) -> None:
    """psycopg2.extras derives its cursors from ours if it is imported while a watch runs."""
    source = """
import psycopg2
with whoholds.watch():
    from psycopg2.extras import DictCursor
with whoholds.watch() as watch:
    one, other = psycopg2.connect(DSN), psycopg2.connect(DSN)
    cursor = one.cursor(cursor_factory=DictCursor)
    cursor.execute("drop table if exists next_watch"); cursor.execute("create table next_watch (a int)")
    one.commit()
    cursor.execute("lock table next_watch")
    waiting = other.cursor(cursor_factory=DictCursor)
    waiting.execute("set lock_timeout = '100ms'")
    try:
        waiting.execute("select * from next_watch")
    except psycopg2.Error:
        pass
    one.rollback(), other.rollback()
    def use():
        one.cursor(cursor_factory=DictCursor).execute("select pg_sleep(0.3)")
    threads = [threading.Thread(target=use) for _ in range(2)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    one.close(), other.close()
print(*sorted(finding.rule for finding in watch.findings))
"""
    assert ran(program, source, postgres) == "locked shared-at-once\n"


@pytest.mark.parametrize("start", ["watch", "start"])
def test_psycopg2_lends_again_what_an_earlier_watch_saw_lent(program: Programs, postgres: str, start: str) -> None:
    """It came back while nobody watched; the next loan of the same connection leaks, and is seen."""
    source = f"""
from contextlib import contextmanager
from psycopg2.pool import ThreadedConnectionPool
@contextmanager
def block():
    if {start!r} == "watch":
        with whoholds.watch() as watch:
            yield watch
    else:
        yield whoholds.start(outputs=())
        whoholds.stop()
with block():
    pool = ThreadedConnectionPool(1, 3, DSN)
    connection = pool.getconn()
pool.putconn(connection)
with block() as watch:
    kept.append(pool.getconn())
said(watch)
"""
    assert ran(program, source, postgres) == "left-open\n"


POOLS = {
    "psycopg_pool": """
from psycopg_pool import ConnectionPool
def made():
    pool = ConnectionPool(DSN, min_size=1, max_size=1, open=True)
    pool.wait()
    return pool, pool.getconn, pool.putconn
""",
    "dbutils": """
import psycopg2
from dbutils.pooled_db import PooledDB
def made():
    pool = PooledDB(psycopg2, maxconnections=1, blocking=True, dsn=DSN)
    return pool, pool.connection, lambda connection: connection.close()
""",
    "sqlalchemy": """
from sqlalchemy import create_engine
def made():
    engine = create_engine(DSN.replace("postgresql:", "postgresql+psycopg2:"), pool_size=1, max_overflow=0)
    return engine, engine.connect, lambda connection: connection.close()
""",
}


@pytest.mark.parametrize("library", POOLS)
def test_who_waits_for_a_pool_of_an_earlier_watch_is_seen(program: Programs, postgres: str, library: str) -> None:
    """The second watch knows the pool."""
    source = """
with whoholds.watch():
    pool, take, give = made()
    give(take())
with whoholds.watch(waiting=0.3, every=0.1) as watch:
    held = take()
    thread = threading.Thread(target=lambda: give(take()))
    thread.start()
    time.sleep(1)
    print(*{finding.rule for finding in watch.findings})
    give(held)
    thread.join()
"""
    needed(library)
    assert ran(program, POOLS[library] + source, postgres) == "waiting-too-long\n"


@pytest.mark.parametrize("library", POOLS)
def test_who_waits_from_one_watch_to_the_next_gets_a_loan_of_the_next(
    program: Programs, postgres: str, library: str
) -> None:
    """It waits in a call of the first watch's hook; its loan leaks in the second, and is seen there."""
    source = """
def waiter():
    kept.append(take())
first = whoholds.start(outputs=())
pool, take, give = made()
held = take()
thread = threading.Thread(target=waiter, daemon=True)
thread.start()
while not any(pool.pending for pool in first.ledger.take().pools):
    time.sleep(0.01)
whoholds.stop()
watch = whoholds.start(outputs=())
give(held)
thread.join()
print(sum(handle.kind == "checkout" for handle in watch.handles))
whoholds.stop()
print("left-open" in {finding.rule for finding in watch.findings})
"""
    needed(library)
    assert ran(program, POOLS[library] + source, postgres) == "1\nTrue\n"


def test_the_uses_of_an_asyncpg_connection_of_an_earlier_watch_are_seen(program: Programs, postgres: str) -> None:
    """SQLAlchemy lends it in the second watch; it is used all the time, and nobody is accused."""
    source = """
import asyncio
from sqlalchemy.ext.asyncio import create_async_engine
async def work(engine, seconds):
    async with engine.connect() as connection:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await connection.exec_driver_sql("select 1")
            await asyncio.sleep(0.02)
async def main():
    engine = create_async_engine(DSN.replace("postgresql:", "postgresql+asyncpg:"))
    with whoholds.watch():
        await work(engine, 0.1)
    with whoholds.watch(held_too_long=1, every=0.2) as watch:
        await work(engine, 2.5)
    said(watch)
    with whoholds.watch() as watch:
        async with engine.connect() as connection:
            for _ in range(3):
                await connection.exec_driver_sql("select 1")
            print([handle.uses > 2 for handle in watch.handles if handle.kind == "checkout"])
    await engine.dispose()
asyncio.run(main())
"""
    needed("asyncpg")
    assert ran(program, source, postgres) == "\n[True]\n"
