"""A service with a report that fans out: one thread per user, one connection per thread, more users every time.

It knows nothing of whoholds; it is traced and measured as such programs are. Spans are written to a file, one JSON
object a line, where a real one sends them to a collector.
"""

import json
import os
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import start_http_server

CARS = "SELECT count(*), sum(price) FROM cars, pg_sleep(1.5) WHERE owner_id = %s"


class ToFile(SpanExporter):
    def __init__(self, path: Path) -> None:
        self.path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(json.loads(span.to_json())) + "\n" for span in spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class ToStdout:
    def export(self, batch: Sequence[object]) -> None:
        for one in batch:
            record = one.log_record
            print(f"log record in trace {record.trace_id:032x}: {record.body}", flush=True)

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return timeout_millis >= 0


def configure(port: int, spans: Path) -> None:
    resource = Resource.create({"service.name": "shop"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(ToFile(spans)))
    trace.set_tracer_provider(provider)
    logger_provider = LoggerProvider(resource=resource)
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(ToStdout()))
    _logs.set_logger_provider(logger_provider)
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()], resource=resource))
    start_http_server(port, "127.0.0.1")


def load_cars(url: str, user: int) -> None:
    try:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(CARS, [user])
            cursor.fetchone()
    except psycopg2.OperationalError as error:
        print(f"user {user}: {str(error).strip()}", flush=True)


def report(url: str, users: int) -> None:
    with trace.get_tracer("shop").start_as_current_span("GET /report", attributes={"users": users}):
        threads = [threading.Thread(target=load_cars, args=(url, user)) for user in range(1, users + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    configure(int(os.environ["METRICS_PORT"]), Path(os.environ["SPANS_FILE"]))
    users = 3
    while users < int(os.environ.get("USERS", "40")):
        report(os.environ["DSN"], users)
        users += 5
        time.sleep(1)


if __name__ == "__main__":
    main()
