"""`python bench/telemetry.py`: what a watched `execute` costs, beside bare SDK calls, contrib and ddtrace.

One interleaved run: each measurement is a process of its own, and the kinds take turns, round after round, so that a
machine whose speed drifts drifts for all. Times are CPU seconds of the whole process (`process_time`): the ticking
thread's and the exporters' too, on one core where the system allows that: on two, the exporting thread competes for
the interpreter from the other one, and nobody knows how often. Every kind has the same SDK configured, with batch
processors and an exporter that throws away, and runs the same statement on in-memory sqlite3 inside one span. Nothing
here fails on a number.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SQL = "SELECT 1"
ATTRIBUTES = {
    "db.system.name": "sqlite",
    "db.namespace": ":memory:",
    "db.query.summary": "SELECT",
    "db.query.text": "SELECT ?",
}
LABELS = {"db.system.name": "sqlite", "db.namespace": ":memory:"}
BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)

# What is measured → what it needs, and what it is called in the table.
KINDS = {
    "nothing": ("", "bare sqlite3, an SDK configured"),
    "connections": ("", "whoholds, WHOHOLDS_SPANS=connections"),
    "queries": ("", "whoholds, WHOHOLDS_SPANS=queries (a span and operation.duration)"),
    "queries-traces": ("", "the same where no metrics are configured (a span)"),
    "span": ("", "a bare SDK span made afterwards, and a bare histogram record"),
    "current": ("", "a bare SDK span as current span, and a bare histogram record"),
    "contrib": ("opentelemetry.instrumentation.sqlite3", "OpenTelemetry contrib (a span)"),
    "contrib-stable": (
        "opentelemetry.instrumentation.sqlite3",
        "OpenTelemetry contrib, stable names (span, durations)",
    ),
    "ddtrace": ("ddtrace", "ddtrace (a span of its own)"),
}


def measure(kind: str, count: int, loops: int) -> float:
    """Microseconds of CPU for one `execute`, the best of several loops: interruptions only ever add."""
    tracer, histogram = configure(metered=kind != "queries-traces")
    execute = cursor_of(kind)
    run = {
        "span": lambda: with_span(execute, tracer, histogram),
        "current": lambda: with_current_span(execute, tracer, histogram),
    }.get(kind, lambda: lambda times: repeat(execute, times))()
    best = []
    with tracer.start_as_current_span("request"):
        run(count // 5)
        for _ in range(loops):
            began = time.process_time()
            run(count)
            best.append((time.process_time() - began) / count)
    return min(best) * 1e6


def configure(*, metered: bool) -> tuple[Any, Any]:
    """The SDK as a program has it, but for the exporters."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            del spans
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            pass

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    if metered:
        metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    histogram = metrics.get_meter("bench").create_histogram(
        "bench.duration", "s", explicit_bucket_boundaries_advisory=BUCKETS
    )
    return trace.get_tracer("bench"), histogram


def cursor_of(kind: str) -> Callable[[str], Any]:
    """`execute` of a cursor on a new database, as this kind has it."""
    if kind.startswith("contrib"):
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

        SQLite3Instrumentor().instrument()
    if kind == "ddtrace":
        import ddtrace

        ddtrace.patch(sqlite3=True)
    if kind in ("connections", "queries", "queries-traces"):
        import whoholds

        whoholds.start(outputs=("otel",), spans=kind.partition("-")[0])
    import sqlite3

    connection = sqlite3.connect(":memory:", isolation_level=None)
    cursor_of.kept = connection  # type: ignore[attr-defined]  # a connection that is dropped is closed
    return connection.cursor().execute


def repeat(execute: Callable[[str], Any], times: int) -> None:
    for _ in range(times):
        execute(SQL)


def with_span(execute: Callable[[str], Any], tracer: Any, histogram: Any) -> Callable[[int], None]:
    from opentelemetry.trace import SpanKind

    client, start, record, now = SpanKind.CLIENT, tracer.start_span, histogram.record, time.time_ns

    def run(times: int) -> None:
        for _ in range(times):
            began = now()
            execute(SQL)
            ended = now()
            span = start("SELECT", None, client, ATTRIBUTES, (), began)
            span.end(ended)
            record((ended - began) / 1e9, LABELS)

    return run


def with_current_span(execute: Callable[[str], Any], tracer: Any, histogram: Any) -> Callable[[int], None]:
    from opentelemetry.trace import SpanKind

    client, start, record, now = SpanKind.CLIENT, tracer.start_as_current_span, histogram.record, time.time_ns

    def run(times: int) -> None:
        for _ in range(times):
            began = now()
            with start("SELECT", kind=client, attributes=ATTRIBUTES):
                execute(SQL)
            record((now() - began) / 1e9, LABELS)

    return run


# --- the run --------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=5_000, help="statements in one loop")
    parser.add_argument("--loops", type=int, default=5)
    parser.add_argument("--measure", choices=KINDS, help="one measurement, in this process")
    given = parser.parse_args()
    if given.measure:
        count = given.count * (10 if given.measure in ("nothing", "connections") else 1)
        print(json.dumps(measure(given.measure, count, given.loops)))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    kinds = [kind for kind, (needs, _) in KINDS.items() if not needs or _is_there(needs)]
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(given.rounds):
        for kind in kinds:
            times[kind].append(_in_a_process(kind, given))
    show(times)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _in_a_process(kind: str, given: argparse.Namespace) -> float:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "OTEL_", "DD_"))}
    env |= {
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_TRACE_STARTUP_LOGS": "false",
        "PYTHONHASHSEED": "0",
    }
    if kind == "contrib-stable":
        env["OTEL_SEMCONV_STABILITY_OPT_IN"] = "database"
    command = [
        sys.executable,
        __file__,
        "--measure",
        kind,
        "--count",
        str(given.count),
        "--loops",
        str(given.loops),
    ]
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return float(json.loads(done.stdout.splitlines()[0]))


def show(times: dict[str, list[float]]) -> None:
    """Medians over the rounds; differences and ratios are taken round by round."""

    def against(kind: str, other: str, how: Callable[[float, float], float]) -> float:
        return statistics.median(map(how, times[kind], times[other]))

    print(f"one execute on in-memory sqlite3, µs of CPU, Python {sys.version.split()[0]}")
    print(f"{'':66}{'µs':>8}{'added':>8}{'x span':>8}")
    for kind, values in times.items():
        added = against(kind, "nothing", lambda mine, other: mine - other)
        ratio = statistics.median(
            (mine - bare) / (span - bare)
            for mine, bare, span in zip(values, times["nothing"], times["span"], strict=True)
        )
        print(f"{KINDS[kind][1]:66}{statistics.median(values):8.2f}{added:8.2f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
