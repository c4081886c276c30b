"""DBUtils' and peewee's pools, watched: what is lent is judged, what is at home is not."""

from __future__ import annotations

import gc
import inspect
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.needs import needed
from whoholds.analysis.snapshot import Ending
from whoholds.drivers import dbutils as dbutils_driver
from whoholds.drivers import peewee as peewee_driver
from whoholds.drivers import psycopg2 as psycopg2_driver
from whoholds.drivers import sqlite as sqlite_driver
from whoholds.ledger.handle import CHECKOUT, COLLECTED, CONNECTION, FREED
from whoholds.settings.limits import Limits
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Finding

    Pool = Callable[..., Any]


@pytest.fixture
def watch() -> Iterator[Watch]:
    drivers: list[Any] = [sqlite_driver.watch]
    for name, more in (
        ("psycopg2", [psycopg2_driver.watch]),
        ("dbutils", [dbutils_driver.watch, dbutils_driver.watch_persistent]),
        ("playhouse", [peewee_driver.watch]),
    ):
        needed(name)
        drivers += more
    with Watch(Limits(outputs=()), drivers=drivers) as watching:
        yield watching


@pytest.fixture(params=["sqlite3", "psycopg2"])
def pooled(request: pytest.FixtureRequest, tmp_path: Path) -> Pool:
    """Give a function that makes a PooledDB: to a file and to a real server."""
    from dbutils.pooled_db import PooledDB

    if request.param == "sqlite3":
        file = tmp_path / "shop.db"
        return lambda **options: PooledDB(sqlite3, database=file, check_same_thread=False, **options)
    import psycopg2

    dsn = request.getfixturevalue("postgres")
    return lambda **options: PooledDB(psycopg2, dsn=dsn, **options)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Give peewee's pooled database with room for two."""
    from playhouse import pool

    if request.param == "sqlite":
        made = pool.PooledSqliteDatabase(tmp_path / "shop.db", max_connections=2, check_same_thread=False)
    else:
        at = urlsplit(request.getfixturevalue("postgres"))
        made = pool.PooledPostgresqlDatabase(
            at.path[1:], user=at.username, host=at.hostname, port=at.port, max_connections=2
        )
    yield made
    made.close_all()


def line() -> int:
    """Give the caller's line."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def opened_at(finding: Finding) -> int:
    assert finding.opened is not None
    assert finding.opened.file == __file__
    return finding.opened.line


def kinds(watch: Watch) -> list[tuple[str, bool]]:
    return sorted((handle.kind, handle.at_home) for handle in watch.handles)


def said(watch: Watch, rule: str, ending: Ending | None = None) -> list[Finding]:
    return [one for one in (watch.end(ending) if ending else watch.tick()) if one.rule == rule]


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


# --- DBUtils ------------------------------------------------------------------------------------------------


def test_a_pooled_db_lends(watch: Watch, pooled: Pool) -> None:
    """Out it is a loan, back it is the pool's; its own filling is neither."""
    pool = pooled(mincached=2, maxconnections=3)
    assert kinds(watch) == [(CONNECTION, True)] * 2
    connection = pool.connection()
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    (loan,) = [handle for handle in watch.handles if handle.kind == CHECKOUT]
    assert loan.parent is not None
    assert loan.parent.uses
    connection.close()
    assert kinds(watch) == [(CONNECTION, True)] * 2
    assert not watch.end(Ending("watch"))
    pool.close()
    assert not watch.handles


def test_a_pooled_db_s_loan_whose_close_is_interrupted(watch: Watch, pooled: Pool) -> None:
    """It is lent as before, and what is called on it counts; the next close gives it back."""

    class Interrupted:
        def acquire(self) -> None:
            raise KeyboardInterrupt

        __enter__ = acquire  # DBUtils 3; DBUtils 2 calls `acquire`

        def __exit__(self, *_: object) -> None:
            """Never reached."""

    pool = pooled(maxconnections=1)
    connection = pool.connection()
    (loan,) = [handle for handle in watch.handles if handle.kind == CHECKOUT]
    lock, pool._lock = pool._lock, Interrupted()
    with pytest.raises(KeyboardInterrupt):
        connection.close()
    pool._lock = lock
    assert loan.open
    before = loan.uses
    connection.cursor().execute("SELECT 1")
    assert loan.uses > before
    connection.close()
    assert kinds(watch) == [(CONNECTION, True)]


def test_a_pooled_db_s_loan_that_is_kept(watch: Watch, pooled: Pool) -> None:
    """Left open, at the line that asked."""
    pool = pooled(maxconnections=3)
    kept = [pool.connection() for _ in range(2)]; at = line()  # noqa: E702
    (finding,) = said(watch, "left-open", Ending("watch"))
    assert (finding.count, finding.severity, finding.kind, opened_at(finding)) == (2, "error", CHECKOUT, at)
    for connection in kept:
        connection.close()
    pool.close()


def test_a_pooled_db_s_loan_that_is_dropped(watch: Watch, pooled: Pool) -> None:
    """Its own finalizer takes it back: an info where the last reference went, a warning else."""
    pool = pooled(maxconnections=3)
    connection = pool.connection()
    (loan,) = [handle for handle in watch.handles if handle.kind == CHECKOUT]
    del connection
    assert loan.how == FREED
    gc.disable()
    try:
        connection = pool.connection(); at = line()  # noqa: E702
        (loan,) = [handle for handle in watch.handles if handle.kind == CHECKOUT]
        connection.itself = connection
        del connection
        gc.collect()
    finally:
        gc.enable()
    assert loan.how == COLLECTED
    warned = [one for one in said(watch, "collected-open") if one.severity == "warning"]
    assert [opened_at(one) for one in warned] == [at]
    pool.close()


def test_a_pooled_db_that_gives_no_more(watch: Watch, pooled: Pool) -> None:
    """Its exception is its own, and every holder is named."""
    from dbutils import pooled_db

    too_many = getattr(pooled_db, "TooManyConnectionsError", None) or pooled_db.TooManyConnections
    pool = pooled(maxconnections=2)
    kept = [pool.connection() for _ in range(2)]; at = line()  # noqa: E702
    with pytest.raises(too_many):
        pool.connection()
    (finding,) = said(watch, "refused")
    assert (finding.count, opened_at(finding)) == (2, at)
    for connection in kept:
        connection.close()
    pool.close()


def test_a_shared_connection_is_lent_twice(watch: Watch, request: pytest.FixtureRequest) -> None:
    """Each who shares it has a loan of its own."""
    import psycopg2
    from dbutils.pooled_db import PooledDB

    with closing(PooledDB(psycopg2, dsn=request.getfixturevalue("postgres"), maxshared=1)) as pool:
        first, second = pool.connection(), pool.connection()
        assert kinds(watch) == [(CHECKOUT, False)] * 2 + [(CONNECTION, False)]
        first.close()
        second.close()
        assert kinds(watch) == [(CONNECTION, True)]


def test_a_persistent_connection_is_at_home_once_closed(watch: Watch, tmp_path: Path) -> None:
    """Its `close` closes nothing, on purpose: at home until it is used again or its thread ends."""
    from dbutils.persistent_db import PersistentDB

    pool = PersistentDB(sqlite3, database=tmp_path / "shop.db", check_same_thread=False)
    connection = pool.connection()
    connection.close()
    watch.tick()
    assert kinds(watch) == [(CONNECTION, True)]
    assert not watch.end(Ending("watch"))
    connection.cursor().execute("SELECT 1")
    watch.tick()
    assert kinds(watch) == [(CONNECTION, False)]
    kept = []

    def work() -> None:
        kept.append(pool.connection())
        kept[-1].close()

    connection.close()
    in_thread(work)
    watch.tick()
    assert kinds(watch) == [(CONNECTION, False), (CONNECTION, True)]


def test_pools_made_before_the_start(tmp_path: Path) -> None:
    """They are watched from then on; by which line they were made nobody knows."""
    from dbutils.pooled_db import PooledDB
    from playhouse.pool import PooledSqliteDatabase

    file = tmp_path / "shop.db"
    pool = PooledDB(sqlite3, database=file, check_same_thread=False, maxconnections=2)
    database = PooledSqliteDatabase(file, max_connections=2)
    drivers = [sqlite_driver.watch, dbutils_driver.watch, peewee_driver.watch]
    with Watch(Limits(outputs=()), drivers=drivers) as watching:
        connection = pool.connection()
        database.execute_sql("SELECT 1")
        assert [kind for kind, _ in kinds(watching)] == [CHECKOUT] * 2 + [CONNECTION] * 2
        connection.close()
        database.close()
        assert kinds(watching) == [(CONNECTION, True)] * 2
        pool.close()
        database.close_all()
    with closing(PooledDB(sqlite3, database=file)), Watch(Limits(outputs=())) as watching:
        assert not watching.handles


def test_dbutils_is_as_before(tmp_path: Path) -> None:
    """Every name is given back; what lives on goes on quietly."""
    from dbutils.pooled_db import PooledDB, PooledDedicatedDBConnection

    before = [dict(vars(one)) for one in (PooledDB, PooledDedicatedDBConnection)]
    with Watch(Limits(outputs=()), drivers=[dbutils_driver.watch]) as watching:
        pool = PooledDB(sqlite3, maxconnections=2, database=tmp_path / "shop.db")
        connection = pool.connection()
        assert len(watching.handles) == 1  # the loan: nobody watches sqlite3 here
    assert [dict(vars(one)) for one in (PooledDB, PooledDedicatedDBConnection)] == before
    connection.close()
    pool.connection().close()
    pool.close()


# --- peewee -------------------------------------------------------------------------------------------------


def test_peewee_lends_to_a_thread(watch: Watch, database: Any) -> None:
    """From its first query to its close; the opening line is the query's."""
    database.execute_sql("SELECT 1"); at = line()  # noqa: E702
    watch.tick()
    (loan,) = [handle for handle in watch.handles if handle.kind == CHECKOUT]
    assert loan.site is not None
    assert loan.site.frame.line == at
    database.close()
    assert kinds(watch) == [(CONNECTION, True)]
    with database.connection_context():
        database.execute_sql("SELECT 1")
    assert kinds(watch) == [(CONNECTION, True)]
    assert not watch.end(Ending("watch"))
    database.close_all()
    assert not watch.handles


def test_peewee_threads_that_never_close(watch: Watch, database: Any) -> None:
    """The pool keeps their loans for ever, and then gives no more: all holders are named."""
    from playhouse.pool import MaxConnectionsExceeded

    def work() -> None:
        database.execute_sql("SELECT 1")

    for _ in range(2):
        in_thread(work)
    with pytest.raises(MaxConnectionsExceeded):
        database.connect()
    (finding,) = said(watch, "refused")
    assert (finding.count, finding.kind) == (2, CHECKOUT)
    watch.limits = Limits(outputs=()).with_settings(owner_gone=0)
    (finding,) = said(watch, "owner-gone")
    assert finding.count == 2


def test_peewee_s_connections_taken_out_of_the_pool(watch: Watch, database: Any) -> None:
    """`manual_close` closes and gives nothing back; `close_stale` ends what is out."""
    database.connect()
    database.manual_close()
    assert not watch.handles
    database.connect()
    database.close_stale(age=-1)
    assert not [handle for handle in watch.handles if handle.kind == CHECKOUT]


def test_peewee_is_as_before() -> None:
    """Every name is given back."""
    from playhouse.pool import PooledDatabase

    before = dict(vars(PooledDatabase))
    with Watch(Limits(outputs=()), drivers=[peewee_driver.watch]):
        assert dict(vars(PooledDatabase)) != before
    assert dict(vars(PooledDatabase)) == before


