"""`watch_module`: any DB-API module, also an asynchronous one, whose `connect` gives something to await or to enter."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import json
import sys
import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import whoholds
from tests.needs import needed
from whoholds.analysis.blame import user_index
from whoholds.analysis.frames import frame_at
from whoholds.drivers.generic import driver_for
from whoholds.drivers.psycopg2 import watch as watch_psycopg2
from whoholds.ledger.ledger import Ledger
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from whoholds.ledger.handle import Handle


@contextmanager
def watching(module: ModuleType, *more: Any) -> Iterator[Watch]:
    """Watch the module; nobody looks but the test."""
    with Watch(ledger=Ledger(), detectors=(), drivers=[*more, driver_for(module)]) as watch:
        assert not watch.failed
        yield watch


class MySQL:
    """aiomysql and asyncmy: the same calls, one in Python and one compiled."""

    def __init__(self, name: str, at: Any) -> None:
        self.module = needed(name)
        self.arguments = {**at, "db": at["database"]}
        del self.arguments["database"]

    def connect(self, **more: Any) -> Any:
        return self.module.connect(**{**self.arguments, **more})


@pytest.fixture(params=["aiomysql", "asyncmy"])
def mysql(request: pytest.FixtureRequest, mariadb: Any) -> MySQL:
    """Give each asynchronous MySQL library in turn, with its arguments."""
    return MySQL(request.param, mariadb)


def only(watch: Watch) -> Handle:
    """Give the one open connection."""
    (handle,) = watch.handles
    return handle


def code_line(handle: Handle) -> str:
    """Give the source of the line that is named."""
    return frame_at(handle.origin, user_index(handle.origin)).source


async def value(connection: Any, number: int) -> Any:
    """Let the server give a number back."""
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT %s + 0", (number,))
        (row,) = await cursor.fetchall()
        return row[0]


def test_an_awaited_connection_is_seen_and_used_as_the_original(mysql: MySQL) -> None:
    """Its line, its owner, its statements, its close; the real class goes on being seen."""

    async def program() -> None:
        connection = await mysql.connect()
        handle = only(watch)
        assert "mysql.connect()" in code_line(handle) or "self.module.connect" in code_line(handle)
        assert handle.owner.kind == "task"
        assert str(handle.database).endswith(f"@127.0.0.1:{mysql.arguments['port']}/test")
        assert isinstance(connection, plain)
        assert (type(connection).__name__, type(connection).__module__) == (plain.__name__, plain.__module__)
        assert await value(connection, 7) == 7
        assert handle.statements[-1][0] == "SELECT %s + 0"
        async with connection.cursor() as cursor:
            assert cursor.connection is connection
            await cursor.execute("SELECT 1 UNION SELECT 2")
            assert [row async for row in cursor] == [(1,), (2,)]
        await connection.commit()
        await connection.ensure_closed()
        assert handle.how == "closed"
        assert watch.handles == []
        other = await mysql.connect()
        other.close()
        assert watch.handles == []

    plain = type(asyncio.run(opened_and_closed(mysql)))
    with watching(mysql.module) as watch:
        asyncio.run(program())


async def opened_and_closed(mysql: MySQL) -> Any:
    """Give a connection of nobody's any more."""
    connection = await mysql.connect()
    await connection.ensure_closed()
    return connection


def test_what_is_entered_is_closed_when_it_is_left(mysql: MySQL) -> None:
    """`async with connect() as connection`, also when the block raises."""

    async def program() -> None:
        async with mysql.connect() as connection:
            assert await value(connection, 1) == 1
            handle = only(watch)
        assert (watch.handles, handle.how) == ([], "closed")
        with pytest.raises(LookupError):
            async with mysql.connect() as connection:
                raise LookupError
        assert watch.handles == []

    with watching(mysql.module) as watch:
        asyncio.run(program())


def test_it_may_be_waited_for_in_every_way_that_asyncio_has(mysql: MySQL) -> None:
    """A task, gather, wait_for, ensure_future, and by hand."""

    async def program() -> list[Any]:
        ways: list[Any] = [
            asyncio.create_task(mysql.connect()),
            asyncio.ensure_future(mysql.connect()),
            asyncio.wait_for(mysql.connect(), 30),
            asyncio.gather(mysql.connect()),
        ]
        found = [await way for way in ways]
        found[-1] = found[-1][0]
        for connection in found:
            assert await value(connection, 3) == 3
        assert len(watch.handles) == len(ways)
        for connection in found:
            connection.close()
        assert watch.handles == []
        return found

    with watching(mysql.module) as watch:
        asyncio.run(program())


def test_the_library_fails_as_it_would(mysql: MySQL) -> None:
    """Its own exception, at the await and not before; a cancelled wait leaves nothing."""

    async def program() -> tuple[type, str]:
        wrong = mysql.connect(db="nowhere")
        with pytest.raises(Exception, match="nowhere") as raised:
            await wrong
        coming = asyncio.ensure_future(mysql.connect())
        await asyncio.sleep(0)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming
        return raised.type, str(raised.value)

    bare = asyncio.run(program())
    with watching(mysql.module) as watch:
        assert asyncio.run(program()) == bare
        assert watch.handles == []


def answers(thing: Any) -> dict[str, Any]:
    """What introspection says of something to await."""
    return {
        "class": thing.__class__,
        "name": (type(thing).__name__, type(thing).__qualname__, type(thing).__module__),
        "awaitable": inspect.isawaitable(thing),
        "coroutine": inspect.iscoroutine(thing),
        "asyncio": asyncio.iscoroutine(thing),
        "future": asyncio.isfuture(thing),
        "has": [hasattr(thing, name) for name in ("__aenter__", "__await__", "send", "throw", "close", "cursor")],
    }


def test_what_is_awaited_answers_as_the_original(mysql: MySQL) -> None:
    """Class, name and kind; and what is never awaited is the library's to warn of, as often as without us."""

    def program() -> tuple[Any, list[str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            coming = mysql.connect()
            said = answers(coming)
            del coming
            gc.collect()
        return said, [str(one.message) for one in caught]

    bare = program()
    with watching(mysql.module):
        assert program() == bare


def test_aiopgs_connections_are_psycopg2s(postgres: str) -> None:
    """One handle for each, of the driver that opened it further in; the program gets aiopg's own object."""
    aiopg = needed("aiopg")

    async def program() -> None:
        async with aiopg.connect(postgres) as connection:
            assert type(connection) is aiopg.Connection
            assert only(watch).driver == "psycopg2"
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT 5")
                assert await cursor.fetchone() == (5,)
        assert watch.handles == []
        connection = await aiopg.connect(postgres)
        assert len(watch.handles) == 1
        await connection.close()
        assert watch.handles == []
        async with aiopg.create_pool(postgres, minsize=1, maxsize=2) as pool, pool.acquire() as connection:
            cursor = await connection.cursor()
            await cursor.execute("SELECT 6")
            cursor.close()

    with watching(aiopg, watch_psycopg2) as watch:
        asyncio.run(program())


def test_a_coroutine_function_stays_one(postgres: str) -> None:
    """pg8000-like modules with `async def connect`: asyncpg stands for them, by the general driver."""
    asyncpg = needed("asyncpg")

    async def program() -> Any:
        connection = await asyncpg.connect(postgres)
        assert await connection.fetchval("SELECT 4") == 4
        await connection.close()
        return urlsplit(postgres).port

    assert inspect.iscoroutinefunction(asyncpg.connect)
    with watching(asyncpg) as watch:
        assert inspect.iscoroutinefunction(asyncpg.connect)
        asyncio.run(program())
        assert watch.handles == []
        assert not watch.failed


class Own:
    """A connection that is awaited itself, like aiosqlite's, and whose methods are coroutines."""

    def __init__(self) -> None:
        self.running = False

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        self.running = True
        return self

    async def __aenter__(self) -> Own:  # noqa: PYI034 - Self is of 3.11
        return await self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def cursor(self) -> list[int]:
        return [1, 2]

    async def execute(self, sql: str) -> str:
        await asyncio.sleep(0)
        return sql

    async def close(self) -> None:
        self.running = False


def module_of(connect: Callable[..., Any]) -> ModuleType:
    """Give a module with that `connect`."""
    import types

    module = types.ModuleType("ownasync")
    module.connect = connect  # type: ignore[attr-defined]
    return module


def test_a_connection_that_is_awaited_itself_is_one_object() -> None:
    """What `connect` gave and what awaiting it gave are the same, watched from the await on."""
    module = module_of(Own)

    async def program() -> None:
        connection = module.connect()
        assert watch.handles == []
        assert await connection is connection
        assert only(watch)
        assert await connection.execute("SELECT 1") == "SELECT 1"
        assert only(watch).statements[-1][0] == "SELECT 1"
        await connection.close()
        assert watch.handles == []
        async with module.connect() as other:
            assert only(watch)
            assert other.running
        assert watch.handles == []

    with watching(module) as watch:
        asyncio.run(program())


def test_a_module_without_connect_is_told_who_takes_it() -> None:
    """`WHOHOLDS_WATCH=json`: the message names the setting."""
    with pytest.raises(TypeError, match="^json has no function connect: WHOHOLDS_WATCH and watch_module"):
        driver_for(json)


def test_a_proxy_goes_by_the_name_of_what_it_stands_before() -> None:
    """Connections and cursors of a plain module: type's name, repr, copies; no attribute that the original lacks."""
    from whoholds.testing.fakes import fake_dbapi

    module = fake_dbapi()

    def program() -> list[Any]:
        connection = module.connect()
        cursor = connection.cursor()
        said: list[Any] = []
        for one in (connection, cursor):
            said += [
                type(one).__name__,
                type(one).__module__,
                repr(one).partition(" at ")[0],
                str(one).partition(" at ")[0],
            ]
            said += [sorted(name for name in dir(one) if not name.startswith("__")), type(copy.copy(one)).__name__]
            said += [hasattr(one, name) for name in ("callproc", "begin", "nextset", "ensure_closed", "__await__")]
        connection.close()
        return said

    bare = program()
    with watching(module):
        assert program() == bare


def held_by(module: ModuleType) -> tuple[int, list[str]]:
    """How many handles one connection is, and what is found, in a watch of a clean program."""
    with whoholds.watch(outputs=(), every=3600) as watch:
        whoholds.watch_module(module)
        whoholds.watch_module(module, "other.system")
        connection = module.connect()
        held = len(watch.handles)
        connection.close()
    return held, [finding.rule for finding in watch.findings]


def test_a_module_is_watched_once_in_each_of_many_watches() -> None:
    """Given again and again, also with other arguments: one connection is one handle, and the module gets its name back."""
    from whoholds.testing.fakes import fake_dbapi

    module = fake_dbapi()
    bare = module.connect
    assert [held_by(module) for _ in range(30)] == [(1, [])] * 30
    assert module.connect is bare


def test_two_modules_of_one_name_are_both_watched() -> None:
    """Fakes of two tests have the same name."""
    from whoholds.testing.fakes import fake_dbapi

    assert [held_by(fake_dbapi()) for _ in range(2)] == [(1, [])] * 2


def test_a_driver_that_was_added_for_a_library_is_the_only_one() -> None:
    """A third party's, by `add_driver`: neither a second one nor `watch_module` makes a handle more."""
    from whoholds import startup
    from whoholds.testing.fakes import fake_dbapi

    module = fake_dbapi()
    module.__name__ = "theirs"
    for _ in range(2):
        startup.add_driver(driver_for(module), "theirs")
    assert held_by(module) == (1, [])


def test_a_module_that_is_watched_by_its_name_is_watched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch_module` before a watch whose settings name the module."""
    from whoholds.testing.fakes import fake_dbapi

    module = fake_dbapi()
    module.__name__ = "bytheirname"
    monkeypatch.setitem(sys.modules, "bytheirname", module)
    whoholds.watch_module(module)
    with whoholds.watch(outputs=(), every=3600, watch="bytheirname") as watch:
        connection = module.connect()
        assert len(watch.handles) == 1
        connection.close()


def test_watches_within_watches_do_not_slow_a_connect_down() -> None:
    """Each wraps the proxy of the one before; a connection without attributes of its own is asked once."""

    class Bare:
        __slots__ = ("__weakref__",)

        def cursor(self) -> None:
            """Be a connection."""

        def close(self) -> None:
            """Close nothing."""

    module = module_of(Bare)
    with ExitStack() as stack:
        watches = [stack.enter_context(watching(module)) for _ in range(24)]
        connection = module.connect()
        assert [len(watch.handles) for watch in watches] == [1] * 24
        connection.close()
