"""How each library opens, uses and drops a connection: all that the contract has to know of it.

The lines that connect stand here, and a handle's opening line must be one of them. What an asynchronous library does
is a coroutine; the contract awaits whatever can be awaited, and runs the others without a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from whoholds.drivers.table import DRIVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"
SLEEP = {"postgresql": "SELECT pg_sleep(30)", "mysql": "SELECT sleep(30)"}


async def maybe(value: Any) -> Any:
    """Give the value, awaited where it can be."""
    return await value if inspect.isawaitable(value) else value


class Library:
    """A library with a plain DB-API; the others say where they differ."""

    name = ""  # of the test
    module = ""  # imported, and waited for by startup
    part = ""  # the module without which it is not there, where that is another
    uses = 2  # of a statement at most: to execute it, and to read its rows
    version_in = ""  # the module that has its version, where that is another
    system = "postgresql"
    is_async = False
    # What the library legitimately has not; the contract passes over what needs it.
    #   "cancel"      a statement that is cancelled while it runs
    #   "pid"         a server, and with it the pid of a server process
    #   "subclass"    a connection class that a program may derive from
    #   "transaction" a way to see without I/O whether a transaction is open
    #   "empty"       a commit or rollback that is allowed where no transaction is open
    #   "version"     a version of its own: it comes with Python
    #   "keywords"    parameters of `execute` that are named: what it takes by name is not compared
    lacks: frozenset[str] = frozenset()
    refusal = "nowhere"  # a pattern of what it says of a database that is not there
    missing = "nothing_here"  # a pattern of what it says of a table `nothing_here` that is not there
    fixture = "postgres"  # the server to give to it; "" for a folder
    packages: tuple[str, ...] = ()  # whose names the driver may replace; without any, the top-level package of `module`

    def __init__(self, at: Any) -> None:
        self.at = at  # the server's URL or arguments; a folder for sqlite
        self.api: Any = import_module(self.module)

    @classmethod
    def there(cls) -> bool:
        """Whether it is installed here."""
        return find_spec(cls.module.partition(".")[0]) is not None and find_spec(cls.module) is not None

    @classmethod
    def drivers(cls) -> list[Any]:
        """The drivers that a program which imports this library gets; the library's own is the last."""
        file, _, function = DRIVERS[cls.module].partition(":")
        return [getattr(import_module(file), function)]

    def rollback(self, connection: Any) -> Any:
        """Leave a transaction that has failed."""
        return connection.rollback()

    @property
    def where(self) -> str:
        """The database as a handle shows it."""
        if self.system == "mysql":
            return f"mysql://{self.at['user']}@{self.at['host']}:{self.at['port']}/{self.at['database']}"
        return str(self.at)

    def connect(self, **more: Any) -> Any:
        """Open a connection; `more` goes to the library."""
        return self.api.connect(self.at, **more)

    def connect_as(self, connect: Callable[..., Any]) -> Any:
        """Open one with a `connect` that was imported by name."""
        return connect(self.at)

    def connect_wrongly(self) -> Any:
        """Fail to open one."""
        return self.connect(dbname="nowhere")

    def subclassed(self) -> tuple[Any, type]:
        """Open one of a class of the user's; give that class too."""
        raise NotImplementedError

    def run(self, connection: Any, sql: str) -> Any:
        """Run a statement; give its rows. An exception that is kept must not find the connection in this frame."""
        cursor = connection.cursor()
        try:
            cursor.execute(sql)
            rows = cursor.fetchall() if cursor.description else []
            cursor.close()
            return rows
        finally:
            del connection, cursor

    def write(self, connection: Any) -> Any:
        """Be in a transaction."""
        return self.run(connection, "UPDATE contract SET a = a + 1")

    def commit(self, connection: Any) -> Any:
        """End the transaction."""
        return connection.commit()

    def close(self, connection: Any) -> Any:
        """Close the connection."""
        return connection.close()

    async def close_again(self, connection: Any) -> None:
        """Close it once more, whatever the library says of that."""
        with contextlib.suppress(Exception):
            await maybe(self.close(connection))

    def forget(self) -> None:
        """Stop what the library itself keeps alive after a connection was dropped."""

    def go(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a contract's coroutine: in a loop, or, where nothing waits, by hand in this very thread and no task."""
        if self.is_async:
            return asyncio.run(coroutine)
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError(f"{self.name} waited for something")


class Sqlite(Library):
    name, module, system = "sqlite3", "sqlite3", "sqlite"
    lacks = frozenset({"cancel", "pid", "version"})
    refusal, fixture = "unable to open", ""

    @property
    def where(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def path(self) -> str:
        return f"{self.at}/contract.db"

    def connect(self, **more: Any) -> Any:
        return self.api.connect(self.path, **more)

    def connect_as(self, connect: Callable[..., Any]) -> Any:
        return connect(self.path)

    def connect_wrongly(self) -> Any:
        return self.api.connect(f"{self.at}/no/such/folder/x.db")

    def subclassed(self) -> tuple[Any, type]:
        class Users(self.api.Connection):  # type: ignore[misc,name-defined]
            def mine(self) -> str:
                return "mine"

        return self.connect(factory=Users), Users


class Psycopg2(Library):
    name = module = "psycopg2"

    def subclassed(self) -> tuple[Any, type]:
        from psycopg2.extras import DictConnection

        class Users(DictConnection):  # type: ignore[misc]
            def mine(self) -> str:
                return "mine"

        return self.connect(connection_factory=Users), Users


class Psycopg(Library):
    name = module = "psycopg"

    def subclassed(self) -> tuple[Any, type]:
        class Users(self.api.Connection):  # type: ignore[misc,name-defined]
            def mine(self) -> str:
                return "mine"

        return Users.connect(self.at), Users


class PsycopgAsync(Library):
    name, module, is_async = "psycopg-async", "psycopg", True

    async def connect(self, **more: Any) -> Any:
        return await self.api.AsyncConnection.connect(self.at, **more)

    async def connect_as(self, connect: Callable[..., Any]) -> Any:
        del connect  # `psycopg.connect` is the synchronous one
        return await self.connect()

    async def subclassed(self) -> Any:
        class Users(self.api.AsyncConnection):  # type: ignore[misc,name-defined]
            def mine(self) -> str:
                return "mine"

        return await Users.connect(self.at), Users

    async def run(self, connection: Any, sql: str) -> Any:
        try:
            cursor = await connection.execute(sql)
            return await cursor.fetchall() if cursor.description else []
        finally:
            connection = cursor = None


class Asyncpg(Library):
    name, module, is_async = "asyncpg", "asyncpg", True

    async def connect(self, **more: Any) -> Any:
        return await self.api.connect(self.at, **more)

    async def connect_as(self, connect: Callable[..., Any]) -> Any:
        return await connect(self.at)

    async def connect_wrongly(self) -> Any:
        return await self.connect(database="nowhere")

    async def subclassed(self) -> Any:
        class Users(self.api.Connection):  # type: ignore[misc,name-defined]
            def mine(self) -> str:
                return "mine"

        return await self.connect(connection_class=Users), Users

    async def run(self, connection: Any, sql: str) -> Any:
        try:
            return await connection.fetch(sql)
        finally:
            del connection

    async def write(self, connection: Any) -> Any:
        await connection.execute("BEGIN")
        await super().write(connection)

    async def commit(self, connection: Any) -> Any:
        await connection.execute("COMMIT")


class Aiopg(Library):
    name, module, is_async = "aiopg", "aiopg", True
    lacks = frozenset({"subclass"})
    packages = ("aiopg", "psycopg2")

    @classmethod
    def drivers(cls) -> list[Any]:
        from whoholds.drivers import psycopg2

        return [psycopg2.watch, *super().drivers()]

    async def connect(self, **more: Any) -> Any:
        return await self.api.connect(self.at, **more)

    async def connect_as(self, connect: Callable[..., Any]) -> Any:
        return await connect(self.at)

    async def run(self, connection: Any, sql: str) -> Any:
        cursor = None
        try:
            cursor = await connection.cursor()
            await cursor.execute(sql)
            return await cursor.fetchall() if cursor.description else []
        finally:
            if cursor is not None:
                cursor.close()
            connection = cursor = None

    async def write(self, connection: Any) -> Any:
        await self.run(connection, "BEGIN")
        await super().write(connection)

    async def commit(self, connection: Any) -> Any:
        await self.run(connection, "COMMIT")


class Aiosqlite(Sqlite):
    name, module, is_async = "aiosqlite", "aiosqlite", True
    lacks = frozenset({"cancel", "pid"})
    packages = ("aiosqlite", "sqlite3")

    @classmethod
    def drivers(cls) -> list[Any]:
        from whoholds.drivers import sqlite

        return [sqlite.watch, *super().drivers()]

    async def connect(self, **more: Any) -> Any:
        return await self.api.connect(self.path, **more)

    async def connect_as(self, connect: Callable[..., Any]) -> Any:
        return await connect(self.path)

    async def connect_wrongly(self) -> Any:
        return await self.api.connect(f"{self.at}/no/such/folder/x.db")

    async def subclassed(self) -> Any:
        import sqlite3

        class Users(sqlite3.Connection):
            def mine(self) -> str:
                return "mine"

        made = await self.connect(factory=Users)
        made.mine = made._conn.mine
        made.shown = made._conn
        return made, Users

    async def run(self, connection: Any, sql: str) -> Any:
        try:
            async with connection.execute(sql) as cursor:
                return await cursor.fetchall()
        finally:
            connection = cursor = None

    def forget(self) -> None:
        """Its worker keeps the last future, hence the exception, hence the connection, until it is told to stop."""
        for one in gc.get_objects():
            if type(one) is self.api.Connection:
                one._running = False  # enough for 0.17
                stop = getattr(one, "stop", None) or getattr(one, "_stop_running", int)  # since 0.22, and 0.20
                stop()


class MySQL(Library):
    system, fixture = "mysql", "mariadb"

    def connect(self, **more: Any) -> Any:
        return self.api.connect(**{**self.at, **more})

    def connect_as(self, connect: Callable[..., Any]) -> Any:
        return connect(**self.at)

    def connect_wrongly(self) -> Any:
        return self.connect(database="nowhere")


class PyMySQL(MySQL):
    name = module = "pymysql"

    def subclassed(self) -> tuple[Any, type]:
        class Users(self.api.connections.Connection):  # type: ignore[misc,name-defined]
            def mine(self) -> str:
                return "mine"

        return Users(**self.at), Users


class Aiomysql(MySQL):
    name, module, is_async = "aiomysql", "aiomysql", True
    lacks = frozenset({"subclass"})

    @property
    def arguments(self) -> dict[str, Any]:
        return {{"database": "db"}.get(name, name): value for name, value in self.at.items()}

    async def connect(self, **more: Any) -> Any:
        return await self.api.connect(**{**self.arguments, **more})

    async def connect_as(self, connect: Callable[..., Any]) -> Any:
        return await connect(**self.arguments)

    async def connect_wrongly(self) -> Any:
        return await self.connect(db="nowhere")

    async def run(self, connection: Any, sql: str) -> Any:
        cursor = None
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(sql)
                return await cursor.fetchall()
        finally:
            connection = cursor = None


class Asyncmy(Aiomysql):
    name = module = "asyncmy"
    version_in = "asyncmy.version"


class MySQLdb(MySQL):
    name = module = "MySQLdb"

    def subclassed(self) -> tuple[Any, type]:
        from MySQLdb.connections import Connection

        class Users(Connection):  # type: ignore[misc]
            def mine(self) -> str:
                return "mine"

        return Users(**self.at), Users


class MariaDB(MySQL):
    name = module = "mariadb"

    def subclassed(self) -> tuple[Any, type]:
        class Users(self.api.Connection):  # type: ignore[misc,name-defined]
            def mine(self) -> str:
                return "mine"

        return self.connect(connectionclass=Users), Users


class Pyodbc(Sqlite):
    """Over the ODBC driver of SQLite."""

    name = module = "pyodbc"
    lacks = frozenset({"cancel", "pid", "subclass", "transaction"})
    refusal = "connect failed"

    @classmethod
    def there(cls) -> bool:
        """Whether it is installed here, and SQLite's ODBC driver, which `.ci/install-servers` brings."""
        drivers = getattr(import_module("pyodbc"), "drivers", None) if super().there() else list
        return drivers is None or "SQLite3" in drivers()  # 4.0.1 cannot list them

    @property
    def address(self) -> str:
        return f"DRIVER=SQLite3;Database={self.path}"

    def connect(self, **more: Any) -> Any:
        return self.api.connect(self.address, **more)

    def connect_as(self, connect: Callable[..., Any]) -> Any:
        return connect(self.address)

    def connect_wrongly(self) -> Any:
        return self.api.connect(f"DRIVER=SQLite3;Database={self.at}/no/such/folder/x.db")


class Aioodbc(Pyodbc):
    name, module, is_async = "aioodbc", "aioodbc", True
    packages = ("aioodbc", "pyodbc")
    uses = 3  # closing the cursor is one, too

    @classmethod
    def drivers(cls) -> list[Any]:
        from whoholds.drivers import pyodbc

        return [pyodbc.watch, *super().drivers()]

    async def connect(self, **more: Any) -> Any:
        return await self.api.connect(dsn=self.address, **more)

    async def connect_as(self, connect: Callable[..., Any]) -> Any:
        return await connect(dsn=self.address)

    async def connect_wrongly(self) -> Any:
        return await self.api.connect(dsn=f"DRIVER=SQLite3;Database={self.at}/no/such/folder/x.db")

    async def run(self, connection: Any, sql: str) -> Any:
        cursor = None
        try:
            cursor = await connection.cursor()
            await cursor.execute(sql)
            return await cursor.fetchall() if cursor.description else []
        finally:
            if cursor is not None:  # bare too, pyodbc raises anywhere if a cursor outlives its connection
                await cursor.close()
            connection = cursor = None


class MySQLConnectorPure(MySQL):
    name, module = "mysql.connector-pure", "mysql.connector"
    pure = True

    def connect(self, **more: Any) -> Any:
        return self.api.connect(use_pure=self.pure, **{**self.at, **more})

    def connect_as(self, connect: Callable[..., Any]) -> Any:
        return connect(use_pure=self.pure, **self.at)

    def subclassed(self) -> tuple[Any, type]:
        base: Any = self.api.MySQLConnection if self.pure else self.api.CMySQLConnection

        class Users(base):  # type: ignore[misc]
            def mine(self) -> str:
                return "mine"

        return Users(**self.at), Users


class MySQLConnectorC(MySQLConnectorPure):
    name, pure, part = "mysql.connector-c", False, "_mysql_connector"

    @classmethod
    def there(cls) -> bool:
        """Whether its C part is installed here; one that is, and cannot be loaded, is an error that says why."""
        if find_spec(cls.part) is None:
            return False
        if not import_module(cls.module).HAVE_CEXT:
            import_module("mysql.connector.connection_cext")
            raise ImportError("mysql.connector could not load its C part when it was imported, and can now")
        return True


class Pg8000(Library):
    name = module = "pg8000"

    @property
    def arguments(self) -> dict[str, Any]:
        at = urlsplit(self.at)
        return {"user": at.username, "host": at.hostname, "port": at.port, "database": at.path[1:]}

    def connect(self, **more: Any) -> Any:
        return self.api.connect(**{**self.arguments, **more})

    def connect_as(self, connect: Callable[..., Any]) -> Any:
        return connect(**self.arguments)

    def connect_wrongly(self) -> Any:
        return self.connect(database="nowhere")

    def subclassed(self) -> tuple[Any, type]:
        class Users(self.api.Connection):  # type: ignore[misc,name-defined]
            def mine(self) -> str:
                return "mine"

        return Users(**self.arguments), Users


class DuckDB(Sqlite):
    """Watched by a third party's driver, which is written with the kit alone: examples/plugins/duckdb."""

    name, module, system = "duckdb", "duckdb", "duckdb"
    lacks = frozenset({"cancel", "pid", "subclass", "transaction", "empty", "keywords"})
    refusal, missing = "Cannot open file", "nothing_here"
    packages = ("duckdb", "_duckdb")

    @classmethod
    def drivers(cls) -> list[Any]:
        spec = spec_from_file_location("whoholds_duckdb", PLUGINS / "duckdb" / "whoholds_duckdb.py")
        assert spec is not None
        assert spec.loader is not None
        plugin = module_from_spec(spec)
        spec.loader.exec_module(plugin)
        return [plugin.watch]

    @property
    def where(self) -> str:
        return f"duckdb:///{self.path}"

    def write(self, connection: Any) -> Any:
        connection.begin()
        return super().write(connection)


ALL: tuple[type[Library], ...] = (
    DuckDB,
    Sqlite,
    Psycopg2,
    Psycopg,
    PsycopgAsync,
    Asyncpg,
    Aiopg,
    Aiosqlite,
    PyMySQL,
    Aiomysql,
    Asyncmy,
    MySQLdb,
    MariaDB,
    MySQLConnectorPure,
    MySQLConnectorC,
    Pg8000,
    Pyodbc,
    Aioodbc,
)
