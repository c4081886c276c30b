"""`python bench/fleet.py`: what 10 000 processes with 100 connections each send, and what is made of so many connections.

One process runs for real: 100 connections of nine lines to two databases, with a pool, against the real SDK. The fleet
is simulated from it: each process exports the same with a resource of its own. docs/fleet.md has the output.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, generate_latest

import whoholds
from whoholds.servers.state import IDLE, IDLE_IN_TRANSACTION, RUNNING, Session, State
from whoholds.servers.telling import as_data, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS, LINES, POOL = 100, 8, 20  # of one process; the pool has a line of its own
EXPORT_S = 60
FLEETS = (10, 100, 1_000, 10_000)
ANSWERS = (100, 1_000, 10_000, 100_000, 1_000_000)
PROGRAMS, HOSTS = 20, 500  # of the simulated answers; each program has `LINES` lines


class Exported(NamedTuple):
    """What one process has exported."""

    request: Any  # as the OTLP exporter sends it
    points: int
    series: list[str]  # as Prometheus scrapes them
    journal_bytes: float  # for each connection that ends


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        exported = one_process(Path(folder))
    print(f"one process: {CONNECTIONS} connections, {LINES + 1} lines, two databases, one pool:", end=" ")
    print(f"{exported.points} points and {exported.request.ByteSize()} bytes for each export,", end=" ")
    print(f"{len(exported.series)} series in Prometheus; {exported.journal_bytes:.0f} bytes of journal", end=" ")
    print("for each connection that ends\n")
    fleets(exported)
    answers()


def one_process(folder: Path) -> Exported:
    """Run it, and end it."""
    reader, journal = InMemoryMetricReader(), folder / "run.jsonl"
    metrics.set_meter_provider(MeterProvider([reader, PrometheusMetricReader()]))
    watch = whoholds.start(outputs=("otel", "journal"), journal=str(journal), every=1000.0)
    databases = [folder / "shop.db", folder / "stock.db"]
    engine = sqlalchemy.create_engine(f"sqlite:///{databases[0]}", poolclass=sqlalchemy.QueuePool, pool_size=POOL)
    kept: list[Any] = [engine.connect() for _ in range(POOL)]
    kept += [opening(number % LINES)(databases[number % 2]) for number in range(CONNECTIONS - POOL)]
    watch.tick()
    data = reader.get_metrics_data()
    series = [text for text in generate_latest(REGISTRY).decode().splitlines() if text.startswith(("db_", "whoholds_"))]
    before = journal.stat().st_size
    for connection in kept:
        connection.close()
    engine.dispose()
    watch.tick()
    whoholds.stop()
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    points = sum(len(metric.data.data_points) for scope in scopes for metric in scope.metrics)
    return Exported(encode_metrics(data), points, series, (journal.stat().st_size - before) / CONNECTIONS)


def opening(line: int) -> Callable[[Path], sqlite3.Connection]:
    """A function of a file of its own, which opens a connection."""
    source = "\n" * (10 * line) + f"def load_{line}(path):\n    return sqlite3.connect(path)\n"
    space: dict[str, Any] = {"sqlite3": sqlite3}
    exec(compile(source, f"shop/part_{line}.py", "exec"), space)
    function: Callable[[Path], sqlite3.Connection] = space[f"load_{line}"]
    return function


def fleets(exported: Exported) -> None:
    """What fleets of such processes send to their collector."""
    columns = "processes | connections | points a second | bytes a second | compressed | series in Prometheus"
    print(f"| {columns} | series by line alone |\n|{'---|' * 7}")
    by_line = {text.partition("} ")[0] for text in exported.series if text.startswith("whoholds_connections_held{")}
    for processes in FLEETS:
        sent = compressed = 0
        distinct = set()
        for number in range(processes):
            text = request_of(exported.request, number)
            sent += len(text)
            compressed += len(gzip.compress(text, 1))
            distinct.update(hash((number, one)) for one in exported.series)
        cells = (processes, processes * CONNECTIONS, processes * exported.points / EXPORT_S, sent / EXPORT_S)
        row = [f"{cell:,.0f}" for cell in (*cells, compressed / EXPORT_S, len(distinct), len(by_line))]
        print(f"| {' | '.join(row)} |", flush=True)
    print()


def request_of(request: Any, number: int) -> bytes:
    """The request of one process of the fleet, with its own resource."""
    resource = request.resource_metrics[0].resource
    del resource.attributes[:]
    named = {"service.name": "shop", "service.instance.id": f"{number:032x}", "host.name": f"web-{number % HOSTS}"}
    for key, value in named.items():
        attribute = resource.attributes.add()
        attribute.key, attribute.value.string_value = key, value
    text: bytes = request.SerializeToString()
    return text


def answers() -> None:
    """What `whoholds server` makes of so many connections."""
    columns = "connections | groups | seconds for the words | lines of text | bytes of JSON | series of an exporter"
    print(f"| {columns} |\n|{'---|' * 6}")
    for many in ANSWERS:
        state = simulated(many)
        began = time.perf_counter()
        text = list(lines_of(state))
        took = time.perf_counter() - began
        data = as_data(state)
        slots = {(one.program, one.line, one.state) for one in state.sessions}
        numbers = (len(text), len(json.dumps(data)), 2 * len(slots) + 1)
        row = [f"{many:,}", str(len(data["groups"])), f"{took:.3f}", *(f"{number:,}" for number in numbers)]
        print(f"| {' | '.join(row)} |", flush=True)


def simulated(many: int) -> State:
    """A server with so many connections: one in ten is idle in transaction, one in twenty waits for one of these."""
    sessions = []
    for pid in range(1, many + 1):
        host = f"10.0.{pid % HOSTS // 250}.{pid % 250}"
        state = IDLE_IN_TRANSACTION if pid % 10 == 1 else RUNNING if pid % 20 == 2 else IDLE
        blocked_by = (pid - 1,) if state == RUNNING else ()
        sessions.append(Session(pid, name_of(pid), "app", "shop", host, state, 5.0, 60.0, blocked_by))
    whom = "SELECT pg_terminate_backend({});"
    return State("PostgreSQL", "db", many + 100, many + 1, (), (), tuple(sessions), 0, False, "", whom)


def name_of(number: int) -> str:
    """The name of a connection as `WHOHOLDS_TAG=1` gives it, of one of `PROGRAMS` × `LINES` lines."""
    program, line = number % PROGRAMS, number // PROGRAMS % LINES
    return f"app_{program}.py: shop/part_{line}.py:{10 * line + 2} load_{line}"


if __name__ == "__main__":
    main()
