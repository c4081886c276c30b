"""`WHOHOLDS_SPANS=queries`: a span and a duration for each statement, by the stable database conventions."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from tests.otel_recorder import Tallies, recording
from whoholds.drivers import sqlite
from whoholds.ledger.database import database
from whoholds.outputs.otel import names
from whoholds.outputs.otel.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

PG = database("postgresql", "app", "db.example", 5432, "shop")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tallies]:
    """A watch with sqlite3's driver entered, and a database at hand."""
    monkeypatch.chdir(tmp_path)
    with recording(spans="queries") as recorder:
        assert recorder.output.statements is not None
        recorder.ledger.on_connect_failed = recorder.output.statements.failed_connect
        recorder.watch.enter(sqlite.watch)
        yield recorder
        recorder.watch.stop()


def statements(told: Tallies) -> list[ReadableSpan]:
    return [span for span in told.spans if not span.name.startswith(("hold", "process"))]


def shown(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_statement_has_a_span_by_the_conventions(told: Tallies) -> None:
    """Name and summary, text without literals, kind client, true times, below the current span."""
    connection = sqlite3.connect("shop.db")
    connection.execute("CREATE TABLE cars (vin, price)")
    with told.tracer.start_as_current_span("GET /cars") as request:
        before = time.time_ns()
        connection.execute("SELECT price FROM cars WHERE vin = 'secret' AND price > 100")
        after = time.time_ns()
    span = statements(told)[-1]
    assert span.name == "SELECT cars"
    assert span.kind is SpanKind.CLIENT
    assert span.parent == request.get_span_context()
    assert before <= span.start_time <= span.end_time <= after
    said = shown(span)
    assert said[names.SYSTEM] == "sqlite"
    assert said[names.NAMESPACE].endswith("shop.db")
    assert said[names.QUERY_SUMMARY] == "SELECT cars"
    assert said[names.QUERY_TEXT] == "SELECT price FROM cars WHERE vin = ? AND price > ?"
    connection.close()


@pytest.mark.parametrize("parameters", [("secret",), {"a": "secret"}, ()], ids=str)
def test_parameters_do_not_make_a_literal_harmless(told: Tallies, parameters: object) -> None:
    """Neither some nor an empty tuple; and parameters are never shown."""
    connection = sqlite3.connect("shop.db")
    mark = {tuple: "?", dict: ":a"}[type(parameters)] if parameters else "'secret'"
    connection.execute(f"SELECT 'secret', {mark}", parameters)
    (span,) = statements(told)
    assert shown(span)[names.QUERY_TEXT].startswith("SELECT ?, ")
    assert "secret" not in str(shown(span))
    connection.close()


def test_what_is_no_statement_is_not_shown(told: Tallies) -> None:
    """Whatever a program hands to `execute`: only its failure is told."""
    connection = sqlite3.connect("shop.db")
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("postgresql://app:secret@h/shop")
    (span,) = statements(told)
    assert names.QUERY_TEXT not in shown(span)
    assert "secret" not in span.name + str(shown(span))
    connection.close()


@pytest.mark.parametrize(
    ("method", "args", "name", "wanted"),
    [
        ("execute", ("SELECT * FROM cars",), "SELECT cars", {}),
        ("execute", ("",), "shop", {}),
        ("execute", ("  -- nothing\n",), "shop", {}),
        ("execute", (b"DELETE FROM cars",), "DELETE cars", {}),
        ("execute", (None,), "shop", {}),
        ("executemany", ("INSERT INTO cars VALUES (%s)", [(1,), (2,)]), "INSERT cars", {names.BATCH_SIZE: 2}),
        ("executemany", ("INSERT INTO cars VALUES (%s)", [(1,)]), "INSERT cars", {}),
        ("callproc", ("refresh_cars", (1,)), "refresh_cars", {names.PROCEDURE: "refresh_cars"}),
        ("copy_from", (object(), "cars"), "COPY cars", {names.COLLECTION: "cars", names.OPERATION: "COPY"}),
        ("copy_expert", ("COPY cars FROM STDIN", object()), "COPY cars", {}),
    ],
)
def test_every_way_of_saying_it_is_named(method: str, args: tuple[Any, ...], name: str, wanted: dict[str, Any]) -> None:
    """The summary, else the target; collections and operations are never read out of the text."""
    with recording(spans="queries") as told:
        assert told.output.statements is not None
        told.output.statements.statement(told.open(where=PG), method, args, {}, 1, 2, None)
        (span,) = told.spans
        said = shown(span)
        assert span.name == name
        assert {
            key: said.get(key) for key in (names.BATCH_SIZE, names.PROCEDURE, names.COLLECTION, names.OPERATION)
        } == {
            names.BATCH_SIZE: None,
            names.PROCEDURE: None,
            names.COLLECTION: None,
            names.OPERATION: None,
            **wanted,
        }
        assert said[names.SERVER] == "db.example"
        assert names.PORT not in said


def test_executemany_consumes_nothing(told: Tallies) -> None:
    """An iterator of parameters reaches the driver whole."""
    connection = sqlite3.connect("shop.db")
    connection.execute("CREATE TABLE cars (vin)")
    connection.executemany("INSERT INTO cars VALUES (?)", iter([(1,), (2,), (3,)]))
    assert connection.execute("SELECT count(*) FROM cars").fetchone() == (3,)
    assert names.BATCH_SIZE not in shown(statements(told)[1])
    connection.close()


def test_a_failed_statement_says_how_and_not_what(told: Tallies) -> None:
    """The kind of error and the server's code; a message may quote a literal."""
    connection = sqlite3.connect("shop.db")
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("SELECT secret FROM nowhere")
    (span,) = statements(told)
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert shown(span)[names.ERROR_TYPE] == "sqlite3.OperationalError"
    if hasattr(sqlite3, "SQLITE_ERROR"):
        assert shown(span)[names.STATUS_CODE] == "SQLITE_ERROR"
    connection.close()


def test_an_sqlstate_is_told() -> None:
    """As psycopg2 and psycopg keep it."""

    class ViolationError(Exception):
        pgcode = "23505"

    with recording(spans="queries") as told:
        assert told.output.statements is not None
        told.output.statements.statement(told.open(), "execute", ("SELECT 1",), {}, 1, 2, ViolationError())
        assert shown(told.spans[0])[names.STATUS_CODE] == "23505"


def test_a_failed_connect_has_a_span(told: Tallies) -> None:
    """One that succeeds has the span of what was held."""
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect("nowhere/shop.db")
    (span,) = statements(told)
    assert span.name.startswith("connect ")
    assert span.status.status_code is StatusCode.ERROR
    assert names.DURATION not in told.metrics()


def test_the_duration_is_a_histogram_with_the_advised_buckets(told: Tallies) -> None:
    """By system, database, server and error; never by statement."""
    connection = sqlite3.connect("shop.db")
    connection.execute("SELECT 1")
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("SELECT nothing")
    found = told.metrics()[names.DURATION]
    assert [point.count for point in found.values()] == [1, 1]
    assert all(tuple(point.explicit_bounds) == names.DURATION_BUCKETS for point in found.values())
    connection.close()


def test_shortcuts_and_nested_calls_are_one_span(told: Tallies) -> None:
    """`Connection.execute` makes a cursor and executes: that is one statement."""
    connection = sqlite3.connect("shop.db")
    connection.execute("SELECT 1")
    connection.executescript("SELECT 2")
    assert len(statements(told)) == 2
    connection.close()


def test_a_statement_in_a_spawned_thread_is_in_the_trace(told: Tallies) -> None:
    """Of the span that was current where the thread was started."""

    def load() -> None:
        connection = sqlite3.connect("shop.db")
        connection.execute("SELECT 1")
        connection.close()

    with told.tracer.start_as_current_span("GET /report") as request:
        thread = threading.Thread(target=load)
        thread.start()
        thread.join()
    assert statements(told)[0].parent == request.get_span_context()


def test_unsampled_and_suppressed_statements_have_no_span(told: Tallies) -> None:
    """A duration the first has all the same."""
    connection = sqlite3.connect("shop.db")
    with trace.use_span(NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0)))):
        connection.execute("SELECT 1")
    with suppress_instrumentation():
        connection.execute("SELECT 1")
    assert statements(told) == []
    assert [point.count for point in told.metrics()[names.DURATION].values()] == [1]
    connection.close()


def test_a_huge_statement_costs_no_more_than_a_short_one() -> None:
    """Only its first 4096 characters are looked at."""
    huge = "INSERT INTO cars VALUES " + "(1, 'x')," * 1_000_000
    made = Statements(lambda _: None)
    began = time.perf_counter()
    for _ in range(20):
        _, said = made._shape(PG, "execute", (huge,), {})
    assert time.perf_counter() - began < 0.2
    assert len(said[names.QUERY_TEXT]) < 5000
    assert len(said[names.QUERY_SUMMARY]) <= 255


def test_after_the_watch_it_is_quiet(told: Tallies) -> None:
    """A connection that outlives it goes on as if we were not there."""
    connection = sqlite3.connect("shop.db")
    told.watch.stop()
    before = len(told.spans)
    connection.execute("SELECT 1")
    assert len(told.spans) == before
    connection.close()


def test_an_sdk_that_raises_does_not_reach_the_program(told: Tallies) -> None:
    """Its fault is not the statement's."""

    class Broken:
        """A provider whose tracer cannot start a span."""

        def get_tracer(self, *_: Any, **__: Any) -> Any:
            return self

        def start_span(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("broken")

    statement = Statements({"traces": Broken()}.get).statement
    assert statement(told.open(), "execute", ("SELECT 1",), {}, 1, 2, None) is None
