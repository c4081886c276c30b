"""waiting-too-long on real pools and a real server: each world has one verdict, whatever the library.

The threads and tasks really wait. Only the ledger's clock is the test's: nobody sleeps until it is too long.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from contextlib import asynccontextmanager, closing, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.drivers.libraries import maybe
from tests.drivers.test_waits import PATIENCE, waited_for
from tests.needs import needed
from whoholds.detectors.waiting import waiting_too_long
from whoholds.drivers.table import DRIVERS
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.settings.limits import Limits
from whoholds.testing.fakes import FakeClock
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from whoholds.analysis.finding import Finding

LOCK, UNLOCK = "SELECT pg_advisory_lock(41)", "SELECT pg_advisory_unlock(41)"
PLACES, ASKERS = 2, 3


class Pool:
    """A pool of two connections; `take`, `give` and `run` are coroutine functions where the library's are."""

    def __init__(self, take: Any, give: Any, run: Any) -> None:
        self.take, self.give, self.run = take, give, run

    def named(self, *functions: str) -> tuple[str, ...]:
        """The functions that a finding names for these, which borrow: `take`, where that is one of this file."""
        return ("take",) * len(functions) if getattr(self.take, "__module__", "") == __name__ else functions


@contextmanager
def psycopg_pool(url: str) -> Iterator[Pool]:
    library = import_module("psycopg_pool")
    with library.ConnectionPool(url, min_size=PLACES, max_size=PLACES, timeout=PATIENCE) as pool:
        pool.wait()
        yield Pool(pool.getconn, pool.putconn, lambda connection, sql: connection.execute(sql))


@contextmanager
def sqlalchemy_pool(url: str) -> Iterator[Pool]:
    create = import_module("sqlalchemy").create_engine
    address = url.replace("postgresql:", "postgresql+psycopg2:")
    engine = create(address, pool_size=1, max_overflow=1, pool_timeout=PATIENCE)
    yield Pool(engine.connect, lambda connection: connection.close(), lambda one, sql: one.exec_driver_sql(sql))
    engine.dispose()


@contextmanager
def pooled_db(url: str) -> Iterator[Pool]:
    pool = import_module("dbutils.pooled_db").PooledDB(
        import_module("psycopg2"), maxconnections=PLACES, blocking=True, dsn=url
    )
    with closing(pool):
        yield Pool(pool.connection, lambda connection: connection.close(), lambda one, sql: one.cursor().execute(sql))


@contextmanager
def peewee_pool(url: str) -> Iterator[Pool]:
    parts = urlsplit(url)
    database = import_module("playhouse.pool").PooledPostgresqlDatabase(
        parts.path[1:], user=parts.username, host=parts.hostname, port=parts.port, max_connections=PLACES,
        timeout=PATIENCE,
    )  # fmt: skip

    def take() -> Any:
        database.connect()
        return database.connection()

    def give(connection: Any) -> None:
        database._state.set_connection(connection)
        database.close()

    yield Pool(take, give, lambda _, sql: database.execute_sql(sql))
    database.close_all()


@asynccontextmanager
async def asyncpg_pool(url: str) -> AsyncIterator[Pool]:
    async with import_module("asyncpg").create_pool(url, min_size=1, max_size=PLACES) as pool:

        async def take() -> Any:
            return await pool.acquire()

        yield Pool(take, pool.release, lambda connection, sql: connection.execute(sql))


@asynccontextmanager
async def async_psycopg_pool(url: str) -> AsyncIterator[Pool]:
    library = import_module("psycopg_pool")
    async with library.AsyncConnectionPool(url, min_size=PLACES, max_size=PLACES, timeout=PATIENCE, open=False) as pool:
        await pool.wait()
        yield Pool(pool.getconn, pool.putconn, lambda connection, sql: connection.execute(sql))


@asynccontextmanager
async def async_engine(url: str) -> AsyncIterator[Pool]:
    create = import_module("sqlalchemy.ext.asyncio").create_async_engine
    address = url.replace("postgresql:", "postgresql+asyncpg:")
    engine = create(address, pool_size=PLACES, max_overflow=0, pool_timeout=PATIENCE)

    async def take() -> Any:
        return await engine.connect()

    yield Pool(take, lambda connection: connection.close(), lambda one, sql: one.exec_driver_sql(sql))
    await engine.dispose()


@asynccontextmanager
async def aiopg_pool(url: str) -> AsyncIterator[Pool]:
    async with import_module("aiopg").create_pool(url, minsize=1, maxsize=PLACES) as pool:

        async def take() -> Any:
            return await pool.acquire()

        async def run(connection: Any, sql: str) -> None:
            async with connection.cursor() as cursor:
                await cursor.execute(sql)

        yield Pool(take, pool.release, run)


LIBRARIES: dict[Any, tuple[str, ...]] = {
    psycopg_pool: ("psycopg", "psycopg_pool"),
    sqlalchemy_pool: ("psycopg2", "sqlalchemy"),
    pooled_db: ("psycopg2", "dbutils.pooled_db"),
    peewee_pool: ("psycopg2", "playhouse.pool"),
    asyncpg_pool: ("asyncpg",),
    async_psycopg_pool: ("psycopg", "psycopg_pool"),
    async_engine: ("asyncpg", "sqlalchemy"),
    aiopg_pool: ("psycopg2", "aiopg"),
}
THREADS = list(LIBRARIES)[:4]
TASKS = list(LIBRARIES)[4:]


class Scene:
    """A watch with a clock of its own, and the server's lock, which the test holds until it lets the holders go."""

    def __init__(self, watch: Watch, clock: FakeClock, unlock: Callable[[], None]) -> None:
        self.watch, self.clock, self.unlock = watch, clock, unlock

    @property
    def pending(self) -> int:
        """How many requests wait now."""
        self.watch.tick()
        assert self.watch.snapshot is not None
        return len(self.watch.snapshot.requests)

    @property
    def running(self) -> int:
        """In how many loans a statement runs now."""
        return sum(one.running for one in self.watch.handles if one.kind == "checkout")

    def found(self, waiting: int) -> list[Finding]:
        """Look once when so many wait, six seconds later; give what is found of waiting."""
        assert waited_for(lambda: self.pending == waiting)
        return self.later()

    def later(self) -> list[Finding]:
        """Look six seconds later; give what is found of waiting."""
        self.watch.tick()
        self.clock.advance(6)
        self.watch.tick()
        assert self.watch.snapshot is not None
        return list(waiting_too_long(self.watch.snapshot, self.watch.limits))


@pytest.fixture
def scene(request: pytest.FixtureRequest, postgres: str) -> Iterator[Scene]:
    """Watch the libraries of the pool that the test is given."""
    import psycopg2

    drivers = []
    for library in LIBRARIES[request.getfixturevalue("pool")]:
        needed(library.partition(".")[0] if library != "playhouse.pool" else "peewee")
        file, _, function = DRIVERS[library].partition(":")
        drivers.append(getattr(import_module(file), function))
    clock = FakeClock()
    with closing(psycopg2.connect(postgres)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(LOCK)
        faults.take()
        with Watch(Limits(outputs=()), ledger=Ledger(clock=clock), drivers=drivers) as watch:
            yield Scene(watch, clock, lambda: cursor.execute(UNLOCK))
        assert faults.take() == []


def verdict_of(found: list[Finding]) -> tuple[str, str, int, str, str]:
    """Severity, verdict, how many wait, the function that borrowed, and the function that asks."""
    (one,) = found
    assert one.opened is not None
    asked = one.also.site.frame.function if one.also is not None else ""
    return one.severity, one.verdict, one.count, one.opened.function, asked


# --- threads --------------------------------------------------------------------------------------------------------


class Actors:
    """Threads that borrow from a pool and ask it, each until it is told to go on."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.go_on = threading.Event()
        self.kept: list[Any] = []
        self.all_there = threading.Barrier(PLACES)
        self.second = self  # where `nests` asks for another
        self.threads: list[threading.Thread] = []

    def starts(self, act: Callable[[], None], count: int) -> None:
        """Let so many threads do it."""
        for _ in range(count):
            thread = threading.Thread(target=act)
            thread.start()
            self.threads.append(thread)

    def end(self) -> None:
        """Wait for all of them."""
        self.go_on.set()
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def forgets(self) -> None:
        self.kept.append(self.pool.take())

    def is_slow(self) -> None:
        connection = self.pool.take()
        self.pool.run(connection, LOCK)
        self.pool.run(connection, UNLOCK)
        self.pool.give(connection)

    def does_other_work(self) -> None:
        connection = self.pool.take()
        self.kept.append(None)
        self.go_on.wait(PATIENCE)
        self.pool.give(connection)

    def nests(self) -> None:
        self.kept.append(self.pool.take())
        self.all_there.wait(PATIENCE)
        self.second.asks()

    def asks(self) -> None:
        self.pool.give(self.pool.take())


@pytest.mark.parametrize("pool", THREADS, ids=lambda one: one.__name__)
def test_each_world_of_threads_has_its_verdict(pool: Any, scene: Scene, postgres: str) -> None:
    """All leaked; all in slow statements; all with other work; and then the queue empties, and nobody is pending."""
    with pool(postgres) as lent:
        actors = Actors(lent)
        actors.starts(actors.forgets, PLACES)
        assert waited_for(lambda: len(actors.kept) == PLACES)
        actors.end()
        actors.starts(actors.asks, ASKERS)
        assert verdict_of(scene.found(ASKERS)) == ("error", "leaked", ASKERS, *lent.named("forgets", "asks"))
        for connection in actors.kept:
            lent.give(connection)
        actors.end()

        actors = Actors(lent)
        actors.starts(actors.is_slow, PLACES)
        assert waited_for(lambda: scene.running == PLACES)
        actors.starts(actors.asks, ASKERS)
        assert verdict_of(scene.found(ASKERS)) == ("warning", "too small", ASKERS, *lent.named("is_slow", "asks"))
        scene.unlock()
        actors.end()

        actors = Actors(lent)
        actors.starts(actors.does_other_work, PLACES)
        assert waited_for(lambda: len(actors.kept) == PLACES)
        actors.starts(actors.asks, ASKERS)
        assert verdict_of(scene.found(ASKERS)) == ("error", "too small", ASKERS, *lent.named("does_other_work", "asks"))
        actors.end()
        assert scene.pending == 0
        assert scene.later() == []


@pytest.mark.parametrize("pool", [one for one in THREADS if one is not peewee_pool], ids=lambda one: one.__name__)
def test_threads_that_nest(pool: Any, scene: Scene, postgres: str) -> None:
    """Each has one and waits for a second: a deadlock, long before the pool's time-out. (peewee lends one to a thread.)"""
    with pool(postgres) as lent:
        actors = Actors(lent)
        actors.starts(actors.nests, PLACES)
        assert waited_for(lambda: len(actors.kept) == PLACES)
        assert verdict_of(scene.found(PLACES)) == ("error", "deadlock", PLACES, *lent.named("nests", "asks"))
        for connection in actors.kept:
            lent.give(connection)
        actors.end()


@pytest.mark.parametrize("pool", [psycopg_pool, sqlalchemy_pool], ids=lambda one: one.__name__)
def test_threads_of_two_pools_that_wait_for_each_other(pool: Any, scene: Scene, postgres: str) -> None:
    """Whoever has one of the first pool asks the second, and the other way round: each pool is in a deadlock."""
    with pool(postgres) as first, pool(postgres) as second:
        here, there = Actors(first), Actors(second)
        here.all_there = there.all_there = threading.Barrier(2 * PLACES)
        here.second, there.second = there, here
        here.starts(here.nests, PLACES)
        there.starts(there.nests, PLACES)
        assert waited_for(lambda: len(here.kept) == len(there.kept) == PLACES)
        found = scene.found(2 * PLACES)
        assert [(one.severity, one.verdict, one.count) for one in found] == [("error", "deadlock", PLACES)] * 2
        for actors in (here, there):
            for connection in actors.kept:
                actors.pool.give(connection)
        here.end()
        there.end()


@pytest.mark.parametrize("pool", THREADS, ids=lambda one: one.__name__)
def test_a_signal_s_exception_ends_the_waiting(pool: Any, scene: Scene, postgres: str) -> None:
    """As Ctrl-C does, in the middle of the pool's own wait: no request is left behind, and nothing is said of it."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    with pool(postgres) as lent:
        actors = Actors(lent)
        actors.starts(actors.does_other_work, PLACES)
        assert waited_for(lambda: len(actors.kept) == PLACES)
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)  # again, should it come before the wait
            with pytest.raises(Interrupted):
                lent.take()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert scene.pending == 0
        assert scene.later() == []
        actors.end()


@pytest.mark.parametrize("pool", [psycopg_pool, sqlalchemy_pool], ids=lambda one: one.__name__)
def test_waiting_for_the_server_is_no_waiting_for_a_holder(pool: Any, scene: Scene) -> None:
    """The server does not answer a connect: the pool lends nothing yet, and nobody holds anything."""
    library = import_module("psycopg_pool") if pool is psycopg_pool else import_module("sqlalchemy")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://app@127.0.0.1:{mute.getsockname()[1]}/shop"
        asked: Callable[[], Any]
        if pool is psycopg_pool:
            theirs = library.ConnectionPool(url, min_size=1, max_size=1, timeout=PATIENCE, open=True)
            asked, close = theirs.getconn, theirs.close
        else:
            theirs = library.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), pool_size=1)
            asked, close = theirs.connect, theirs.dispose

        def ask() -> None:
            with pytest.raises(Exception):  # noqa: B017, PT011 - each library's own
                asked()

        thread = threading.Thread(target=ask)
        thread.start()
        assert scene.found(1) == []
        connected, _ = mute.accept()
        connected.close()
        mute.close()
        close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


# --- tasks ----------------------------------------------------------------------------------------------------------


class Tasks:
    """The same actors as tasks of one loop."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.go_on = asyncio.Event()
        self.kept: list[Any] = []
        self.tasks: list[asyncio.Task[None]] = []

    def starts(self, act: Callable[[], Any], count: int) -> None:
        """Let so many tasks do it."""
        self.tasks += [asyncio.create_task(act()) for _ in range(count)]

    async def end(self) -> None:
        """Wait for all of them."""
        self.go_on.set()
        await asyncio.gather(*self.tasks)

    async def forgets(self) -> None:
        self.kept.append(await self.pool.take())

    async def is_slow(self) -> None:
        connection = await self.pool.take()
        await self.pool.run(connection, LOCK)
        await self.pool.run(connection, UNLOCK)
        await self.pool.give(connection)

    async def does_other_work(self) -> None:
        connection = await self.pool.take()
        self.kept.append(connection)
        await self.go_on.wait()
        await self.pool.give(connection)

    async def nests(self) -> None:
        self.kept.append(await self.pool.take())
        while len(self.kept) < PLACES:  # noqa: ASYNC110 - until the other has one too
            await asyncio.sleep(0)
        await self.asks()

    async def asks(self) -> None:
        await self.pool.give(await self.pool.take())


async def judged(scene: Scene, actors: Tasks) -> tuple[str, str, int, str, str]:
    """Let `ASKERS` tasks ask, and give what is found once all of them wait."""
    actors.starts(actors.asks, ASKERS)
    assert await settled(lambda: scene.pending == ASKERS)
    return verdict_of(scene.later())


async def settled(happens: Callable[[], bool]) -> bool:
    """Say whether it came to be within the patience."""
    for _ in range(int(PATIENCE / 0.005)):
        if happens():
            return True
        await asyncio.sleep(0.005)
    return False


@pytest.mark.parametrize("pool", TASKS, ids=lambda one: one.__name__)
def test_tasks_that_leak_or_nest(pool: Any, scene: Scene, postgres: str) -> None:
    """The same worlds in one thread."""

    async def worlds() -> None:
        async with pool(postgres) as lent:
            actors = Tasks(lent)
            actors.starts(actors.forgets, PLACES)
            await actors.end()
            assert await judged(scene, actors) == ("error", "leaked", ASKERS, *lent.named("forgets", "asks"))
            for connection in actors.kept:
                await maybe(lent.give(connection))
            await actors.end()

            actors = Tasks(lent)
            actors.starts(actors.nests, PLACES)
            assert await settled(lambda: len(actors.kept) == PLACES)
            assert await settled(lambda: scene.pending == PLACES)
            assert verdict_of(scene.later()) == ("error", "deadlock", PLACES, *lent.named("nests", "asks"))
            for connection in actors.kept:
                await maybe(lent.give(connection))
            await actors.end()

    asyncio.run(asyncio.wait_for(worlds(), 2 * PATIENCE))


@pytest.mark.parametrize("pool", TASKS, ids=lambda one: one.__name__)
def test_tasks_that_are_all_busy(pool: Any, scene: Scene, postgres: str) -> None:
    """With other work, and then with slow statements."""

    async def worlds() -> None:
        async with pool(postgres) as lent:
            actors = Tasks(lent)
            actors.starts(actors.does_other_work, PLACES)
            assert await settled(lambda: len(actors.kept) == PLACES)
            assert await judged(scene, actors) == ("error", "too small", ASKERS, *lent.named("does_other_work", "asks"))
            await actors.end()

            actors = Tasks(lent)
            actors.starts(actors.is_slow, PLACES)
            assert await settled(lambda: scene.running == PLACES)
            assert await judged(scene, actors) == ("warning", "too small", ASKERS, *lent.named("is_slow", "asks"))
            scene.unlock()
            await actors.end()

    asyncio.run(asyncio.wait_for(worlds(), 2 * PATIENCE))


@pytest.mark.parametrize("pool", TASKS, ids=lambda one: one.__name__)
def test_nothing_is_left_of_a_cancelled_wait(pool: Any, scene: Scene, postgres: str) -> None:
    """Cancelled by the program, or by its time-out."""

    async def cancelled() -> None:
        async with pool(postgres) as lent:
            actors = Tasks(lent)
            actors.starts(actors.does_other_work, PLACES)
            assert await settled(lambda: len(actors.kept) == PLACES)
            asking = asyncio.create_task(actors.asks())
            assert await settled(lambda: scene.pending == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(actors.asks(), 0.05)
            assert scene.pending == 0
            assert scene.later() == []
            await actors.end()

    asyncio.run(asyncio.wait_for(cancelled(), PATIENCE))
