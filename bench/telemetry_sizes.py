"""`python bench/telemetry_sizes.py`: how much one process sends, in bytes of OTLP, and how many series it has.

It runs a small service (two databases, five opening lines, a pool) against the real SDK and encodes what was exported
as the OTLP exporters do. docs/fleet.md multiplies.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
import warnings
from pathlib import Path

from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import whoholds


def view(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE IF NOT EXISTS cars (vin, price)")
    connection.execute("SELECT sum(price) FROM cars WHERE vin = ?", ("x",))
    connection.close()


def main() -> None:
    warnings.simplefilter("ignore")
    spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
    tracer_provider, logger_provider = TracerProvider(), LoggerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    trace.set_tracer_provider(tracer_provider)
    _logs.set_logger_provider(logger_provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    watch = whoholds.start(outputs=("otel",), spans="queries", every=1000.0)
    with tempfile.TemporaryDirectory() as folder, trace.get_tracer("shop").start_as_current_span("GET /cars"):
        for name in ("shop.db", "stock.db"):
            for _ in range(3):
                thread = threading.Thread(target=view, args=(Path(folder, name),))
                thread.start()
                thread.join()
        kept = [sqlite3.connect(Path(folder, "shop.db")) for _ in range(25)]
        watch.tick()
        data = reader.get_metrics_data()
        series = sum(
            len(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        for connection in kept:
            connection.close()
        watch.tick()
    finished = [span for span in spans.get_finished_spans() if span.instrumentation_scope.name == "whoholds"]
    held = [span for span in finished if span.name.startswith("hold")]
    statements = [span for span in finished if span.name.startswith(("SELECT", "CREATE"))]
    for name, few, encode in (
        ("span of a connection held", held, encode_spans),
        ("span of a statement", statements, encode_spans),
        ("log record of a finding", logs.get_finished_logs(), encode_logs),
    ):
        one, two = encode(few[:1]).ByteSize(), encode(few[:1] * 2).ByteSize()
        print(f"{name:40}{two - one:8} bytes, {one - (two - one)} more for the batch it comes in")
    print(f"{'one export of metrics':40}{encode_metrics(data).ByteSize():8} bytes, {series} series")
    for _ in range(2000):
        sqlite3.connect(":memory:").close()
    tracer_provider._active_span_processor._span_processors = ()  # what exporting costs is the exporter's affair
    began = time.process_time()
    watch.tick()
    print(f"{'CPU of a tick for each handle that ended':40}{(time.process_time() - began) / 2000 * 1e6:8.0f} µs")
    whoholds.stop()


if __name__ == "__main__":
    main()
