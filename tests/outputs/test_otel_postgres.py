"""Spans of statements on a real PostgreSQL, through psycopg2, alone and beside contrib's instrumentation."""

from __future__ import annotations

import asyncio
import io
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from tests.otel_recorder import Tallies, recording
from whoholds.outputs.otel import names

psycopg2 = needed("psycopg2")

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def told() -> Iterator[Tallies]:
    """A watch with psycopg2's driver entered."""
    from whoholds.drivers import psycopg2 as driver

    with recording(spans="queries") as recorder:
        assert recorder.output.statements is not None
        recorder.ledger.on_connect_failed = recorder.output.statements.failed_connect
        recorder.watch.enter(driver.watch)
        yield recorder
        recorder.watch.stop()


def test_the_pools_of_libraries_have_labels_of_their_own(told: Tallies, postgres: str) -> None:
    """Three engines, of which one has a name, two pools of psycopg2 and a named one of psycopg_pool at one server."""
    sqlalchemy, psycopg_pool = needed("sqlalchemy"), needed("psycopg_pool")
    from psycopg2.pool import ThreadedConnectionPool

    from whoholds.drivers import psycopg, psycopg2_pool
    from whoholds.drivers import psycopg_pool as psycopg_pools
    from whoholds.drivers import sqlalchemy as engines

    for driver in (psycopg, psycopg2_pool, psycopg_pools, engines):
        told.watch.enter(driver.watch)
    at = psycopg2.extensions.parse_dsn(postgres)
    label = f"{at['host']}:{at['port']}/{at['dbname']}"
    with ExitStack() as end:
        for size, given in ((4, {}), (5, {}), (6, {"pool_logging_name": "orders"})):
            engine = sqlalchemy.create_engine(
                "postgresql+psycopg2://", creator=lambda: psycopg2.connect(postgres), pool_size=size, **given
            )
            end.callback(engine.dispose)
            engine.connect().close()
        for most in (2, 3):
            end.callback(ThreadedConnectionPool(1, most, postgres).closeall)
        pool = end.enter_context(psycopg_pool.ConnectionPool(postgres, min_size=1, max_size=7, name="cars", open=True))
        pool.wait()
        told.watch.tick()
        sizes = {labels[0]: value for labels, value in told.metrics()[names.MAX].items()}
    assert (sizes.pop("orders"), sizes.pop("cars")) == (16, 7)
    assert set(sizes) == {label, *(f"{label}#{number}" for number in (2, 3, 4))}
    assert sorted(sizes.values()) == [2, 3, 14, 15]


def statements(told: Tallies) -> list[tuple[str, dict[str, Any]]]:
    return [
        (span.name, dict(span.attributes or {})) for span in told.spans if not span.name.startswith(("hold", "process"))
    ]


def test_every_statement_has_a_span(told: Tallies, postgres: str) -> None:
    """Of execute, executemany, callproc and the three kinds of copy, and none of fetch and commit."""
    connection = psycopg2.connect(postgres)
    cursor = connection.cursor()
    cursor.execute("CREATE TEMP TABLE cars (vin text, price int)")
    cursor.executemany("INSERT INTO cars VALUES (%s, %s)", [("a", 1), ("b", 2)])
    cursor.callproc("lower", ("A",))
    cursor.copy_from(io.StringIO("c\t3\n"), "cars")
    cursor.copy_expert("COPY cars TO STDOUT", io.StringIO())
    cursor.execute("SELECT * FROM cars WHERE vin = 'secret'")
    cursor.fetchall()
    connection.commit()
    connection.close()
    found = statements(told)
    assert [name for name, _ in found] == [
        "CREATE TABLE cars",
        "INSERT cars",
        "lower",
        "COPY cars",
        "COPY cars",
        "SELECT cars",
    ]
    assert found[1][1][names.BATCH_SIZE] == 2
    said = found[-1][1]
    assert said[names.SYSTEM] == "postgresql"
    assert said[names.NAMESPACE] == "postgres"
    assert said[names.SERVER] == said[names.PEER] == "127.0.0.1"
    assert said[names.PORT] == said[names.PEER_PORT]
    assert said[names.QUERY_TEXT] == "SELECT * FROM cars WHERE vin = ?"


def test_aiopgs_statements_have_one_span(told: Tallies, postgres: str) -> None:
    """Although psycopg2, whose driver stands here too, runs each of them."""
    aiopg: Any = needed("aiopg")
    from whoholds.drivers import aiopg as driver

    async def main() -> None:
        async with aiopg.connect(postgres) as connection, connection.cursor() as cursor:
            await cursor.execute("SELECT 1")

    told.watch.enter(driver.watch)
    asyncio.run(main())
    assert [name for name, _ in statements(told)].count("SELECT") == 1


def test_an_sqlstate_and_a_refused_connect_are_told(told: Tallies, postgres: str) -> None:
    """42P01 is undefined_table."""
    connection = psycopg2.connect(postgres)
    with pytest.raises(psycopg2.Error):
        connection.cursor().execute("SELECT 1 FROM nowhere")
    connection.close()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(postgres, dbname="nowhere")
    (failed, connect) = statements(told)
    assert failed[1][names.STATUS_CODE] == "42P01"
    assert failed[1][names.ERROR_TYPE] == "psycopg2.errors.UndefinedTable"
    assert connect[0] == "connect nowhere"
    assert connect[1][names.ERROR_TYPE] == "psycopg2.OperationalError"


@pytest.mark.parametrize("first", ["contrib", "whoholds"])
def test_beside_contribs_psycopg2_nothing_is_doubled(postgres: str, first: str) -> None:
    """In either order each statement has one span, and registering adapters still works."""
    contrib = needed("opentelemetry.instrumentation.psycopg2")
    from psycopg2 import extensions

    from whoholds.drivers import psycopg2 as driver

    with recording(spans="queries") as told:
        instrumentor = contrib.Psycopg2Instrumentor()
        if first == "contrib":
            instrumentor.instrument(tracer_provider=told.providers["traces"], skip_dep_check=True)
            told.watch.enter(driver.watch)
        else:
            told.watch.enter(driver.watch)
            instrumentor.instrument(tracer_provider=told.providers["traces"], skip_dep_check=True)
        try:
            connection = psycopg2.connect(postgres)
            cursor = connection.cursor()
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
            extensions.register_type(extensions.UNICODE, connection)
            connection.close()
        finally:
            instrumentor.uninstrument()
            told.watch.stop()
        assert statements(told) == []
        assert len(told.held) == 1
        everything = [span.name for span in told._spans.get_finished_spans() if span.name.startswith("SELECT")]
        assert len(everything) == 1
