"""Spans of what was held and findings as log records, by the real SDK; a clock that is told the time."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from tests.otel_recorder import EPOCH, SHOP, Tallies, recording
from whoholds.analysis.snapshot import Ending
from whoholds.ledger.database import database
from whoholds.ledger.handle import CHECKOUT, CURSOR
from whoholds.ledger.opener import opener_of, runs
from whoholds.outputs.otel import spans as spans_module

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESS = Ending("process")


@pytest.fixture
def told() -> Iterator[Tallies]:
    """A watch that tells the SDK everything."""
    with recording() as recorder:
        yield recorder


def run_in_thread(target: Any, *args: Any) -> None:
    thread = threading.Thread(target=target, args=args)
    thread.start()
    thread.join()


def test_the_span_has_the_true_times_and_names_the_line(told: Tallies) -> None:
    """It is made at the next look, and lasts from the opening to the closing."""
    handle = told.open()
    told.clock.advance(2)
    handle.uses, handle.busy_s, handle.used_at = 3, 0.5, told.clock()
    told.clock.advance(1.5)
    told.ledger.closed(handle)
    told.clock.advance(10)
    told.watch.tick()
    (span,) = told.held
    assert span.name == "hold postgresql shop"
    assert span.kind is SpanKind.CLIENT
    assert span.start_time == EPOCH * 1e9
    assert span.end_time == (EPOCH + 3.5) * 1e9
    said = dict(span.attributes or {})
    assert said["db.system.name"] == "postgresql"
    assert said["db.namespace"] == "shop"
    assert (said["server.address"], said["server.port"]) == ("127.0.0.1", 5433)
    assert (said["network.peer.address"], said["network.peer.port"]) == ("127.0.0.1", 5433)
    assert (said["code.file.path"], said["code.line.number"]) == ("shop/cars.py", 42)
    assert said["code.function.name"] == "load_cars"
    assert 'File "shop/cars.py", line 42, in load_cars' in said["code.stacktrace"]
    assert said["thread.id"] == threading.get_ident()
    assert said["thread.name"] == "MainThread"
    assert said["whoholds.handle.kind"] == "connection"
    assert (said["whoholds.uses"], said["whoholds.busy_s"], said["whoholds.idle_s"]) == (3, 0.5, 1.5)
    assert "whoholds.rule" not in said
    assert span.status.status_code is StatusCode.UNSET


def test_a_default_port_is_left_out(told: Tallies) -> None:
    """The conventions want `server.port` only where it is not the system's own."""
    told.ledger.closed(told.open(where=database("postgresql", "app", "db.example", 5432, "shop")))
    told.watch.tick()
    said = dict(told.held[0].attributes or {})
    assert said["server.address"] == "db.example"
    assert "server.port" not in said
    assert "network.peer.address" not in said  # a name's address is not known without I/O


def test_a_span_that_still_runs_at_the_closing_is_the_parent(told: Tallies) -> None:
    """Also when it has ended, and is forgotten, before anybody looked."""
    with told.tracer.start_as_current_span("GET /cars") as request:
        expected = request.get_span_context()
        told.ledger.closed(told.open())
    del request
    gc.collect()
    told.watch.tick()
    (span,) = told.held
    assert span.parent == expected
    assert not span.links


@pytest.mark.parametrize("freed", [True, False])
def test_a_span_that_ended_long_before_the_closing_is_linked(told: Tallies, *, freed: bool) -> None:
    """A connection that outlives the request that opened it does not make its trace as long as the connection."""
    with told.tracer.start_as_current_span("GET /cars") as request:
        expected = request.get_span_context()
        handle = told.open()
    kept = [] if freed else [request]
    del request
    told.watch.tick()
    told.clock.advance(3)
    told.ledger.closed(handle)
    told.watch.end(PROCESS)
    (span,) = told.held
    assert [link.context for link in span.links] == [expected]
    assert span.parent is not None
    assert span.parent.trace_id != expected.trace_id
    assert span.parent.span_id == told.spans[-1].context.span_id
    assert told.spans[-1].name.startswith("process ")
    assert len(kept) == (not freed)


@pytest.mark.parametrize("freed", [True, False])
@pytest.mark.parametrize("looked", [True, False])
def test_a_loan_that_ends_a_moment_after_its_request_is_a_part_of_it(
    told: Tallies, *, freed: bool, looked: bool
) -> None:
    """As sessions do that a server closes once the answer is out: also with a look in between."""
    with told.tracer.start_as_current_span("GET /cars") as request:
        expected = request.get_span_context()
        handle = told.open()
        told.clock.advance(0.1)
    kept = [] if freed else [request]
    del request
    if looked:
        told.watch.tick()
    told.clock.advance(0.9)
    told.ledger.closed(handle)
    told.watch.tick()
    (span,) = told.held
    assert (span.parent, list(span.links)) == (expected, [])
    assert len(kept) == (not freed)


@pytest.mark.parametrize(("inside", "after", "part"), [(10, 9, True), (10, 11, False)])
def test_a_hold_that_lies_mostly_in_its_request_is_a_part_of_it(
    told: Tallies, inside: float, after: float, *, part: bool
) -> None:
    """Whose greater half came after the request's end is none: a pool's connection, opened by the first request."""
    with told.tracer.start_as_current_span("GET /report") as request:
        expected = request.get_span_context()
        handle = told.open()
        told.clock.advance(inside)
    del request
    told.watch.tick()
    told.clock.advance(after)
    told.ledger.closed(handle)
    told.watch.tick()
    (span,) = told.held
    assert (span.parent == expected) is part
    assert [link.context for link in span.links] == ([] if part else [expected])


def test_the_process_s_span_covers_its_children(told: Tallies) -> None:
    """Those that began before the first ended, and the last to end, whatever hangs in a request's trace."""
    long = told.open()
    told.clock.advance(2)
    told.ledger.closed(told.open())
    told.watch.tick()
    told.clock.advance(60)
    told.ledger.closed(long)
    late = told.open()
    told.watch.tick()
    told.clock.advance(1)
    told.ledger.closed(late)
    told.watch.end(PROCESS)
    (root,) = [span for span in told.spans if span.parent is None]
    assert len(told.held) == 3
    assert all(root.start_time <= span.start_time <= span.end_time <= root.end_time for span in told.held)


def test_a_pool_s_own_connection_is_no_hold(told: Tallies) -> None:
    """The loan is: of the two that begin together, one counts as held."""
    connection = told.open()
    pool = connection.pool = told.ledger.pool_made(connection, "the pool", None, 5)
    for kind in (CHECKOUT, CURSOR):
        told.ledger.closed(told.open(kind, parent=connection if kind == CHECKOUT else None, pool=pool))
    told.ledger.closed(connection)
    told.watch.tick()
    assert [span.name.split()[0] for span in told.held] == ["hold", "cursor", "pool"]


def test_a_task_has_its_thread_s_name_too(told: Tallies) -> None:
    """Beside its own: which loop it ran in."""

    async def main() -> None:
        told.ledger.closed(told.open())

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="the loop's")
    thread.start()
    thread.join()
    told.watch.tick()
    said = told.held[0].attributes or {}
    assert (said["whoholds.owner.kind"], said["thread.name"]) == ("task", "the loop's")
    assert said["whoholds.owner.name"].startswith("Task-")


def test_forty_threads_of_one_request_are_forty_bars_in_its_trace(told: Tallies) -> None:
    """Plain threads inherit no context: the span current where they were spawned is their parent."""
    with told.tracer.start_as_current_span("GET /report") as request:
        expected = request.get_span_context()
        threads = [threading.Thread(target=lambda: told.ledger.closed(told.open())) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    told.watch.tick()
    assert [span.parent for span in told.held] == [expected] * 40
    assert {span.attributes["whoholds.spawn.file.path"] for span in told.held} == {__file__}


def test_ancestry_leads_to_the_request(told: Tallies) -> None:
    """A thread that a thread has started, a job that it has submitted: each is in the trace."""

    def outer() -> None:
        run_in_thread(lambda: told.ledger.closed(told.open()))
        with ThreadPoolExecutor(1) as executor:
            executor.submit(lambda: told.ledger.closed(told.open())).result()

    with told.tracer.start_as_current_span("GET /report") as request:
        expected = request.get_span_context()
        run_in_thread(outer)
    told.watch.tick()
    assert [span.parent for span in told.held] == [expected, expected]


def test_tasks_are_in_the_trace(told: Tallies) -> None:
    """A task inherits the context, and its handles have its span as parent."""

    async def load() -> None:
        with told.tracer.start_as_current_span("task"):
            told.ledger.closed(told.open())

    async def main() -> None:
        with told.tracer.start_as_current_span("GET /report"):
            await asyncio.gather(load(), load())

    asyncio.run(main())
    told.watch.tick()
    assert len({span.parent.span_id for span in told.held if span.parent}) == 2
    assert len({span.context.trace_id for span in told.held}) == 1


def test_where_no_span_is_current_there_is_one_root(told: Tallies) -> None:
    """Everything that was opened outside a trace hangs on one span that bears the program's name."""
    for _ in range(3):
        told.ledger.closed(told.open())
        told.clock.advance(1)
        told.watch.tick()
    told.watch.end(PROCESS)
    roots = [span for span in told.spans if span.parent is None]
    assert len(roots) == 1
    assert roots[0].start_time == EPOCH * 1e9
    assert {span.parent.span_id for span in told.held if span.parent} == {roots[0].context.span_id}


def test_a_trace_ends_somewhere(told: Tallies) -> None:
    """After a thousand handles, or five minutes, the next root begins: back ends refuse traces without end."""
    told.ledger.closed(told.open())
    told.watch.tick()
    told.clock.advance(spans_module.ROOT_S + 1)
    told.ledger.closed(told.open())
    told.watch.tick()
    assert len([span for span in told.spans if span.parent is None]) == 1
    for _ in range(spans_module.ROOT_CHILDREN):
        told.ledger.closed(told.open())
    told.watch.tick()
    assert len([span for span in told.spans if span.parent is None]) == 2
    told.watch.end(PROCESS)
    assert len([span for span in told.spans if span.parent is None]) == 3


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF])
def test_a_trace_that_is_not_sampled_gets_no_spans(sampler: Any) -> None:
    """Whatever the sampler would say of a child: the parent's own flag decides."""
    unsampled = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0))
    with recording(sampler=sampler) as told:
        with trace.use_span(NonRecordingSpan(unsampled)):
            told.ledger.closed(told.open())
        told.watch.tick()
        assert told.spans == []


def test_where_instrumentation_is_suppressed_there_is_no_span(told: Tallies) -> None:
    """An exporter that keeps its queue in a database must not trace itself."""
    with suppress_instrumentation():
        told.ledger.closed(told.open())
        run_in_thread(lambda: told.ledger.closed(told.open()))
    told.watch.tick()
    assert told.spans == []


def test_what_is_open_at_the_end_has_its_span(told: Tallies) -> None:
    """To the last look; a finding's rule and its severity are on it."""
    handle = told.open()
    told.open()
    told.clock.advance(30)
    told.watch.end(PROCESS)
    assert handle.open
    assert [span.end_time for span in told.held] == [(EPOCH + 30) * 1e9] * 2
    assert {span.attributes["whoholds.rule"] for span in told.held} == {"left-open"}
    assert {span.attributes["whoholds.handle.end"] for span in told.held} == {"open"}
    assert {span.status.status_code for span in told.held} == {StatusCode.ERROR}


def test_a_finding_is_a_log_record_in_the_openers_trace(told: Tallies) -> None:
    """Long before the handle ends, also when that trace has ended long ago; the span names the rule when it comes."""
    with told.tracer.start_as_current_span("GET /cars") as request:
        expected = request.get_span_context()
        leaked = [told.open(), told.open()]
    told.clock.advance(61)
    told.watch.tick()
    (record,) = told.records
    said = dict(record.attributes)
    assert getattr(record, "event_name", said.get("event.name")) == "whoholds.held-too-long"
    assert (record.severity_text, record.severity_number.name) == ("WARNING", "WARN")
    assert (record.trace_id, record.span_id) == (expected.trace_id, expected.span_id)
    assert record.trace_flags.sampled
    assert record.timestamp == (EPOCH + 61) * 1e9
    assert record.body.startswith("held-too-long: shop/cars.py:42 in load_cars opened 2 connections, idle for 61 ")
    assert said["whoholds.count"] == 2
    assert said["code.line.number"] == 42
    assert said["db.namespace"] == "shop"
    assert "shop/cars.py:42" in said["whoholds.report"]
    told.ledger.closed(leaked[0])
    told.watch.tick()
    (span,) = told.held
    assert span.attributes["whoholds.rule"] == "held-too-long"


def test_a_finding_bears_the_ids_for_journal_and_logging(told: Tallies) -> None:
    """As hex, from the first handle that was opened in a trace."""
    told.open()
    with told.tracer.start_as_current_span("GET /cars") as request:
        told.open()
    told.clock.advance(61)
    (finding,) = [one for one in told.watch.tick() if one.rule == "held-too-long"]
    expected = request.get_span_context()
    assert finding.spans == (f"{expected.trace_id:032x}", f"{expected.span_id:016x}")


def test_a_refusal_is_in_the_trace_of_the_request_that_was_refused(told: Tallies) -> None:
    """Not in that of whoever holds what it wanted; and through its ancestry, where a thread of the request asked."""
    with told.tracer.start_as_current_span("GET /holds"):
        told.open()
    with told.tracer.start_as_current_span("GET /refused") as request:
        run_in_thread(told.ledger.refused, RuntimeError("sorry, too many clients already"), SHOP, None)
    (finding,) = [one for one in told.watch.tick() if one.rule == "refused"]
    expected = request.get_span_context()
    assert finding.spans == (f"{expected.trace_id:032x}", f"{expected.span_id:016x}")
    (record,) = told.records
    assert (record.trace_id, record.span_id) == (expected.trace_id, expected.span_id)


def test_a_record_outside_any_trace_has_none(told: Tallies) -> None:
    """Not that of whoever happens to look."""
    told.open()
    told.open()
    told.clock.advance(61)
    with told.tracer.start_as_current_span("unrelated"):
        told.watch.tick()
    assert told.records[0].trace_id == 0


def test_with_traces_alone_a_finding_is_an_event_of_the_span() -> None:
    """Where no logger provider is set up."""
    with recording(signals="traces") as told:
        handles = [told.open(), told.open()]
        told.clock.advance(61)
        told.watch.tick()
        told.ledger.closed(handles[0])
        told.watch.tick()
        event, given_back = told.held[0].events
        assert given_back.name == "whoholds.given-back"
        assert event.name == "whoholds.held-too-long"
        assert event.timestamp == (EPOCH + 61) * 1e9
        assert event.attributes["whoholds.severity"] == "warning"
        assert "2 connections" in event.attributes["message"]
        assert told.records == []


def test_an_ignored_finding_does_not_mark_the_span(told: Tallies) -> None:
    """What is meant is not said anywhere."""
    told.watch.predicates.append(lambda _: True)
    handles = [told.open(), told.open()]
    told.clock.advance(61)
    told.watch.tick()
    told.ledger.closed(handles[0])
    told.watch.tick()
    assert "whoholds.rule" not in told.held[0].attributes
    assert told.records == []


@pytest.mark.parametrize(("spans", "expected"), [("connections", 2), ("queries", 0)])
def test_the_flight_recorder_is_for_spans_that_a_finding_named(spans: str, expected: int) -> None:
    """Its last statements are children of it, without literals; with `queries` they have spans of their own."""
    with recording(spans=spans) as told:
        fine, *bad = told.open(), told.open(), told.open()
        for handle in (fine, bad[0]):
            handle.ring = [("SELECT * FROM cars WHERE vin = 'secret'", 1000.5, 0.25), ("COMMIT", 1001.0, 0.1)]
        told.ledger.closed(fine)
        told.clock.advance(61)
        told.watch.tick()
        told.ledger.closed(bad[0])
        told.watch.tick()
        children = [span for span in told.spans if not span.name.startswith(("hold", "process"))]
        assert len(children) == expected
        if children:
            first = children[0]
            assert first.parent == told.held[1].context
            assert first.name == "SELECT cars"
            assert first.attributes["db.query.text"] == "SELECT * FROM cars WHERE vin = ?"
            assert (first.start_time, first.end_time) == ((EPOCH + 0.5) * 1e9, (EPOCH + 0.75) * 1e9)


def test_a_loan_has_the_pools_name_and_its_connections_uses(told: Tallies) -> None:
    """A checkout is used when its connection is."""
    connection = told.open()
    pool = told.ledger.pool_made(connection, "the pool", None, 5)
    loan = told.ledger.opened(CHECKOUT, "psycopg2.pool", connection.database, None, None, parent=connection, pool=pool)
    connection.uses = 7
    told.ledger.closed(loan)
    told.watch.tick()
    said = told.held[0].attributes
    assert said["whoholds.handle.kind"] == "checkout"
    assert said["db.client.connection.pool.name"] == "the pool"
    assert said["whoholds.uses"] == 7


def test_spans_off_makes_none(told: Tallies) -> None:
    """But findings and metrics."""
    with recording(spans="off") as quiet:
        quiet.open()
        quiet.open()
        quiet.clock.advance(61)
        quiet.watch.end(PROCESS)
        assert quiet.spans == []
        assert quiet.records
        assert quiet.metrics()["whoholds.findings"]
    assert told.spans == []


def test_no_span_is_kept_alive(told: Tallies) -> None:
    """The opener's span is held weakly, and not at all once the handle is closed."""
    with told.tracer.start_as_current_span("GET /cars"):
        handle = told.open()
    opener = opener_of(handle)
    assert opener is not None
    gc.collect()
    assert opener[1]() is None
    assert not runs(opener)
    told.ledger.closed(handle)
    assert handle.context[1] is None


def test_a_context_without_a_span_costs_nothing(told: Tallies) -> None:
    """Baggage alone is no trace."""
    token = context.attach(context.set_value("a", 1))
    try:
        assert told.open().context is None
    finally:
        context.detach(token)
