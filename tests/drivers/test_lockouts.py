"""A statement that a lock makes fail: who had a transaction open there is noted, and the library's own error passes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.drivers.conftest import made
from tests.drivers.libraries import ALL, Library, maybe
from tests.needs import needed
from whoholds.adopting.table import ADOPTABLE
from whoholds.analysis.blame import user_index
from whoholds.assembling import adopt
from whoholds.drivers import sqlite
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.lockout import DEADLOCK, IN_A_STATEMENT, READING, SNAPSHOT, UNREAD, WAITED, Lockout
from whoholds.reporting import note
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds.ledger.origin import Origin

WATCHED = [kind for kind in ALL if "transaction" not in kind.lacks]
SERVERS = [kind for kind in WATCHED if kind.system != "sqlite"]
each = pytest.mark.parametrize("kind", WATCHED, ids=lambda kind: kind.name)
each_server = pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.name)
LOCK = {"sqlite": "UPDATE contract SET a = 2"}
# adopted connections that do not say where they lead without being asked, or whether they are in a transaction
NAMELESS = {"MySQLdb", "aiopg", "pg8000"}
ADOPTED = [kind for kind in SERVERS if kind.name.partition("-")[0] in {*ADOPTABLE, "aiopg"}]
TAKES_NOTES = sys.version_info >= (3, 11)  # an exception
NOWAIT = "SELECT a FROM contract FOR UPDATE NOWAIT"


@contextmanager
def watching(*drivers: Any) -> Iterator[Watch]:
    """Give a started Watch with these drivers, looked at by hand; it ends without a fault of ours."""
    faults.take()
    watch = Watch(ledger=Ledger(), detectors={}, drivers=drivers).start()
    try:
        yield watch
        assert faults.take() == []
    finally:
        watch.stop()


def taken(watch: Watch) -> Lockout:
    """Give the one lockout since the last call."""
    (lockout,) = watch.ledger.take().lockouts
    return lockout


def opened(lockout: Lockout) -> list[str]:
    """Give the functions that opened what was held."""
    return [_function(holding.handle.origin) for holding in lockout.holdings]


def _function(origin: Origin) -> str:
    name: str = origin[user_index(origin)].co_name  # type: ignore[union-attr]  # even places hold code objects
    return name


# --- each library -----------------------------------------------------------------------------------------------------


@each
def test_who_has_a_transaction_open_is_noted(
    kind: type[Library], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With the statements run in it and where its owner was; the exception is the library's own, untouched."""
    library = made(kind, request, tmp_path)
    sql = LOCK.get(library.system, NOWAIT)

    async def lock_out(watch: Watch) -> None:
        more = {"timeout": 0.05} if library.system == "sqlite" else {}
        first, other = await maybe(library.connect()), await maybe(library.connect(**more))
        mine, theirs = watch.handles
        await maybe(library.write(first))
        with pytest.raises(Exception, match=r"(?i)lock|NOWAIT") as raised:
            await maybe(library.run(other, sql))
        lockout = taken(watch)
        assert lockout.kind == WAITED
        assert str(raised.value).strip() in lockout.error
        assert lockout.handle is theirs
        assert lockout.sql == sql
        assert lockout.owner is theirs.owner
        assert __file__ in {code.co_filename for code in lockout.origin[::2]}  # type: ignore[union-attr]
        (holding,) = lockout.holdings
        assert holding.handle is mine
        assert holding.stack
        assert holding.begun is not None
        assert holding.begun.wrote
        assert holding.begun.statements[-1] == "UPDATE contract SET a = a + 1"
        assert holding.begun.whole
        assert getattr(raised.value, "__notes__", []) == []
        for connection in (first, other):
            await maybe(library.close(connection))

    with watching(*library.drivers()) as watch:
        library.go(lock_out(watch))


@each
def test_without_a_transaction_in_this_process_none_is_named(
    kind: type[Library], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Somebody else has it: here a connection that was opened before the watch."""
    library = made(kind, request, tmp_path)

    async def lock_out() -> None:
        more = {"timeout": 0.05} if library.system == "sqlite" else {}
        first = await maybe(library.connect())
        await maybe(library.write(first))
        with watching(*library.drivers()) as watch:
            other = await maybe(library.connect(**more))
            with pytest.raises(Exception, match=r"(?i)lock|NOWAIT") as raised:
                await maybe(library.run(other, LOCK.get(library.system, NOWAIT)))
            lockout = taken(watch)
            assert lockout.holdings == ()
            assert not lockout.by_another_process
            note.of_lockout(lockout, raised.value)
            assert ("a connection" in lockout.note) is TAKES_NOTES
            assert "another process holds" not in lockout.note
            await maybe(library.close(other))
        await maybe(library.close(first))

    library.go(lock_out())


@pytest.mark.parametrize("kind", ADOPTED, ids=lambda kind: kind.name)
def test_a_connection_that_was_adopted_is_asked_for_its_transaction(
    kind: type[Library], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """At that moment: its transaction began after the search, and no look has come since.

    Where its calls are not seen and the library keeps no record, nobody is named, and nobody says who it was.
    """
    library = made(kind, request, tmp_path)

    async def lock_out() -> None:
        first = await maybe(library.connect())
        with watching(*library.drivers()) as watch:
            adopt(watch.ledger)
            await maybe(library.write(first))
            other = await maybe(library.connect())
            with pytest.raises(Exception, match=r"(?i)lock|NOWAIT") as raised:
                await maybe(library.run(other, NOWAIT))
            lockout = taken(watch)
            note.of_lockout(lockout, raised.value)
            await maybe(library.close(other))
        await maybe(library.close(first))
        assert "another process holds" not in lockout.note
        if kind.name not in NAMELESS:
            assert lockout.holdings
            assert all(holding.handle.referrer is not None for holding in lockout.holdings)
            said = "whoholds: a transaction was open on a connection opened before whoholds came"
            assert lockout.note == (said if TAKES_NOTES else "")

    library.go(lock_out())


def test_asyncpgs_prepared_statements_have_their_text(postgres: str) -> None:
    """Of who holds, and of who fails and then succeeds; a reader is no writer. SQLAlchemy prepares all it runs."""
    asyncpg = pytest.importorskip("asyncpg")
    from whoholds.drivers import asyncpg as driver

    update = "UPDATE prepared SET a = 2"

    async def lock_out(watch: Watch) -> None:
        reader, holder, loser = [await asyncpg.connect(postgres) for _ in range(3)]
        await loser.execute("CREATE TABLE prepared (a integer); INSERT INTO prepared VALUES (1)")
        await loser.execute("SET lock_timeout = '50ms'")
        statements = {one: await one.prepare(update) for one in (holder, loser)}
        blocks = [one.transaction() for one in (reader, holder)]
        for block in blocks:
            await block.start()
        await (await reader.cursor("SELECT 2")).fetchrow()
        await statements[holder].fetch()
        with pytest.raises(asyncpg.LockNotAvailableError):
            await statements[loser].fetch()
        lockout = taken(watch)
        assert (lockout.sql, lockout.again) == (update, True)
        wrote = [(one.handle.backend_pid, one.begun and one.begun.wrote) for one in lockout.holdings]
        assert wrote == [(holder.get_server_pid(), True), (reader.get_server_pid(), False)]
        assert lockout.holdings[1].begun is not None
        assert set(lockout.holdings[1].begun.statements) == {"BEGIN;", "SELECT 2"}
        for block in blocks:
            await block.rollback()
        await statements[loser].fetch()
        assert lockout.succeeded
        await loser.execute("DROP TABLE prepared")
        for one in (reader, holder, loser):
            await one.close()

    with watching(driver.watch) as watch:
        asyncio.run(lock_out(watch))


@pytest.mark.once  # each takes the second after which a server looks for deadlocks
@each_server
def test_a_deadlock_names_the_other_transaction(
    kind: type[Library], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Two threads lock two rows in opposite orders; the server ends one, and the other holds."""
    library = made(kind, request, tmp_path)
    library.go(add_a_row(library))
    both = threading.Barrier(2)
    failures: list[BaseException] = []

    async def take_both(first: int, second: int) -> None:
        connection = await maybe(library.connect())
        try:
            if library.name in ("asyncpg", "aiopg"):  # there each statement commits by itself
                await maybe(library.run(connection, "BEGIN"))
            await maybe(library.run(connection, f"UPDATE contract SET a = {first} WHERE a = {first}"))
            both.wait(20)
            await maybe(library.run(connection, f"UPDATE contract SET a = {second} WHERE a = {second}"))
        except Exception as error:  # noqa: BLE001 - one of the two gets the server's
            failures.append(error)
        finally:
            await maybe(library.close(connection))

    with watching(*library.drivers()) as watch:
        threads = [
            threading.Thread(target=lambda pair=pair: library.go(take_both(*pair)), daemon=True)  # type: ignore[misc]
            for pair in ((1, 2), (2, 1))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        lockout = taken(watch)
        assert lockout.kind == DEADLOCK
        (failure,) = failures
        assert "deadlock" in str(failure).lower()
        (holding,) = lockout.holdings
        assert holding.handle is not lockout.handle
        assert holding.handle.owner is not lockout.owner


async def add_a_row(library: Library) -> None:
    """Let the table have two rows, with an index, so that MySQL locks single rows."""
    connection = await maybe(library.connect())
    await maybe(library.run(connection, "INSERT INTO contract VALUES (2)"))
    await maybe(library.run(connection, "CREATE INDEX contract_a ON contract (a)"))
    if library.name not in ("asyncpg", "aiopg"):
        await maybe(library.commit(connection))
    await maybe(library.close(connection))


# --- sqlite: which file, which call, whose lock -----------------------------------------------------------------------


def table(path: Path, *, wal: bool = False) -> Path:
    """Give the path of a database with a table."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {'wal' if wal else 'delete'}")
        connection.execute("CREATE TABLE cars (id INTEGER PRIMARY KEY, price INTEGER)")
        connection.execute("INSERT INTO cars VALUES (1, 10)")
        connection.commit()
    return path


def writer(path: Any, **more: Any) -> sqlite3.Connection:
    """Give a connection with an open transaction that has written."""
    connection = sqlite3.connect(path, check_same_thread=False, **more)
    connection.execute("UPDATE cars SET price = 11")
    return connection


def other(path: Any, **more: Any) -> sqlite3.Connection:
    """Give a connection that does not wait."""
    return sqlite3.connect(path, timeout=0, check_same_thread=False, **more)


def fails(call: Any, *args: Any) -> BaseException:
    """Give the error of a call that is locked out."""
    with pytest.raises(sqlite3.OperationalError, match="locked") as raised:
        call(*args)
    return raised.value


SQL = "UPDATE cars SET price = 12"
CALLS = {
    "connection.execute": lambda it: it.execute(SQL),
    "connection.executemany": lambda it: it.executemany("INSERT INTO cars VALUES (?, 1)", [(7,), (8,)]),
    "connection.executescript": lambda it: it.executescript(f"{SQL}; SELECT 1;"),
    "cursor.execute": lambda it: it.cursor().execute(SQL),
    "cursor.executemany": lambda it: it.cursor().executemany("INSERT INTO cars VALUES (?, 1)", [(7,), (8,)]),
    "cursor.executescript": lambda it: it.cursor().executescript(SQL),
    "begin immediate": lambda it: it.execute("BEGIN IMMEDIATE"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("wal", [False, True], ids=["rollback", "wal"])
def test_each_call_of_sqlite3_can_be_locked_out(call: Any, wal: bool, tmp_path: Path) -> None:  # noqa: FBT001 - of pytest
    """`execute` and its like, of cursors and of connections; `BEGIN IMMEDIATE` too."""
    path = table(tmp_path / "shop.db", wal=wal)
    with watching(sqlite.watch) as watch, closing(writer(path)), closing(other(path)) as second:
        error = fails(call, second)
        lockout = taken(watch)
        assert opened(lockout) == ["writer"]
        assert lockout.holdings[0].begun is not None
        assert lockout.holdings[0].begun.statements == ("UPDATE cars SET price = 11",)
        assert error.args == ("database is locked",)
        assert lockout.elsewhere is None or lockout.elsewhere.own


def test_the_file_is_known_by_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links, URIs with their escapes and parameters, relative paths, also where the folder was changed since."""
    path = table(tmp_path / "shop 1.db")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    escaped = str(path).replace(" ", "%20")
    monkeypatch.chdir(tmp_path)
    with watching(sqlite.watch) as watch, closing(writer("shop 1.db")):
        monkeypatch.chdir(tmp_path.parent)
        names: list[tuple[Any, dict[str, Any]]] = [
            (path, {}),
            (str(path).encode(), {}),
            (os.path.relpath(path), {}),
            (link, {}),
            (f"file:{escaped}", {"uri": True}),
            (f"file://{escaped}?mode=rw", {"uri": True}),
            (f"file://localhost{escaped}?cache=private#part", {"uri": True}),
        ]
        for name, more in names:
            with closing(other(name, **more)) as second:
                fails(second.execute, SQL)
                lockout = taken(watch)
                assert opened(lockout) == ["writer"], name
                lockout.over = True  # as after a look: the next failure at this line is another matter
        with closing(sqlite3.connect(table(tmp_path / "else.db"))) as elsewhere:
            elsewhere.execute(SQL)


@pytest.mark.parametrize("name", ["file:shop?mode=memory&cache=shared", "file:{}?cache=shared"])
def test_a_shared_cache_locks_tables(name: str, tmp_path: Path) -> None:
    """In a shared cache the error names the table, and no busy handler waits."""
    name = name.format(tmp_path / "shop.db")
    with watching(sqlite.watch) as watch, closing(sqlite3.connect(name, uri=True)) as first:
        first.execute("CREATE TABLE cars (id INTEGER PRIMARY KEY, price INTEGER)")
        first.commit()
        with closing(writer(name, uri=True)), closing(other(name, uri=True)) as second:
            error = fails(second.execute, "SELECT * FROM cars")
            assert str(error) == "database table is locked: cars"
            assert opened(taken(watch)) == ["writer"]


def test_a_private_database_is_nobody_elses(tmp_path: Path) -> None:
    """A transaction in another connection's `:memory:` locks nobody out."""
    path = table(tmp_path / "shop.db")
    with watching(sqlite.watch) as watch, closing(sqlite3.connect(":memory:")) as memory:
        memory.execute("CREATE TABLE cars (price)")
        memory.execute("INSERT INTO cars VALUES (1)")
        with closing(writer(path)), closing(other(path)) as second:
            fails(second.execute, SQL)
            assert opened(taken(watch)) == ["writer"]


def test_a_commit_that_readers_lock_out_names_them(tmp_path: Path) -> None:
    """Without WAL, a result that is not read to its end keeps a lock; the line of its cursor is noted."""
    path = table(tmp_path / "shop.db")
    with watching(sqlite.watch) as watch, closing(other(path)) as second, closing(sqlite3.connect(path)) as first:
        first.executemany("INSERT INTO cars VALUES (?, 1)", [(2,), (3,)])
        first.commit()
        half_read = first.execute("SELECT * FROM cars")
        half_read.fetchone()
        second.execute(SQL)
        fails(second.commit)
        lockout = taken(watch)
        (holding,) = lockout.holdings
        assert holding.handle is watch.handles[1]
        assert holding.state == READING
        assert [*map(_function, holding.unread)] == [test_a_commit_that_readers_lock_out_names_them.__name__]
        assert not lockout.again
        assert lockout.sql == SQL
        half_read.close()


def test_a_reader_is_found_among_many_cursors_that_are_gone(tmp_path: Path) -> None:
    """3.15 keeps no list of a connection's cursors: ours forgets those that were freed, and no other."""
    path = table(tmp_path / "shop.db")
    with watching(sqlite.watch) as watch, closing(other(path)) as second, closing(sqlite3.connect(path)) as first:
        first.executemany("INSERT INTO cars VALUES (?, 1)", [(2,), (3,)])
        first.commit()
        half_read = first.execute("SELECT * FROM cars")
        half_read.fetchone()
        for _ in range(500):
            first.execute("SELECT * FROM cars").fetchall()
        second.execute(SQL)
        fails(second.commit)
        (holding,) = taken(watch).holdings
        assert holding.state == READING
        assert len(holding.unread) == 1
        half_read.close()


@pytest.mark.parametrize("wal", [False, True], ids=["rollback", "wal"])
def test_a_transaction_that_can_be_in_nobodys_way_is_not_named(wal: bool, tmp_path: Path) -> None:  # noqa: FBT001 - of pytest
    """One that has only begun, and in WAL mode one that only reads; here somebody unwatched writes."""
    path = table(tmp_path / "shop.db", wal=wal)
    with (
        closing(writer(path)),
        watching(sqlite.watch) as watch,
        closing(other(path, isolation_level=None)) as begun,
        closing(other(path)) as second,
    ):
        begun.execute("BEGIN")
        if wal:
            begun.execute("SELECT * FROM cars").fetchall()
        fails(second.execute, SQL)
        lockout = taken(watch)
        assert lockout.elsewhere is None or (lockout.elsewhere.wal, lockout.elsewhere.own) == (wal, True)
        assert opened(lockout) == [] or lockout.elsewhere is None


def test_a_statement_of_its_own_connection_can_be_in_the_way(tmp_path: Path) -> None:
    """DROP TABLE while a result of that table is not read to its end."""
    path = table(tmp_path / "shop.db")
    with watching(sqlite.watch) as watch, closing(sqlite3.connect(path)) as only:
        only.executemany("INSERT INTO cars VALUES (?, 1)", [(2,), (3,)])
        only.commit()
        half_read = only.execute("SELECT * FROM cars")
        half_read.fetchone()
        fails(only.execute, "DROP TABLE cars")
        lockout = taken(watch)
        assert lockout.kind == UNREAD
        assert [holding.handle for holding in lockout.holdings] == watch.handles
        half_read.close()


def test_a_snapshot_that_is_out_of_date_is_told_apart(tmp_path: Path) -> None:
    """In WAL mode a reader may not write once another connection has written, even if nobody holds a lock."""
    path = table(tmp_path / "shop.db", wal=True)
    with (
        watching(sqlite.watch) as watch,
        closing(other(path, isolation_level=None)) as reader,
        closing(sqlite3.connect(path)) as first,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM cars").fetchall()
        first.execute(SQL)
        first.commit()
        fails(reader.execute, SQL)
        lockout = taken(watch)
        assert lockout.kind == (SNAPSHOT if sys.version_info >= (3, 11) else WAITED)
        assert lockout.holdings == ()
        assert lockout.was_begun


def test_the_first_statement_of_a_writer_may_still_run(tmp_path: Path) -> None:
    """Its transaction is not known before that statement ends."""
    path = table(tmp_path / "shop.db")
    inside, go_on = threading.Event(), threading.Event()

    def rows() -> Iterator[tuple[int]]:
        yield (7,)
        inside.set()
        go_on.wait(20)

    with watching(sqlite.watch) as watch, closing(other(path)) as first, closing(other(path)) as second:
        thread = threading.Thread(target=first.executemany, args=("INSERT INTO cars VALUES (?, 1)", rows()))
        thread.start()
        inside.wait(20)
        fails(second.execute, SQL)
        lockout = taken(watch)
        go_on.set()
        thread.join()
        (holding,) = lockout.holdings
        assert (holding.state, holding.begun) == (IN_A_STATEMENT, None)
        assert holding.handle.calls == 1


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("UPDATE cars SET price = 11")
print("written", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not os.access("/proc/locks", os.R_OK), reason="there is no /proc/locks")
@pytest.mark.parametrize("wal", [False, True], ids=["rollback", "wal"])
def test_another_process_is_named_by_its_id(wal: bool, tmp_path: Path) -> None:  # noqa: FBT001 - of pytest
    """This process has a transaction open on the file, too, but only reads."""
    path = table(tmp_path / "shop.db", wal=wal)
    with (
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
        watching(sqlite.watch) as watch,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
        closing(other(path)) as second,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        reader.execute("BEGIN")
        fails(second.execute, SQL)
        lockout = taken(watch)
        assert lockout.elsewhere is not None
        assert lockout.elsewhere.writers == (process.pid,)
        assert not lockout.elsewhere.own
        assert lockout.command[0].startswith("python")
        assert lockout.holdings == ()
        process.communicate()


# --- who, and how often -----------------------------------------------------------------------------------------------


def test_the_failures_of_one_line_are_one_lockout(tmp_path: Path) -> None:
    """Each attempt may have a connection of its own; failures at another line or thread are another lockout."""
    path = table(tmp_path / "shop.db")

    def attempt() -> None:
        with closing(other(path)) as connection:
            fails(connection.execute, SQL)

    with watching(sqlite.watch) as watch, closing(writer(path)):
        for _ in range(3):
            attempt()
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        counts = [lockout.count for lockout in watch.ledger.take().lockouts]
        assert counts == [3, 1]


@pytest.mark.parametrize("same_connection", [True, False], ids=["same", "new"])
def test_a_retry_that_succeeds_is_noticed(same_connection: bool, tmp_path: Path) -> None:  # noqa: FBT001 - of pytest
    """A hundred other statements may follow; the ring is a plain list again."""
    path = table(tmp_path / "shop.db")
    with watching(sqlite.watch) as watch, closing(writer(path)) as first, closing(other(path)) as second:
        fails(second.execute, SQL)
        fails(second.execute, "UPDATE cars SET price = 13")
        first.commit()
        if same_connection:
            second.execute("SELECT 1").fetchall()
            second.execute(SQL)
            for number in range(100):
                second.execute(f"SELECT {number}").fetchall()
        else:
            with closing(other(path)) as third:
                third.execute(SQL)
                third.commit()
        handles = watch.handles
        watch.tick()
        assert watch.history.retries.waiting == [] or not same_connection
        assert watch.snapshot is not None
        del handles


@pytest.mark.parametrize("method", ["execute", "execute_insert", "execute_fetchall"])
def test_a_task_that_awaits_aiosqlite_is_named_with_its_line(method: str, tmp_path: Path) -> None:
    """The statement fails in a worker thread; who was locked out is the task, at the line that awaits."""
    aiosqlite: Any = needed("aiosqlite")
    from whoholds.drivers import aiosqlite as driver

    path = table(tmp_path / "shop.db")

    async def save(connection: Any) -> None:
        await getattr(connection, method)(SQL)

    async def main(watch: Watch) -> None:
        async with aiosqlite.connect(path, timeout=0) as connection:
            task = asyncio.create_task(save(connection), name="saving")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await task
        lockout = taken(watch)
        assert lockout.owner is not None
        assert (lockout.owner.kind, lockout.owner.name) == ("task", "saving")
        assert "save" in [code.co_name for code in lockout.origin[::2]]  # type: ignore[union-attr]

    with watching(sqlite.watch, driver.watch) as watch, closing(writer(path)):
        asyncio.run(main(watch))
