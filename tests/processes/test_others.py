"""WHOHOLDS_ASK_SERVER=1: who else holds the connections of a server that refuses one, in the finding itself."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests import servers
from tests.conftest import _installed
from tests.needs import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.programs import Programs

pytestmark = pytest.mark.once

LINE = "shop.py: shop/cars.py:42 load_cars"
SLOTS = 10
PROGRAM = """
import os, sys, psycopg2
DSN = os.environ["DSN"]
{pool}
try:
    while True:
        kept = kept, psycopg2.connect(DSN)
except psycopg2.OperationalError as error:
    print(error)
print(state(), file=sys.stderr)
"""
POOLS = {
    "sqlalchemy": """
import sqlalchemy
engine = sqlalchemy.create_engine(DSN, pool_size=2)
kept = engine.connect(), engine.connect()
while kept:
    kept[0].close()
    kept = kept[1:]
state = engine.pool.status
""",
    "psycopg_pool": """
import psycopg_pool
pool = psycopg_pool.ConnectionPool(DSN, min_size=2)
pool.wait()
kept = ()
state = lambda: pool.get_stats()["pool_available"]
""",
    "psycopg2.pool": """
import psycopg2.pool
pool = psycopg2.pool.ThreadedConnectionPool(2, 3, DSN)
kept = ()
state = lambda: len(pool._pool)
""",
}
IDLE = {
    "sqlalchemy": "Pool size: 2  Connections in pool: 2 Current Overflow: 0 Current Checked out connections: 0",
    "psycopg_pool": "2",
    "psycopg2.pool": "2",
}


@pytest.fixture(scope="module")
def full() -> Iterator[str]:
    """Give the URL of a PostgreSQL with so few slots that a program soon finds none; others hold four of them."""
    psycopg2 = needed("psycopg2")
    with _installed(servers.postgres(max_connections=SLOTS, reserved=0)) as dsn, ExitStack() as end:
        for name in (LINE, LINE, LINE, "cron"):
            end.callback(psycopg2.connect(dsn, application_name=name).close)
        yield dsn


@pytest.mark.parametrize("library", POOLS)
def test_a_refusal_names_the_largest_groups_of_others(library: str, full: str, program: Programs) -> None:
    """They are asked over a connection that a pool has at home, which has it back afterwards."""
    for module in ("psycopg2", library):
        needed(module)
    ran = program.run(
        PROGRAM.format(pool=POOLS[library]), DSN=full, WHOHOLDS_ASK_SERVER="1", WHOHOLDS_SERVER_LIMIT="20"
    )
    (finding,) = ran.of("finding", "refused")
    report = finding["report"]
    assert "This process holds 6 of the 20 that the server allows; others hold the rest." in report
    named = report[report.index("and named 4 connections of others:") :].splitlines()[1:3]
    assert [line.split(maxsplit=1) for line in named] == [
        ["3", "shop/cars.py:42 in load_cars (shop.py) on 127.0.0.1"],
        ["1", "cron on 127.0.0.1"],
    ]
    assert "Ask the server what they do, with this command or this query:" in report
    assert f"whoholds server {full}" in report
    assert IDLE[library] in ran.err


def test_mariadb_is_asked_too(program: Programs) -> None:
    """By the process list; opening lines where it keeps attributes."""
    pymysql = needed("pymysql")
    needed("sqlalchemy")
    settings: dict[str, servers.Setting] = {"performance_schema": "ON"}
    with _installed(servers.mariadb(max_connections=SLOTS, settings=settings)) as arguments, ExitStack() as end:
        for _ in range(4):
            end.callback(pymysql.connect(**arguments, program_name=LINE).close)
        source = PROGRAM.replace("import os, sys, psycopg2", "import os, sys, pymysql").format(pool=POOLS["sqlalchemy"])
        source = source.replace("psycopg2.connect(DSN)", "pymysql.connect(user='app', port=PORT, host='127.0.0.1')")
        source = source.replace("psycopg2.Op", "pymysql.Op")
        source = source.replace('os.environ["DSN"]', f"'mysql+pymysql://app@127.0.0.1:{arguments['port']}/test'")
        source = source.replace("try:", f"PORT = {arguments['port']}\ntry:")
        ran = program.run(source, WHOHOLDS_ASK_SERVER="1", WHOHOLDS_SERVER_LIMIT="20")
    (finding,) = ran.of("finding", "refused")
    report = " ".join(finding["report"].split())
    assert "and named 4 connections of others: 4 shop/cars.py:42 in load_cars (shop.py) on 127.0.0.1" in report
    assert IDLE["sqlalchemy"] in ran.err


def test_without_a_spare_connection_it_says_that_it_could_not(full: str, program: Programs) -> None:
    """What the program has open itself is never used."""
    ran = program.run(
        PROGRAM.format(pool="kept = ()\nstate = list"), DSN=full, WHOHOLDS_ASK_SERVER="1", WHOHOLDS_SERVER_LIMIT="20"
    )
    (finding,) = ran.of("finding", "refused")
    assert "whoholds could not ask the server who they are: no pool of this process has two idle" in finding["report"]


def test_it_is_off_unless_asked_for(full: str, program: Programs) -> None:
    """The finding has the command, and nothing was asked."""
    needed("psycopg2")
    ran = program.run(PROGRAM.format(pool=POOLS["psycopg2.pool"]), DSN=full, WHOHOLDS_SERVER_LIMIT="20")
    (finding,) = ran.of("finding", "refused")
    assert f"whoholds server {full}" in finding["report"]
    assert "asked at" not in finding["report"]
    assert "could not ask" not in finding["report"]
