"""Libraries without a driver of their own, as `WHOHOLDS_WATCH` takes them: each row of docs/libraries.md that says so."""

from __future__ import annotations

import asyncio
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.needs import needed
from whoholds.drivers import table
from whoholds.drivers.generic import driver_for
from whoholds.ledger.ledger import Ledger
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once
PAGE = (Path(__file__).parents[2] / "docs" / "libraries.md").read_text(encoding="utf-8")
NOBODY: dict[str, dict[str, Any]] = {  # nobody listens on port 1
    "oracledb": {"user": "app", "password": "x", "dsn": "127.0.0.1:1/shop"},
    "pymssql": {"server": "127.0.0.1", "port": 1, "user": "app", "password": "x", "login_timeout": 2},
    "trino.dbapi": {"host": "127.0.0.1", "port": 1, "user": "app", "max_attempts": 1},
    "libsql": {"database": "/no/such/folder/x.db"},
    "psqlpy": {"host": "127.0.0.1", "port": 1, "username": "app", "db_name": "shop"},
    "duckdb": {"database": "/no/such/folder/x.db"},
}


def started(name: str) -> tuple[Any, Watch]:
    """Give the module, and a watch of it that nobody looks at but the test."""
    needed(name.partition(".")[0])
    module = import_module(name)
    return module, Watch(ledger=Ledger(), detectors=(), drivers=[driver_for(module)])


def refusal(module: Any, arguments: dict[str, Any]) -> tuple[type, str]:
    """Give the class and the text of the error, without what differs from one try to the next."""

    async def program() -> None:
        connection = module.connect(**arguments)
        if inspect.isawaitable(connection):
            connection = await connection
        connection.cursor().execute("SELECT 1")  # Trino's connects only now

    with pytest.raises(Exception) as raised:  # noqa: PT011 - each library's own
        asyncio.run(program())
    return raised.type, re.sub(r"0x[0-9a-f]+|CONNECTION_ID=\S+", "", str(raised.value))


@pytest.mark.parametrize("name", NOBODY)
def test_its_refusal_is_the_same_when_nobody_is_there(name: str) -> None:
    """The class and the words of the error; and nothing is open."""
    module, watch = started(name)
    bare = refusal(module, NOBODY[name])
    with watch:
        assert not watch.failed
        assert refusal(module, NOBODY[name]) == bare
        assert [handle for handle in watch.handles if name != "trino.dbapi"] == []


@pytest.fixture(params=["duckdb", "libsql"])
def embedded(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Watch]]:
    """Give a library that needs no server, and its watch."""
    module, watch = started(request.param)
    with watch:
        yield module, watch


def test_short_cuts_on_a_connection_are_uses(embedded: tuple[Any, Watch], tmp_path: Path) -> None:
    """`connection.execute()`, and DuckDB's `sql` and `query`: no cursor is asked for."""
    module, watch = embedded
    connection = module.connect(str(tmp_path / "shop.db"))
    (handle,) = watch.handles
    for number, name in enumerate(("execute", "sql", "query"), 1):
        if hasattr(connection, name):
            assert getattr(connection, name)(f"SELECT {number}").fetchall() == [(number,)]
            assert handle.statements[-1][0] == f"SELECT {number}"
    assert handle.uses
    connection.close()
    assert (handle.how, watch.handles) == ("closed", [])


def test_a_connect_in_c_is_no_method_where_it_is_an_attribute_of_a_class(
    embedded: tuple[Any, Watch], tmp_path: Path
) -> None:
    """As a C function it is not bound, and it is shown as what it was."""
    module, watch = embedded
    bare = repr(inspect.unwrap(module.connect))

    class Shop:
        connect = module.connect

    connection = Shop().connect(str(tmp_path / "shop.db"))
    (handle,) = watch.handles
    connection.close()
    assert not handle.open
    assert repr(module.connect) == bare
    assert not inspect.isfunction(module.connect)


def test_a_library_whose_calls_are_awaited_and_do_not_say_so(postgres: str) -> None:
    """psqlpy, in Rust: what is to come has no `__iter__`, and whether a connection is in use cannot be known."""
    module, watch = started("psqlpy")
    at = urlsplit(postgres)

    async def program() -> None:
        connection = await module.connect(host=at.hostname, port=at.port, username=at.username, db_name=at.path[1:])
        (handle,) = watch.handles
        assert (await connection.fetch("SELECT 1 AS one")).result() == [{"one": 1}]
        assert not handle.uses
        assert handle.caller  # somebody may be inside: no rule calls it idle
        connection.close()
        assert watch.handles == []

    with watch:
        asyncio.run(program())


@pytest.mark.parametrize("name", sorted({*(name.partition(".")[0] for name in table.DRIVERS), *table.WAKES}))
def test_each_library_has_a_row_in_the_documentation(name: str) -> None:
    """By the name under which it is installed or imported, or, for a submodule, by the first part of it."""
    known = {"MySQLdb": "mysqlclient", "mysql": "mysql-connector-python", "psycopg": "psycopg 3", "playhouse": "peewee"}
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| ")).lower()
    assert f"{known.get(name, name)}".lower() in rows


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DRIVER={ODBC Driver 18 for SQL Server};SERVER=tcp:db.example,1434;DATABASE=shop;UID=app;PWD={a;b=c}", "microsoft.sql_server://app@db.example:1434/shop"),
        ("Driver=FreeTDS;Server=db\\sales;Database=shop;uid=app;pwd=x", "microsoft.sql_server://app@db/shop"),
        ("DRIVER=PostgreSQL Unicode;Servername=db;Port=5433;Database=shop;Username=app;Password=x", "postgresql://app@db:5433/shop"),
        ("DSN=warehouse;UID=app;PWD=x", "other_sql://app@/warehouse"),
        ("DRIVER=SQLite3;Database=/srv/shop.db", "sqlite:////srv/shop.db"),
    ],
)  # fmt: skip
def test_an_odbc_connection_string_names_the_database_and_no_password(text: str, shown: str) -> None:
    """As Microsoft's, FreeTDS's, PostgreSQL's and SQLite's drivers are told."""
    from whoholds.drivers._odbc import target

    assert str(target((text,), {})) == shown
    assert str(target(("DRIVER=SQLite3",), {"database": "a.db", "autocommit": True})) == "sqlite:///a.db"
