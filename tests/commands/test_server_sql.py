"""`whoholds server --print-sql`: the views in real servers say what the command says."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import servers
from tests.conftest import _installed
from tests.needs import needed
from whoholds.commands.cli import main
from whoholds.servers.state import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path(__file__).parents[2] / "examples" / "observability"
NAMES = (
    "shop.py: shop/cars.py:42 load_cars",
    "a: b: cars.py:3 load",
    "ipykernel: Cell In[3], line 2 <module>",
    "nightly: my jobs/cars.py:12 <lambda>",
    "cron",
    "x: y",
    "psql: x:y z",
    "shop.py: cars.py:3 load cars",
    "shop.py:  cars.py:3 load",
    "shop.py: :3 load",
)
LINES = "SELECT program, opened FROM whoholds_connections WHERE pid <> {}"
SLOTS = "SELECT opened, state, held, hosts FROM whoholds_slots WHERE opened = 'shop/cars.py:42 in load_cars' ORDER BY 2"
# As the README of examples/observability writes it: one series for all that have no line.
TOGETHER = """
SELECT CASE WHEN opened = '' THEN '' ELSE program END AS program, opened, state, sum(held) AS held
FROM whoholds_slots GROUP BY 1, 2, 3
"""
ALLOWED = " - ".join(
    f"current_setting('{name}', true)::int" for name in ("max_connections", "superuser_reserved_connections")
)


def by_the_command() -> list[tuple[str, str]]:
    """Program and opening line of each of the names, as the command reads them."""
    sessions = [Session(1, name, "", "", "", "", None, None) for name in NAMES]
    return sorted((session.program, session.line) for session in sessions)


@pytest.fixture
def mariadb() -> Iterator[servers.MySQLArguments]:
    """Give a MariaDB that keeps the attributes of its connections, for its administrator."""
    with _installed(servers.mariadb(settings={"performance_schema": "ON"})) as arguments:
        yield {**arguments, "user": "root"}


def test_the_readme_has_that_query() -> None:
    """It is indented there."""
    readme = " ".join((SHIPPED / "README.md").read_text(encoding="utf-8").split())
    assert " ".join(TOGETHER.split()) in readme


@pytest.mark.parametrize("system", ["postgresql", "mysql"])
def test_the_shipped_views_are_what_the_command_prints(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks no server: there is none at that address."""
    assert main(["server", f"{system}://127.0.0.1:1/shop", "--print-sql"]) == 0
    assert capsys.readouterr().out == (SHIPPED / f"views_{system}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--json", "--watch"])
def test_the_views_are_sql_and_no_json(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that would change nothing is refused."""
    assert main(["server", "postgresql://127.0.0.1:1/shop", "--print-sql", option]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "whoholds: --print-sql prints SQL, once: it takes no --json and no --watch\n")


def test_there_are_views_for_two_systems_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "sqlite:///cars.db", "--print-sql"]) == 2
    assert "only PostgreSQL and MySQL can be asked" in capsys.readouterr().err


def test_postgresql(postgres: str) -> None:
    """Its views split a name as the command does, and count by line and state."""
    psycopg2 = needed("psycopg2")
    with ExitStack() as end:
        asking = end.enter_context(closing(psycopg2.connect(postgres)))
        cursor = asking.cursor()
        cursor.execute((SHIPPED / "views_postgresql.sql").read_text())  # and is never committed
        for name in NAMES:
            end.enter_context(closing(psycopg2.connect(postgres, application_name=name)))
        busy = end.enter_context(closing(psycopg2.connect(postgres, application_name=NAMES[0])))
        busy.cursor().execute("SELECT 1")
        cursor.execute(f"{LINES.format('pg_backend_pid()')} AND pid <> {busy.info.backend_pid}")
        assert set(by_the_command()) <= set(cursor.fetchall())
        cursor.execute(TOGETHER)
        assert max(held for program, _, state, held in cursor.fetchall() if (program, state) == ("", "idle")) >= 6
        cursor.execute(SLOTS)
        line = "shop/cars.py:42 in load_cars"
        assert cursor.fetchall() == [(line, "idle", 1, 1), (line, "idle in transaction", 1, 1)]
        cursor.execute(f"SELECT allowed = {ALLOWED} FROM whoholds_allowed")
        assert cursor.fetchone() == (True,)


def test_mariadb(mariadb: servers.MySQLArguments) -> None:
    """The same there."""
    pymysql = needed("pymysql")
    with ExitStack() as end:
        asking = end.enter_context(closing(pymysql.connect(**mariadb)))
        cursor = asking.cursor()
        for statement in (SHIPPED / "views_mysql.sql").read_text().split(";\n"):
            if statement.strip():
                cursor.execute(statement)
        for name in NAMES:
            end.enter_context(closing(pymysql.connect(**mariadb, program_name=name)))
        busy = end.enter_context(closing(pymysql.connect(**mariadb, program_name=NAMES[0])))
        busy.cursor().execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        cursor.execute(f"{LINES.format('connection_id()')} AND pid <> {busy.thread_id()}")
        assert sorted(cursor.fetchall()) == by_the_command()
        cursor.execute(TOGETHER)
        assert max(held for program, _, state, held in cursor.fetchall() if (program, state) == ("", "idle")) >= 6
        cursor.execute(SLOTS)
        line = "shop/cars.py:42 in load_cars"
        assert cursor.fetchall() == ((line, "idle", 1, 1), (line, "idle in transaction", 1, 1))
