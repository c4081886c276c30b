"""WHOHOLDS_TAG: real servers show the program and the line that connected, unless the program named its connection."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from tests import servers
from tests.conftest import _installed
from tests.drivers import libraries as known
from tests.drivers.libraries import Library, maybe
from tests.needs import needed, not_installed
from whoholds.assembling import imported
from whoholds.drivers import _tags as tags
from whoholds.drivers.table import DRIVERS
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.watching.tags import tag
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POSTGRES = (known.Psycopg2, known.Psycopg, known.PsycopgAsync, known.Asyncpg, known.Aiopg, known.Pg8000)
MYSQL = (known.PyMySQL, known.Aiomysql, known.Asyncmy, known.MySQLConnectorPure, known.MySQLConnectorC)
POSTGRES_NAME = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
MYSQL_NAME = (
    "SELECT attr_value FROM performance_schema.session_account_connect_attrs "
    "WHERE processlist_id = connection_id() AND attr_name = 'program_name'"
)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[servers.MySQLArguments]:
    """Give a MariaDB that keeps the attributes of its connections; by default it does not."""
    with _installed(servers.mariadb(settings={"performance_schema": "ON"})) as arguments:
        yield arguments


@pytest.fixture
def tagging() -> Iterator[Callable[..., None]]:
    """Give what starts a Watch that tags, with these modules' drivers; it ends with the test, without a fault of ours."""
    faults.take()
    started: list[Watch] = []

    def start(*drivers: Any) -> None:
        ledger = Ledger()
        ledger.tag = tag
        watch = Watch(ledger=ledger, detectors={}, drivers=drivers)
        started.append(watch.start())
        assert not watch.failed

    yield start
    noted = faults.take()
    for watch in started:
        watch.stop()
    assert noted == []


def named(library: Library, **more: Any) -> str | None:
    """Open a connection, and give the name of it that the server shows."""

    async def ask() -> str | None:
        connection = await maybe(library.connect(**more))
        try:
            rows = await maybe(library.run(connection, POSTGRES_NAME if library.system == "postgresql" else MYSQL_NAME))
            return rows[0][0] if rows else None
        finally:
            await maybe(library.close(connection))

    answer: str | None = library.go(ask())
    return answer


def made(kind: type[Library], request: pytest.FixtureRequest) -> Library:
    if not kind.there():
        not_installed(kind.part or kind.module)
    return kind(request.getfixturevalue(kind.fixture))


@pytest.mark.parametrize("kind", [*POSTGRES, *MYSQL], ids=lambda kind: kind.name)
def test_the_server_shows_the_line(
    kind: type[Library], request: pytest.FixtureRequest, tagging: Callable[..., None]
) -> None:
    """Without the setting, it shows the library's own name."""
    library = made(kind, request)
    bare = named(library)
    tagging(*library.drivers())
    assert re.search(r": (\S*/)?libraries\.py:\d+ connect$", named(library) or "")
    assert bare in ("", None)


def own_names(kind: type[Library], at: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Give the ways in which a program names its connections `mine`: where it connects to, and further arguments."""
    if kind in (known.Psycopg2, known.Psycopg, known.PsycopgAsync, known.Aiopg):
        yield f"{at}?application_name=mine", {}
        yield f"{at}?fallback_application_name=mine", {}
        yield at, {"application_name": "mine"}
        yield at, {"options": "-c application_name=mine"}
        url = urlsplit(at)
        yield f"host={url.hostname} port={url.port} user=postgres dbname=postgres application_name = 'mine'", {}
    elif kind is known.Asyncpg:
        yield f"{at}?application_name=mine", {}
        yield at, {"server_settings": {"application_name": "mine"}}
    elif kind is known.Pg8000:
        yield at, {"application_name": "mine"}
        yield at, {"startup_params": {"application_name": "mine"}}
    elif kind in (known.PyMySQL, known.Aiomysql, known.Asyncmy):
        yield at, {"program_name": "mine"}
    else:
        yield at, {"conn_attrs": {"program_name": "mine"}}


@pytest.mark.parametrize("kind", [*POSTGRES, *MYSQL], ids=lambda kind: kind.name)
def test_what_the_program_named_stays(
    kind: type[Library], request: pytest.FixtureRequest, tagging: Callable[..., None]
) -> None:
    library = made(kind, request)
    tagging(*library.drivers())
    for at, arguments in own_names(kind, library.at):
        library.at = at
        if kind is known.Pg8000 and "startup_params" in arguments:
            pg8000_takes = library.api.core.CoreConnection.__init__.__wrapped__.__code__.co_varnames
            if "startup_params" not in pg8000_takes:
                continue
        assert named(library, **arguments) == "mine", (at, arguments)


@pytest.mark.parametrize("kind", [known.Psycopg2, known.Psycopg], ids=lambda kind: kind.name)
def test_what_the_environment_and_the_service_file_name_stays(
    kind: type[Library],
    request: pytest.FixtureRequest,
    tagging: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """libpq itself prefers each of them to a fallback."""
    library = made(kind, request)
    tagging(*library.drivers())
    with monkeypatch.context() as environment:
        environment.setenv("PGAPPNAME", "mine")
        assert named(library) == "mine"
    with monkeypatch.context() as environment:
        environment.setenv("PGOPTIONS", "-c application_name=mine")
        assert named(library) == "mine"
    services = tmp_path / "services.conf"
    services.write_text("[shop]\napplication_name=mine\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    library.at += "?service=shop"
    assert named(library) == "mine"


@pytest.mark.parametrize("kind", [known.Psycopg2, known.Psycopg], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "wrong", ["not a dsn", "postgresql://a:b:c@[/", "host='x", "nonsense=1", "port=x host=127.0.0.1"]
)
def test_a_malformed_string_is_refused_in_the_same_words(
    kind: type[Library], wrong: str, request: pytest.FixtureRequest, tagging: Callable[..., None]
) -> None:
    library = made(kind, request)
    library.at = wrong

    def refusal() -> str:
        with pytest.raises(library.api.Error) as raised:
            library.connect()
        return str(raised.value)

    bare = refusal()
    tagging(*library.drivers())
    assert refusal() == bare


def test_what_a_role_was_given_gives_way(postgres: str, tagging: Callable[..., None]) -> None:
    """A client cannot know of it."""
    psycopg2 = needed("psycopg2")

    def shown() -> str:
        connection = psycopg2.connect(postgres.replace("//postgres@", "//tagged@"))
        cursor = connection.cursor()
        cursor.execute("SHOW application_name")
        (name,) = cursor.fetchone()
        connection.close()
        return str(name)

    connection = psycopg2.connect(postgres)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE ROLE tagged LOGIN")
    cursor.execute("ALTER ROLE tagged SET application_name = 'of the role'")
    try:
        assert shown() == "of the role"
        tagging(*known.Psycopg2.drivers())
        assert shown().endswith("shown")
    finally:
        cursor.execute("DROP ROLE tagged")
        connection.close()


def test_only_the_name_differs(postgres: str, tagging: Callable[..., None]) -> None:
    """Nothing else differs that psycopg2 tells about its connection."""
    psycopg2 = needed("psycopg2")

    def told(dsn: str) -> tuple[str, dict[str, str]]:
        connection = psycopg2.connect(dsn)
        connection.close()
        return connection.dsn, psycopg2.extensions.parse_dsn(connection.dsn)

    before = told(postgres)
    tagging(*known.Psycopg2.drivers())
    dsn, parameters = told(postgres)
    assert dsn.startswith(f"{before[0]}?fallback_application_name=")
    assert parameters.pop("fallback_application_name").endswith("told")
    assert parameters == before[1]


@pytest.mark.parametrize("kind", POSTGRES, ids=lambda kind: kind.name)
def test_no_statement_is_added_or_changed(
    kind: type[Library], postgres: str, request: pytest.FixtureRequest, tagging: Callable[..., None]
) -> None:
    """The server has got the same last statement after the connect, and the program's own without a comment."""
    psycopg2 = needed("psycopg2")
    library = made(kind, request)
    looking = psycopg2.connect(postgres)
    looking.autocommit = True
    cursor = looking.cursor()

    def statements() -> dict[int, str]:
        cursor.execute("SELECT pid, query FROM pg_stat_activity WHERE datid IS NOT NULL AND pid <> pg_backend_pid()")
        return dict(cursor.fetchall())

    async def sent() -> list[str]:
        before = statements()
        connection = await maybe(library.connect())
        after = statements()
        (own,) = after.keys() - before.keys()
        await maybe(library.run(connection, "SELECT 42"))
        last = statements()[own]
        await maybe(library.close(connection))
        return [after[own], last]

    bare = library.go(sent())
    tagging(*library.drivers())
    assert library.go(sent()) == bare
    assert bare[1] == "SELECT 42"
    looking.close()


@pytest.mark.parametrize("kind", [known.Psycopg2, known.Asyncpg], ids=lambda kind: kind.name)
def test_through_pgbouncer(kind: type[Library], pgbouncer: str, tagging: Callable[..., None]) -> None:
    """PgBouncer takes the name in both of its modes, and shows it to the server."""
    if not kind.there():
        not_installed(kind.part or kind.module)
    library = kind(pgbouncer)
    tagging(*library.drivers())
    if kind is known.Asyncpg:  # its prepared statements are another matter
        assert "libraries.py" in (named(library, statement_cache_size=0) or "")
    else:
        assert "libraries.py" in (named(library) or "")


def drivers_of(*modules: str) -> list[Any]:
    for module in modules:
        needed(module)
    return [imported(DRIVERS[module]) for module in modules]


def line_of_pool(name: str) -> str:
    """Give the function in a connection's name: the pool's and not the borrower's is expected."""
    return name.rpartition(" ")[2]


def test_a_pools_connection_carries_the_pools_line_psycopg_pool(postgres: str, tagging: Callable[..., None]) -> None:
    """Its connections are opened by worker threads."""
    tagging(*drivers_of("psycopg", "psycopg_pool"))
    from psycopg_pool import ConnectionPool

    def makes_it() -> Any:
        return ConnectionPool(postgres, min_size=1, max_size=2, open=True)

    with makes_it() as pool, pool.connection() as first, pool.connection() as second:
        for connection in (first, second):
            assert line_of_pool(connection.execute(POSTGRES_NAME).fetchone()[0]) == "makes_it"


def test_a_pools_connection_carries_the_pools_line_psycopg2(postgres: str, tagging: Callable[..., None]) -> None:
    """The second connection is opened while somebody borrows."""
    tagging(*drivers_of("psycopg2", "psycopg2.pool"))
    from psycopg2.pool import SimpleConnectionPool

    def makes_it() -> Any:
        return SimpleConnectionPool(1, 2, postgres)

    pool = makes_it()
    for connection in (pool.getconn(), pool.getconn()):
        cursor = connection.cursor()
        cursor.execute(POSTGRES_NAME)
        assert line_of_pool(cursor.fetchone()[0]) == "makes_it"
    pool.closeall()


def test_a_pools_connection_carries_the_pools_line_sqlalchemy(postgres: str, tagging: Callable[..., None]) -> None:
    """A NullPool's carries the borrower's, for nothing else will ever hold it."""
    tagging(*drivers_of("psycopg2", "sqlalchemy"))
    import sqlalchemy

    def makes_it(**arguments: Any) -> Any:
        return sqlalchemy.create_engine(postgres.replace("postgresql:", "postgresql+psycopg2:"), **arguments)

    for engine, line in (
        (makes_it(), "makes_it"),
        (makes_it(poolclass=sqlalchemy.pool.NullPool), "test_a_pools_connection_carries_the_pools_line_sqlalchemy"),
    ):
        with engine.connect() as connection:
            name = connection.execute(sqlalchemy.text(POSTGRES_NAME)).scalar_one()
        engine.dispose()
        assert line.startswith(line_of_pool(name))
        assert line_of_pool(name)


def test_a_pools_connection_carries_the_pools_line_async(postgres: str, tagging: Callable[..., None]) -> None:
    """asyncpg's, aiopg's and SQLAlchemy's over asyncpg."""
    tagging(*drivers_of("psycopg2", "asyncpg", "aiopg", "sqlalchemy"))
    import aiopg
    import asyncpg
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    async def makes_asyncpgs() -> Any:
        return await asyncpg.create_pool(postgres, min_size=0, max_size=1)

    def makes_an_engine() -> Any:
        return create_async_engine(postgres.replace("postgresql:", "postgresql+asyncpg:"))

    async def makes_aiopgs() -> Any:
        return await aiopg.create_pool(postgres, minsize=0, maxsize=1)

    async def names() -> list[str]:
        found = []
        pool = await makes_asyncpgs()
        async with pool.acquire() as connection:
            found.append(await connection.fetchval(POSTGRES_NAME))
        await pool.close()
        engine = makes_an_engine()
        async with engine.connect() as connection:
            found.append((await connection.execute(sqlalchemy.text(POSTGRES_NAME))).scalar_one())
        await engine.dispose()
        async with await makes_aiopgs() as aiopgs, aiopgs.acquire() as connection:
            cursor = await connection.cursor()
            await cursor.execute(POSTGRES_NAME)
            found.append((await cursor.fetchone())[0])
            cursor.close()
        return [line_of_pool(name) for name in found]

    assert asyncio.run(names()) == ["makes_asyncpgs", "makes_an_engine", "makes_aiopgs"]


@pytest.mark.parametrize("name", ["aiomysql", "asyncmy"])
def test_a_mysql_pools_connection_carries_the_pools_line(
    name: str, mariadb: servers.MySQLArguments, tagging: Callable[..., None]
) -> None:
    """Though it is the borrower's task that connects."""
    library = needed(name)
    tagging(*drivers_of(name))
    at = {"db" if (key, name) == ("database", "aiomysql") else key: value for key, value in mariadb.items()}

    async def makes_a_pool() -> Any:
        return await library.create_pool(minsize=0, maxsize=1, **at)

    async def ask() -> str:
        async with await makes_a_pool() as pool, pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(MYSQL_NAME)
            return str((await cursor.fetchone())[0])

    assert line_of_pool(asyncio.run(ask())) == "makes_a_pool"


def test_without_the_setting_nothing_stands_in_the_way() -> None:
    """Each wrapper gives the library's own function back."""
    ledger = Ledger()

    def connect() -> None:
        raise AssertionError

    assert tags.in_dsn(connect, ledger) is connect
    assert tags.in_keywords(connect, ledger) is connect
    assert tags.in_server_settings(connect, ledger) is connect
    assert tags.in_constructor(connect, ledger) is connect
    assert tags.in_attributes(connect, ledger, "attributes") is connect
    assert tags.for_pool(connect, ledger, lambda _: None) is connect


@pytest.mark.parametrize("name", ["shop.py: cars.py:42 load", "a'b\\c: x.py:1 f", "50%: x.py:1 f&g=h"])
def test_a_name_in_a_connection_string_is_quoted(name: str) -> None:
    """The string may have either form, or be empty."""
    parse = needed("psycopg2").extensions.parse_dsn
    for dsn in ("", "host=there user=me", "postgresql://me@there/shop", f"postgres://there/?user={quote('m e')}"):
        parsed = parse(tags.with_name(dsn, name))
        assert parsed.pop("fallback_application_name") == name
        assert parsed == (parse(dsn) if dsn else {})


def test_attributes_that_leave_little_room_stay_as_they_are(
    mariadb: servers.MySQLArguments, tagging: Callable[..., None]
) -> None:
    """mysql-connector's pure form cannot send more than 255 bytes of them, and the program's own come first."""
    if not known.MySQLConnectorPure.there():
        not_installed("mysql.connector")
    library = known.MySQLConnectorPure(mariadb)
    tagging(*library.drivers())
    assert re.search(r"libraries\.py:\d+ connect$", named(library, conn_attrs={"shop": "x" * 40}) or "")
    given = {"shop": "x" * 80}
    assert named(library, conn_attrs=given) is None
    assert "program_name" not in given
