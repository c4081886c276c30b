"""The servers that the other tests stand on: they start, refuse as asked, and are gone afterwards."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests import servers
from tests.needs import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

UNREACHABLE = "postgresql://postgres@127.0.0.1:9/postgres"


def _refusal(dsn: str) -> tuple[int, str]:
    """Open connections until one is refused: how many there were, and what the server said."""
    with ExitStack() as connections:
        for opened in range(200):
            try:
                connections.enter_context(closing(psycopg2.connect(dsn)))
            except psycopg2.OperationalError as refused:
                return opened, str(refused)
    pytest.fail("nothing was refused")


@pytest.fixture
def small() -> Iterator[str]:
    """Give the URL of a PostgreSQL with three connections, none of them reserved."""
    with servers.postgres(max_connections=3, reserved=0, password="it's a: secret/") as dsn:
        yield dsn


def test_postgres_refuses_beyond_its_limit(small: str) -> None:
    """With nothing reserved the fourth of three connections hears "too many clients"."""
    opened, said = _refusal(small)
    assert opened == 3
    assert "sorry, too many clients already" in said


def test_postgres_reserves_connections_for_its_superuser() -> None:
    """An ordinary role gets max_connections less the reserved ones."""
    with servers.postgres(max_connections=6, reserved=2, user="app", database="shop") as dsn:
        opened, said = _refusal(dsn)
    assert opened == 4
    assert "remaining connection slots are reserved" in said


def test_postgres_is_gone_after_its_block() -> None:
    """The server ends with the block, and its port is closed."""
    with servers.postgres() as dsn:
        port = urlsplit(dsn).port
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres")


def test_another_server_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """WHOHOLDS_TEST_PG_DSN stands for the server that nobody asked anything special of."""
    monkeypatch.setenv("WHOHOLDS_TEST_PG_DSN", UNREACHABLE)
    with servers.postgres() as dsn:
        assert dsn == UNREACHABLE


def test_pgbouncer_lends_the_servers_connections(pgbouncer: str) -> None:
    """A query goes through in either pool mode."""
    with closing(psycopg2.connect(pgbouncer)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_mariadb_answers(mariadb: servers.MySQLArguments) -> None:
    """`app` may make tables in its database."""
    pymysql = needed("pymysql")
    with closing(pymysql.connect(**mariadb)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE answers (answer int)")
        cursor.execute("INSERT INTO answers VALUES (42)")
        cursor.execute("SELECT answer FROM answers")
        assert cursor.fetchone() == (42,)
