"""What every driver owes to the program that it watches, written once and run for each library."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import re
import sys
import types
from collections import Counter
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.drivers import libraries
from tests.drivers.libraries import SLEEP, Library, maybe
from whoholds.analysis.blame import user_index
from whoholds.analysis.frames import frame_at
from whoholds.ledger.here import current_owner
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from whoholds.ledger.handle import Handle

    Start = Callable[[], Watch]

# A connection that is dropped on purpose: sqlite3, psycopg 3, asyncpg and aiosqlite warn of it, watched or not.
dropping = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",  # aiosqlite's worker tells a loop that is closed
)


def passed_over(library: Library, what: str) -> None:
    """Skip what a library legitimately lacks."""
    if what in library.lacks:
        pytest.skip(f"{library.name} has not: {what}")


def only(watch: Watch) -> Handle:
    """Give the one open connection."""
    (handle,) = watch.handles
    return handle


# --- opening and closing ------------------------------------------------------------------------------------------


def test_connecting_opens_a_handle_and_closing_closes_it(library: Library, watched: Start) -> None:
    """It names the database, the line that connected and the thread or task that runs."""
    watch = watched()

    async def contract() -> None:
        connection = await maybe(library.connect())
        handle = only(watch)
        assert handle.kind == "connection"
        assert str(handle.database) == library.where
        frame = frame_at(handle.origin, user_index(handle.origin))
        assert frame.file == libraries.__file__
        assert "connect(" in frame.source
        assert handle.owner is current_owner()
        assert handle.owner.kind == ("task" if library.is_async else "thread")
        if "pid" not in library.lacks:
            assert isinstance(handle.backend_pid, int)
        assert handle.connect_s is not None
        await maybe(library.close(connection))
        assert watch.handles == []
        assert handle.how == "closed"

    library.go(contract())


def test_a_connection_that_could_not_be_opened_leaves_nothing(library: Library, watched: Start) -> None:
    """The library's own error comes through, and the ledger is as it was."""
    watch = watched()

    async def contract() -> None:
        with pytest.raises(Exception, match=library.refusal):
            await maybe(library.connect_wrongly())
        if library.is_async:
            await asyncio.sleep(0.1)  # aiosqlite's worker still tells this loop that it has stopped

    library.go(contract())
    gc.collect()
    assert watch.handles == []
    assert not watch.ledger.unwatched


def test_what_was_imported_by_name_before_the_start_is_reached(library: Library, watched: Start) -> None:
    """`from library import connect` in a module that came first."""
    early = types.ModuleType("imported_early")
    early.connect = library.api.connect  # type: ignore[attr-defined]
    sys.modules["imported_early"] = early
    try:
        watch = watched()

        async def contract() -> None:
            connection = await maybe(library.connect_as(early.connect))
            assert str(only(watch).database) == library.where
            await maybe(library.close(connection))

        library.go(contract())
    finally:
        del sys.modules["imported_early"]


def test_a_class_of_the_users_stays_what_it_is(library: Library, watched: Start) -> None:
    """Its type, its name and its methods; and it is watched like any other."""
    passed_over(library, "subclass")
    watch = watched()

    async def contract() -> None:
        connection, wanted = await maybe(library.subclassed())
        shown = getattr(connection, "shown", connection)
        assert isinstance(shown, wanted)
        assert (type(shown).__name__, type(shown).__module__) == (wanted.__name__, wanted.__module__)
        assert connection.mine() == "mine"
        assert len(watch.handles) == 1
        await maybe(library.close(connection))
        assert watch.handles == []

    library.go(contract())


def test_no_property_of_the_users_class_is_read(library: Library, watched: Start) -> None:
    """It may wait for a lock that the call has taken, or ask the server: only the library itself reads it."""
    passed_over(library, "subclass")

    async def read() -> dict[str, int]:
        connection, wanted = await maybe(library.subclassed())
        times: Counter[str] = Counter()
        for name in dir(wanted):
            theirs = inspect.getattr_static(wanted, name)
            if not name.startswith("_") and inspect.isdatadescriptor(theirs) and hasattr(theirs, "__objclass__"):
                setattr(wanted, name, noticed(name, theirs, times))
        await maybe(library.run(connection, "SELECT 1"))
        with pytest.raises(Exception, match=library.missing):
            await maybe(library.run(connection, "SELECT * FROM nothing_here"))
        if hasattr(connection, "rollback"):
            await maybe(library.rollback(connection))
            await maybe(library.commit(connection))
        await maybe(library.close(connection))
        return dict(times)

    before: list[dict[str, int]] = []

    async def bare() -> None:
        before.append(await read())

    async def contract() -> None:
        assert await read() == before[0]

    library.go(bare())
    watched()
    library.go(contract())


def noticed(name: str, theirs: Any, times: Counter[str]) -> property:
    """Give a property that reads the library's own, and counts how often it is read."""

    def get(thing: Any) -> Any:
        times[name] += 1
        return theirs.__get__(thing)

    return property(get, theirs.__set__, theirs.__delete__)


# --- using --------------------------------------------------------------------------------------------------------


def test_uses_are_counted_and_statements_remembered(library: Library, watched: Start) -> None:
    """As many for each statement (reading its rows may be another); nobody is inside a call afterwards."""
    watch = watched()

    async def contract() -> None:
        connection = await maybe(library.connect())
        handle = only(watch)
        assert handle.uses == 0
        await maybe(library.run(connection, "SELECT 1"))
        first = handle.uses  # pg8000 counts the BEGIN that it sent before
        rows = await maybe(library.run(connection, "SELECT 2"))
        assert [tuple(row) for row in rows] == [(2,)]
        second = handle.uses
        await maybe(library.run(connection, "SELECT 2"))
        assert 0 < handle.uses - second == second - first <= library.uses
        assert [sql for sql, _, _ in handle.statements][-1] == "SELECT 2"
        assert handle.caller == 0
        assert handle.busy_s > 0
        await maybe(library.close(connection))

    library.go(contract())


def test_whether_a_transaction_is_open_is_known(library: Library, watched: Start) -> None:
    """After a write it is, after the commit it is not, and reading the state asks the server nothing."""
    passed_over(library, "transaction")
    watch = watched()

    async def contract() -> None:
        connection = await maybe(library.connect())
        handle = only(watch)
        assert not handle.in_transaction
        await maybe(library.write(connection))
        assert handle.in_transaction
        await maybe(library.commit(connection))
        assert not handle.in_transaction
        await maybe(library.close(connection))

    library.go(contract())


def test_a_statement_that_fails_is_a_use_and_its_error_is_the_librarys(library: Library, watched: Start) -> None:
    """The exception passes as it is, and the connection goes on working."""
    watch = watched()

    async def contract() -> None:
        connection = await maybe(library.connect())
        handle = only(watch)
        with pytest.raises(Exception, match=library.missing):
            await maybe(library.run(connection, "SELECT * FROM nothing_here"))
        assert handle.uses >= 1
        assert handle.caller == 0
        assert handle.open
        await maybe(library.close(connection))
        assert watch.handles == []

    library.go(contract())


def test_what_is_called_on_a_closed_connection_is_the_programs_fault_only(library: Library, watched: Start) -> None:
    """The library's error comes through, nothing is open, and no hook of ours has failed: the watch says nothing."""
    watch = watched()

    async def contract() -> None:
        connection = await maybe(library.connect())
        await maybe(library.run(connection, "SELECT 1"))
        await maybe(library.close(connection))
        for call in (lambda: library.run(connection, "SELECT 1"), lambda: library.commit(connection)):
            try:
                await maybe(call())
            except Exception as error:  # noqa: BLE001 - whatever the library's is, where it has one
                assert "whoholds" not in str(error)  # noqa: PT017 - not every library raises
        await maybe(library.close_again(connection))
        assert watch.handles == []

    library.go(contract())


SQL = "SELECT 1"
CALLS: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((), {}),
    ((SQL,), {}),
    ((SQL, ()), {}),
    ((SQL, (), 1, 2, 3, 4), {}),
    *(((), {name: SQL}) for name in ("query", "operation", "sql", "stmt")),
    *(((SQL,), {name: ()}) for name in ("vars", "params", "args", "parameters", "nothing")),
    ((), {"query": SQL, "vars": ()}),
    ((), {"vars": ()}),
)


def test_execute_takes_what_it_took(library: Library, watched: Start) -> None:
    """By position and by name; what is no call of the library's is none now."""
    passed_over(library, "keywords")
    if library.is_async:
        pytest.skip("these are functions of Python, whose arguments go on as they came")

    def ways(method: str) -> list[str]:
        connection = library.connect()
        found = []
        for args, named in CALLS:
            cursor = connection.cursor()
            try:
                getattr(cursor, method)(*args, **named)
                found.append(str(cursor.fetchall() if cursor.description else "taken"))
            except Exception as error:  # noqa: BLE001 - whatever the library's is
                found.append(type(error).__name__)
                if "empty" not in library.lacks:
                    library.rollback(connection)
            finally:
                cursor.close()
        connection.close()
        return found

    for method in ("execute", "executemany"):
        before = ways(method)
        watch = watched()
        assert ways(method) == before
        watch.stop()


# --- lifetimes ----------------------------------------------------------------------------------------------------


async def drop(library: Library) -> None:
    """Drop it unused."""
    connection = await maybe(library.connect())
    del connection


async def drop_used(library: Library) -> None:
    """Drop it after a statement."""
    connection = await maybe(library.connect())
    await maybe(library.run(connection, "SELECT 1"))


async def drop_failed(library: Library) -> None:
    """Drop it after a statement that failed."""
    try:
        await fail(library)
    except Exception as error:  # noqa: BLE001 - whatever the library's is
        assert re.search(library.missing, str(error))  # noqa: PT017 - pytest.raises would keep it


async def keep_exception(library: Library) -> Any:
    """Keep the exception of a statement that failed, and nothing else."""
    try:
        await fail(library)
    except Exception as error:  # noqa: BLE001 - whatever the library's is
        return error


async def fail(library: Library) -> None:
    """Let a statement's exception out of frames that do not hold the connection."""
    connection = await maybe(library.connect())
    try:
        await maybe(library.run(connection, "SELECT * FROM nothing_here"))
    finally:
        del connection


async def cancel(library: Library) -> None:
    """Cancel the task in the middle of its statement."""

    async def work() -> None:
        connection = await maybe(library.connect())
        await maybe(library.run(connection, SLEEP[library.system]))

    task = asyncio.create_task(work())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


SCENES = (drop, drop_used, drop_failed, keep_exception, cancel)


@dropping
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_dropped_connection_goes_when_it_would_without_us(
    library: Library, watched: Start, scene: Callable[[Library], Awaitable[Any]]
) -> None:
    """By its last reference, by the collector, or not before the exception that is kept: as bare."""
    if scene is cancel:
        passed_over(library, "cancel")
        if not library.is_async:
            pytest.skip("no task to cancel")
    library.go(drop(library))  # whatever is opened once and for all
    bare = moment(library, scene)
    watch = watched()
    assert moment(library, scene) == bare
    gc.collect()
    assert watch.handles == [] or bare == "never"


def moment(library: Library, scene: Callable[[Library], Awaitable[Any]]) -> str:
    """When the connection's file or socket was closed."""

    async def look() -> str:
        before = descriptors()
        kept = await scene(library)
        if await settled(library, before):
            return "at once"
        gc.collect()
        if await settled(library, before):
            return "collector"
        del kept
        gc.collect()
        return "with what was kept" if await settled(library, before) else "never"

    async def wait() -> str:
        gc.collect()
        gc.disable()
        try:
            if library.is_async:
                await asyncio.sleep(0.05)
            return await look()
        finally:
            gc.enable()
            library.forget()
            if library.is_async:
                await asyncio.sleep(0.05)

    return str(library.go(wait()))


async def settled(library: Library, before: int) -> bool:
    """Whether as many files are open as before; a loop and a worker thread are given a moment."""
    for _ in range(20 if library.is_async else 1):
        if descriptors() <= before:
            return True
        if library.is_async:
            await asyncio.sleep(0.01)
    return False


def descriptors() -> int:
    """Count the open files and sockets of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir opens one itself


def test_many_cycles_leave_nothing(library: Library, watched: Start) -> None:
    """No handle, no file, no object: ten thousand on sqlite3, fewer where a server has to keep up.

    What a library makes once, and some other test's rest, comes at any time; what each cycle leaves comes again.
    """
    watch = watched()
    times = {"sqlite3": 10_000, "aiosqlite": 500}.get(library.name, 150)

    async def cycle(number: int) -> None:
        for turn in range(number):
            connection = await maybe(library.connect())
            await maybe(library.run(connection, "SELECT 1"))
            await maybe(library.close(connection))
            del connection
            if turn % 500 == 0:
                watch.tick()

    async def contract() -> None:
        await cycle(20)
        look_away(watch)
        for last_try in (False, True):
            files, objects = descriptors(), len(gc.get_objects())
            await cycle(times)
            look_away(watch)
            assert watch.handles == []
            assert descriptors() <= files
            more = len(gc.get_objects()) - objects
            if more < max(times // 5, 100):
                break
            assert not last_try, f"{more} more objects after {times} more cycles"

    library.go(contract())


def look_away(watch: Watch) -> None:
    """Let go of what a watch remembers for a minute at most: what ended since the last look, and samples of churn."""
    watch.tick()
    watch.tick()
    watch.history.trends.clear()
    gc.collect()


# --- leaving no trace ---------------------------------------------------------------------------------------------


def names(library: Library) -> dict[tuple[str, str, str], Any]:
    """Every name of the library's modules and of their classes."""
    packages = library.packages or (library.module.partition(".")[0],)
    found: dict[tuple[str, str, str], Any] = {}
    for module in [one for name, one in sys.modules.items() if name.partition(".")[0] in packages]:
        for name, value in list(vars(module).items()):
            if name.startswith("__") and name != "__doc__":
                continue
            found[module.__name__, "", name] = value
            if isinstance(value, type):
                for attribute, inner in list(vars(value).items()):
                    found[value.__module__, value.__qualname__, attribute] = inner
    return found


def test_every_name_is_restored(library: Library, watched: Start) -> None:
    """By identity, after the watch has ended."""
    before = names(library)
    watch = watched()
    during = names(library)
    assert any(during[key] is not value for key, value in before.items())
    watch.stop()
    after = names(library)
    assert after.keys() == before.keys()
    assert [key for key, value in before.items() if after[key] is not value] == []


def test_what_stands_for_a_call_looks_like_it(library: Library, watched: Start) -> None:
    """Name, module, docstring, signature, and whether it is a coroutine function."""
    before = names(library)
    watched()
    for key, ours in names(library).items():
        theirs = before.get(key)
        if theirs is None or ours is theirs or isinstance(ours, type) or not callable(ours):
            continue
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            if hasattr(theirs, attribute):
                assert getattr(ours, attribute) == getattr(theirs, attribute), (key, attribute)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs), key
        assert inspect.isgeneratorfunction(ours) == inspect.isgeneratorfunction(theirs), key
        assert signature(ours) == signature(theirs), key


def signature(function: Any) -> Any:
    """Give its signature, or why it has none."""
    try:
        return inspect.signature(function)
    except ValueError as error:
        return type(error)


def test_live_objects_go_on_working_after_the_end(library: Library, watched: Start) -> None:
    """They go quiet, and nothing else."""
    watch = watched()

    async def contract() -> None:
        connection = await maybe(library.connect())
        await maybe(library.write(connection))
        handle = only(watch)
        watch.stop()
        await maybe(library.commit(connection))
        assert [tuple(row) for row in await maybe(library.run(connection, "SELECT 3"))] == [(3,)]
        await maybe(library.close(connection))
        assert handle.uses > 0

    library.go(contract())


def test_a_later_watch_does_not_mistake_a_connection_of_before(library: Library, watched: Start) -> None:
    """Both ledgers count from one: what the first knew must not close what the second knows."""
    first = watched()

    async def contract() -> None:
        old = await maybe(library.connect())
        first.stop()
        second = watched()
        new = await maybe(library.connect())
        await maybe(library.close(old))
        assert len(second.handles) == 1
        await maybe(library.close(new))
        assert second.handles == []

    library.go(contract())


@contextmanager
def version(module: Any, name: str, value: Any) -> Iterator[None]:
    """Let a library tell another version for a while."""
    told = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, told)


VERSIONS = {
    "MySQLdb": ("version_info", (99, 0, 0, "final", 0)),
    "pymysql": ("VERSION_STRING", "99.0.0"),
    "asyncmy": ("__VERSION__", "99.0"),  # of `asyncmy.version`
    "pyodbc": ("version", "99.0"),
}


def test_a_version_it_does_not_know_is_left_alone(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which version is here and which are known; no name is touched."""
    passed_over(library, "version")
    name, value = VERSIONS.get(library.module, ("__version__", "99.0"))
    before = names(library)
    module = import_module(library.version_in or library.module)
    if not hasattr(module, name):
        name = "__version__"
    with version(module, name, value):
        watch = Watch(drivers=library.drivers()[-1:]).start()
    try:
        (said,) = watch.failed
        assert "99.0" in said
        assert capsys.readouterr().err.count("\n") == 1
        after = names(library)
        assert [key for key, one in before.items() if after[key] is not one] == []
    finally:
        watch.stop()
