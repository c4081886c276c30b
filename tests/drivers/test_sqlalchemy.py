"""SQLAlchemy's engines and pools, watched: what is lent is judged, at the line that asked for it."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import threading
import warnings
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from whoholds.analysis.snapshot import Ending
from whoholds.drivers import psycopg2 as psycopg2_driver
from whoholds.drivers import sqlalchemy as sqlalchemy_driver
from whoholds.drivers import sqlite as sqlite_driver
from whoholds.drivers.versions import numbers
from whoholds.ledger.handle import CHECKOUT, CLOSED, COLLECTED, CONNECTION, FREED, OVER
from whoholds.reporting.first_line import message
from whoholds.settings.limits import Limits
from whoholds.watching.watch import Watch

sqlalchemy = needed("sqlalchemy")
needed("psycopg2")

from sqlalchemy import create_engine, event, exc, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import AssertionPool, NullPool, Pool, QueuePool, SingletonThreadPool, StaticPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Finding
    from whoholds.ledger.handle import Handle

OLD = sqlalchemy.__version__.startswith("1.")
DRIVERS = (sqlite_driver.watch, psycopg2_driver.watch, sqlalchemy_driver.watch)
THREADS = {"connect_args": {"check_same_thread": False}}


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch(Limits(outputs=()), drivers=DRIVERS) as watching:
        yield watching


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each case on a file and on a real server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    return str(request.getfixturevalue("postgres")).replace("postgresql:", "postgresql+psycopg2:")


@contextmanager
def engine_at(url: str, **options: Any) -> Iterator[Any]:
    options.setdefault("poolclass", QueuePool)
    if url.startswith("sqlite"):
        options |= THREADS
    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


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


def loans(watch: Watch) -> list[Handle]:
    return [handle for handle in watch.handles if handle.kind == CHECKOUT]


def stock(watch: Watch) -> list[Handle]:
    return [handle for handle in watch.handles if handle.kind == CONNECTION]


def said(watch: Watch, rule: str) -> list[Finding]:
    return [finding for finding in watch.tick() if finding.rule == rule]


def test_a_loan_has_the_line_that_asked(watch: Watch, url: str) -> None:
    """Core and ORM: the innermost frame of the application's own code, whatever lies between."""
    with engine_at(url) as engine:
        connection = engine.connect(); at = line()  # noqa: E702
        session = Session(engine)
        session.execute(text("SELECT 1")); also_at = line()  # noqa: E702
        watch.tick()
        assert [loan.site.frame.line for loan in loans(watch)] == [at, also_at]  # type: ignore[union-attr]
        assert not any(handle.at_home for handle in stock(watch))
        connection.close()
        session.close()
        assert not loans(watch)
        assert [handle.at_home for handle in stock(watch)] == [True, True]
    assert not watch.handles


def test_a_loan_knows_its_connection(watch: Watch, url: str) -> None:
    """Database and server process are the driver's own; its uses and transaction are the loan's."""
    with engine_at(url) as engine, engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        (loan,), (handle,) = loans(watch), stock(watch)
        assert loan.parent is handle
        assert loan.database is handle.database
        assert loan.backend_pid == handle.backend_pid
        assert handle.uses
        assert handle.in_transaction == (not url.startswith("sqlite"))


def test_what_is_not_given_back_is_left_open(watch: Watch, url: str) -> None:
    """And only that: the pool's own stock is nobody's."""
    with engine_at(url) as engine:
        kept = [engine.connect() for _ in range(3)]; at = line()  # noqa: E702
        with engine.connect():
            pass
        (finding,) = [one for one in watch.end(Ending("watch")) if one.rule == "left-open"]
        assert (finding.count, finding.severity, finding.kind) == (3, "error", CHECKOUT)
        assert opened_at(finding) == at
        assert "did not give back" in message(finding)
        for connection in kept:
            connection.close()


def test_a_request_s_session_that_is_closed_is_clean(watch: Watch, url: str) -> None:
    """A session per request, closed each time: nothing is said, whatever the number."""
    with engine_at(url) as engine:
        for number in range(20):
            with Session(engine) as session:
                session.execute(text("SELECT :number"), {"number": number})
        assert not watch.end(Ending("watch"))
        assert len(stock(watch)) == 1


def test_a_session_that_only_the_collector_finds(watch: Watch, url: str) -> None:
    """SQLAlchemy takes it back in silence; it was never given back, and that is said."""
    with engine_at(url) as engine:

        def view() -> int:
            session = Session(engine)
            session.cycle = session
            session.execute(text("SELECT 1"))
            return line() - 1

        gc.disable()
        try:
            at = view()
            watch.tick()
            (loan,) = loans(watch)
            gc.collect()
        finally:
            gc.enable()
        assert loan.how == COLLECTED
        assert [handle.at_home for handle in stock(watch)] == [True]
        (finding,) = said(watch, "collected-open")
        assert (finding.severity, opened_at(finding)) == ("warning", at)


def test_a_connection_dropped_with_its_last_reference(watch: Watch, url: str) -> None:
    """It goes home at once, as without us; an info says that nobody closed it."""
    with engine_at(url) as engine:
        raw = engine.raw_connection()
        (loan,) = loans(watch)
        del raw
        assert loan.how == FREED
        assert engine.pool.checkedout() == 0
        assert [finding.severity for finding in said(watch, "collected-open")] == ["info"]


def test_a_null_pool_s_connections_are_judged_themselves(watch: Watch, url: str) -> None:
    """It lends nothing: what it opens is the program's own, opened where the program asked."""
    with engine_at(url, poolclass=NullPool) as engine:
        with engine.connect():
            assert [(handle.kind, handle.pool) for handle in watch.handles] == [(CONNECTION, None)]
        assert not watch.handles
        kept = [engine.connect() for _ in range(2)]; at = line()  # noqa: E702
        (finding,) = [one for one in watch.end(Ending("watch")) if one.rule == "left-open"]
        assert (finding.count, finding.kind, opened_at(finding)) == (2, CONNECTION, at)
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("kind", [StaticPool, SingletonThreadPool])
def test_a_pool_with_one_for_everyone(watch: Watch, kind: type[Pool]) -> None:
    """The connection stays, at home; who has it in hand is judged, and nobody waits for anybody."""
    with engine_at("sqlite://", poolclass=kind) as engine:
        for _ in range(3):
            with engine.begin() as connection:
                connection.execute(text("SELECT 1"))
        assert [handle.at_home for handle in watch.handles] == [True]
        assert not watch.end(Ending("watch"))
        with engine.connect(), engine.connect():
            pass
        assert not said(watch, "second-while-holding")
        kept = engine.connect()
        assert [one.kind for one in watch.end(Ending("watch"))] == [CHECKOUT]
        kept.close()
    assert not watch.handles


def test_an_assertion_pool_lends_its_one(watch: Watch) -> None:
    """It is a pool like any other."""
    with engine_at("sqlite://", poolclass=AssertionPool) as engine, engine.connect():
        assert len(loans(watch)) == 1


def test_a_place_that_is_taken_while_a_connection_is_detached_is_its_takers(watch: Watch, url: str) -> None:
    """The pool gives the empty place away before it tells of the detached connection."""
    borrowed: list[Any] = []

    class Busy(QueuePool):
        """Somebody waits for its one place."""

        def _do_return_conn(self, record: Any) -> None:
            super()._do_return_conn(record)
            if not borrowed:
                borrowed.append(self.connect())

    with engine_at(url, poolclass=Busy, pool_size=1, max_overflow=0) as engine:
        connection = engine.connect()
        connection.detach()
        (loan,) = [handle for handle in watch.handles if handle.kind == CHECKOUT]
        alone, lent = sorted((one for one in watch.handles if one.kind == CONNECTION), key=lambda one: one.opened_stamp)
        assert (alone.pool, loan.parent, lent.pool) == (None, lent, loan.pool)
        connection.close()
        borrowed[0].close()
        assert [(handle, handle.at_home) for handle in watch.handles] == [(lent, True)]


def test_a_detached_connection_is_the_borrower_s(watch: Watch, url: str) -> None:
    """The loan is over, and the connection is judged where it was borrowed, not where it was opened."""
    with engine_at(url) as engine:
        with engine.connect():
            pass
        connection = engine.connect(); at = line()  # noqa: E702
        watch.tick()
        connection.detach()
        (handle,) = watch.handles
        assert (handle.kind, handle.pool, handle.at_home) == (CONNECTION, None, False)
        (finding,) = [one for one in watch.end(Ending("watch")) if one.rule == "left-open"]
        assert (finding.kind, opened_at(finding)) == (CONNECTION, at)
        connection.close()
        assert not watch.handles
        assert engine.pool.checkedout() == 0


def test_an_invalidated_connection(watch: Watch, url: str) -> None:
    """It is closed; the next to ask gets a new one."""
    with engine_at(url) as engine:
        with engine.connect() as connection:
            connection.invalidate()
            assert not watch.handles
        with engine.connect():
            assert (len(loans(watch)), len(stock(watch))) == (1, 1)
        with engine.connect() as connection:
            connection.connection.invalidate(soft=True)
        with engine.connect():
            assert (len(loans(watch)), len(stock(watch))) == (1, 1)
    assert not watch.handles


def test_a_pool_that_pings_and_recycles(watch: Watch, url: str) -> None:
    """Dead connections are replaced: the count is right, and each loan refers to the new one."""
    with engine_at(url, pool_pre_ping=True, pool_recycle=0) as engine:
        for _ in range(3):
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                (loan,), (handle,) = loans(watch), stock(watch)
                assert loan.parent is handle
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
        raw.close()
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            assert (len(loans(watch)), len(stock(watch))) == (1, 1)
    assert not watch.handles


def test_a_listener_that_refuses_a_connection(watch: Watch, url: str) -> None:
    """A checkout that begins again with another connection is one loan, of that other connection."""
    with engine_at(url) as engine:
        dead = []

        @event.listens_for(engine, "checkout")
        def refuse(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
            if not dead:
                dead.append(id(dbapi_connection))
                raise exc.DisconnectionError

        with engine.connect():
            (loan,), (handle,) = loans(watch), stock(watch)
            assert dead
            assert loan.parent is handle
        assert not loans(watch)


def test_a_checkout_that_fails(watch: Watch, url: str) -> None:
    """The application's own listener raises: nothing is lent, and nothing remains."""
    with engine_at(url) as engine:

        @event.listens_for(engine, "checkout")
        def fail(*_: Any) -> None:
            raise KeyError("no tenant")

        with pytest.raises(KeyError):
            engine.connect()
        is_kept = numbers(sqlalchemy.__version__) < (1, 4, 46)  # there the collector takes it back to the pool
        if is_kept:
            gc.collect()
        assert [handle.at_home for handle in watch.handles] == [True] * is_kept


def test_a_pool_at_its_size_is_no_crowd(watch: Watch, url: str) -> None:
    """What is bounded counts as its pool; overflow is closed as it comes back."""
    watch.limits = Limits(outputs=()).with_settings(too_many=3)
    with engine_at(url, pool_size=2, max_overflow=4) as engine:
        kept = [engine.connect() for _ in range(6)]
        assert not said(watch, "too-many-at-once")
        for connection in kept:
            connection.close()
        assert [handle.at_home for handle in stock(watch)] == [True, True]


def test_a_pool_without_a_bound_is_counted(watch: Watch, url: str) -> None:
    """`max_overflow=-1` bounds nothing: its connections are a crowd like any other."""
    watch.limits = Limits(outputs=()).with_settings(too_many=3)
    with engine_at(url, pool_size=2, max_overflow=-1) as engine:
        kept = [engine.connect() for _ in range(4)]; at = line()  # noqa: E702
        (finding,) = said(watch, "too-many-at-once")
        assert (finding.count, opened_at(finding)) == (4, at)
        for connection in kept:
            connection.close()


def test_the_only_loan_of_its_line_is_no_leak(watch: Watch, url: str) -> None:
    """Though the pool opened its connection at that line too: one for the whole process, like any other singleton."""
    with engine_at(url) as engine:
        kept = engine.connect(); at = line()  # noqa: E702
        (finding,) = [one for one in watch.end(Ending("process")) if one.rule == "left-open"]
        assert (finding.severity, finding.count, opened_at(finding)) == ("info", 1, at)
        assert loans(watch)[0].site.opened == 1  # type: ignore[union-attr]
        kept.close()


def test_a_pool_that_runs_out_names_every_holder(watch: Watch, url: str) -> None:
    """The exception is SQLAlchemy's own; the finding has all that is out, grouped by line, and who asked."""
    with engine_at(url, pool_size=2, max_overflow=1, pool_timeout=0.05) as engine:
        kept = [engine.connect() for _ in range(2)]; at = line()  # noqa: E702
        kept.append(engine.connect()); also_at = line()  # noqa: E702
        with pytest.raises(exc.TimeoutError) as caught:
            engine.connect()
        assert caught.value.code == "3o7r"
        (finding,) = said(watch, "refused")
        assert (finding.count, finding.severity, finding.kind) == (3, "error", CHECKOUT)
        places = [(part.count, part.site.frame.line) for part in finding.parts]  # type: ignore[union-attr]
        assert places == [(2, at), (1, also_at)]
        assert "The pool lends at most 3." in finding.why
        for connection in kept:
            connection.close()


def test_a_second_while_holding_names_both_lines(watch: Watch, url: str) -> None:
    """Two threads that each take a second loan: both lines, and the size from which the pool is safe."""
    with engine_at(url, pool_size=5) as engine:
        lines = set()

        def work() -> None:
            with engine.connect():
                lines.add(line() - 1)
                with engine.connect():
                    lines.add(line() - 1)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (finding,) = said(watch, "second-while-holding")
        assert opened_at(finding) == max(lines)
        assert finding.also.what
        assert finding.also.site.frame.line == min(lines)


def test_an_engine_for_each_request_grows(watch: Watch, url: str) -> None:
    """What grows is the engines: the line that makes them is named, not those that use them."""
    engines = []
    for _ in range(8):
        engines.append(create_engine(url, poolclass=QueuePool)); at = line()  # noqa: E702
        with engines[-1].connect() as connection:
            connection.execute(text("SELECT 1"))
        watch.tick()
    (finding,) = [one for one in watch.findings if one.rule == "growing"]
    assert (finding.count, opened_at(finding)) == (8, at)
    for engine in engines:
        engine.dispose()
    assert not watch.ledger.take().pools


def test_engines_that_are_disposed_of_do_not_grow(watch: Watch, url: str) -> None:
    """Nor does one that is disposed of again and again: what it goes on with holds nothing yet."""
    kept = []
    for _ in range(8):
        with engine_at(url) as engine, engine.connect():
            kept.append(engine)
        watch.tick()
    with engine_at(url) as engine:
        for _ in range(8):
            with engine.connect():
                pass
            engine.dispose()
            watch.tick()
        assert not [one for one in watch.findings if one.rule == "growing"]
        with engine.connect():
            (pool,) = watch.ledger.take().pools
            assert pool.site is None or pool.site.frame.file == __file__
    assert not watch.ledger.take().pools


def test_many_engines_made_at_once_do_not_grow(watch: Watch, tmp_path: Path) -> None:
    """A program with eight shards makes eight engines, and uses them one after the other."""
    files = [tmp_path / f"{number}.db" for number in range(8)]
    engines = [create_engine(f"sqlite:///{file}", poolclass=QueuePool) for file in files]
    for engine in engines:
        with engine.connect():
            pass
        watch.tick()
    assert not [one for one in watch.findings if one.rule == "growing"]
    for engine in engines:
        engine.dispose()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sqlite3's own, from 3.13 on
def test_an_engine_that_is_let_go(watch: Watch, url: str) -> None:
    """It is freed when it would be, and takes its stock with it: no finding, and no pool remembered."""
    engine = create_engine(url, poolclass=QueuePool)
    with engine.connect():
        pass
    (handle,) = stock(watch)
    del engine
    gc.collect()
    watch.ledger.settle()
    assert handle.how in (OVER, CLOSED)
    assert not watch.ledger.take().pools
    assert not watch.tick()


def test_a_failed_statement_keeps_nothing(watch: Watch, url: str) -> None:
    """The exception that the program keeps has no frame of ours that holds its session."""
    with engine_at(url) as engine:
        errors = []
        for _ in range(3):
            try:
                with Session(engine) as session:
                    session.execute(text("SELECT nothing FROM nowhere"))
            except exc.DBAPIError as error:
                errors.append(error)
        assert not loans(watch)
        assert len(errors) == 3


def test_events_are_as_before(url: str) -> None:
    """An application's listeners keep their order and are found; afterwards none of ours is there."""
    heard: list[str] = []

    def first(*_: Any) -> None:
        heard.append("class")

    def second(*_: Any) -> None:
        heard.append("engine")

    before = {name: vars(Pool).get(name) for name in ("connect", "_should_wrap_creator")}
    recreate = vars(QueuePool)["recreate"]
    event.listen(Pool, "checkout", first)
    try:
        with Watch(Limits(outputs=()), drivers=DRIVERS), engine_at(url) as engine:
            event.listen(engine, "checkout", second)
            with engine.connect():
                pass
            assert heard == ["class", "engine"]
            assert event.contains(Pool, "checkout", first)
        with engine_at(url) as engine, engine.connect():
            assert list(engine.pool.dispatch.checkout) == [first]
            assert not list(engine.pool.dispatch.checkin)
            assert not list(engine.pool.dispatch.detach)
    finally:
        event.remove(Pool, "checkout", first)
    assert {name: vars(Pool).get(name) for name in before} == before
    assert vars(QueuePool)["recreate"] is recreate


def test_listeners_that_somebody_cleared(url: str) -> None:
    """A test's own tidying took ours away: leaving is no error, and connections are seen as such."""
    with Watch(Limits(outputs=()), drivers=DRIVERS) as watching:
        with engine_at(url) as engine:
            Pool.dispatch._clear()
            with engine.connect():
                assert [handle.kind for handle in watching.handles] == [CONNECTION]
        assert not watching.end(Ending("watch"))


def test_signatures_are_as_before(watch: Watch) -> None:
    """`create_engine` reads the pool's constructor: its arguments are known, and nothing more."""
    del watch
    options = {"pool_size": 3, "max_overflow": 1, "pool_timeout": 2, "pool_recycle": 9, "pool_use_lifo": True}
    with engine_at("sqlite://", **options) as engine:
        assert engine.pool.size() == 3
    with pytest.raises(TypeError):
        create_engine("sqlite://", poolclass=QueuePool, pool_nonsense=1)
    assert str(inspect.signature(QueuePool.recreate)).startswith("(self)")
    assert pickle.loads(pickle.dumps(QueuePool)) is QueuePool


def test_a_warning_blames_the_application_s_line(watch: Watch) -> None:
    """SQLAlchemy looks for the first frame outside itself: no frame of ours is one."""
    del watch
    with engine_at("sqlite://", poolclass=QueuePool) as engine:

        @event.listens_for(engine, "checkout")
        def warn(*_: Any) -> None:
            sqlalchemy.util.warn("look here")

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            engine.connect().close()
        assert [one.filename for one in caught if "look here" in str(one.message)] == [__file__]


def test_a_driver_that_nobody_watches(tmp_path: Path) -> None:
    """Its loans are judged all the same, and the database goes by the dialect's name."""
    with (
        Watch(Limits(outputs=()), drivers=[sqlalchemy_driver.watch]) as watching,
        engine_at(f"sqlite:///{tmp_path / 'shop.db'}") as engine,
        engine.connect(),
    ):
        (loan,) = watching.handles
        assert (loan.kind, loan.database.system, loan.parent) == (CHECKOUT, "sqlite", None)
        assert loan.idle_s(loan.opened_at + 1000) == 0  # nobody can say that it is not used


def test_an_engine_made_before_the_start(url: str) -> None:
    """It is watched from then on: by which line it was made nobody knows, and what it lends is judged."""
    with engine_at(url, pool_size=1, max_overflow=1, pool_timeout=0.05) as engine:
        with engine.connect():
            pass
        with Watch(Limits(outputs=()), drivers=DRIVERS) as watching:
            with engine.connect() as connection:
                assert connection.execute(text("SELECT 1")).scalar() == 1
            assert not watching.end(Ending("watch"))
            kept = [engine.connect() for _ in range(2)]; at = line()  # noqa: E702
            with pytest.raises(exc.TimeoutError):
                engine.connect()
            (finding,) = said(watching, "refused")
            assert (finding.count, opened_at(finding)) == (2, at)
            for connection in kept:
                connection.close()


def test_after_the_end_live_engines_go_quiet(url: str) -> None:
    """They go on, and tell nobody."""
    with engine_at(url) as engine:
        with Watch(Limits(outputs=()), drivers=DRIVERS) as watching:
            connection = engine.connect()
        connection.close()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        assert len(loans(watching)) <= 1


def test_four_threads_leave_no_difference(watch: Watch, url: str) -> None:
    """Opened is closed plus open, with four borrowers and the collector at work."""
    with engine_at(url, pool_size=2, max_overflow=2) as engine:

        def work() -> None:
            for number in range(50):
                with engine.connect() as connection:
                    connection.execute(text("SELECT :number"), {"number": number})
                if not number % 10:
                    gc.collect()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not loans(watch)
        assert len(stock(watch)) == engine.pool.checkedin()
        assert all(handle.at_home for handle in stock(watch))
    assert not watch.handles
    assert not [one for one in watch.tick() if one.severity != "info"]


ASYNC = {
    "asyncpg": "postgresql+asyncpg:",
    "psycopg": "postgresql+psycopg:",
    "aiosqlite": "sqlite+aiosqlite:",
}


@pytest.mark.parametrize("driver", ASYNC)
def test_an_async_engine(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Its loan is opened where the coroutine awaited, by that task; given back, it is closed."""
    needed(driver)
    needed("greenlet")
    from importlib import import_module

    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    if OLD and driver == "psycopg":
        pytest.skip("SQLAlchemy 1.4 has no dialect for psycopg 3")
    address = ASYNC[driver]
    if driver == "aiosqlite":
        address += f"///{tmp_path / 'shop.db'}"
    else:
        address = str(request.getfixturevalue("postgres")).replace("postgresql:", address)
    below = import_module(f"whoholds.drivers.{driver}").watch
    # aiosqlite's dialect lends from a NullPool up to 2.0.36, to which a size would be an error

    async def main(watching: Watch) -> None:
        engine = create_async_engine(address)
        session = AsyncSession(engine)
        await session.execute(text("SELECT 1")); at = line()  # noqa: E702
        connection = await engine.connect(); also_at = line()  # noqa: E702
        watching.tick()
        lent = loans(watching) or stock(watching)
        assert [loan.site.frame.line for loan in lent] == [at, also_at]  # type: ignore[union-attr]
        assert {loan.site.frame.file for loan in lent} == {__file__}  # type: ignore[union-attr]
        assert {loan.owner.kind for loan in lent if loan.owner} == {"task"}
        assert all(loan.parent is not None for loan in loans(watching))
        await session.close()
        await connection.close()
        assert not loans(watching)
        assert all(handle.at_home for handle in stock(watching))
        await engine.dispose()
        assert not watching.handles

    with Watch(Limits(outputs=()), drivers=[*DRIVERS, below]) as watching:
        asyncio.run(main(watching))
        assert not [one for one in watching.end(Ending("watch")) if one.severity != "info"]


def test_an_async_pool_that_runs_out(watch: Watch, tmp_path: Path) -> None:
    """Its holders are named, and who asked: the line that awaited."""
    needed("aiosqlite")
    needed("greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import AsyncAdaptedQueuePool

    async def main() -> None:
        url = f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"
        engine = create_async_engine(
            url, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05
        )
        connection = await engine.connect(); at = line()  # noqa: E702
        with suppress(exc.TimeoutError):
            await engine.connect()
            pytest.fail("it had one only")
        (finding,) = said(watch, "refused")
        assert opened_at(finding) == at
        assert finding.also.site.frame.line > at
        await connection.close()
        await engine.dispose()

    asyncio.run(main())


def test_nothing_of_theirs_is_kept(watch: Watch, url: str) -> None:
    """Two thousand loans leave neither handle nor pool nor record behind."""
    with engine_at(url) as engine:
        for _ in range(200):
            with engine.connect():
                pass
        watch.tick()
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(2000):
            with engine.connect():
                pass
        watch.tick()
        watch.tick()  # the last look is remembered, and those before it are not
        gc.collect()
        assert len(gc.get_objects()) - before < 200
        assert (len(loans(watch)), len(stock(watch))) == (0, 1)


def test_copies_of_a_url_and_closing_work(watch: Watch, url: str) -> None:
    """What has nothing to do with us goes through untouched."""
    del watch
    with engine_at(url) as engine, closing(engine.raw_connection()) as raw:
        cursor = raw.cursor()
        cursor.execute("SELECT 1")
        assert tuple(cursor.fetchone()) == (1,)
        cursor.close()
        assert copy.copy(engine.url) == engine.url
