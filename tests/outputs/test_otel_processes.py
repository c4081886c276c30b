"""Whole programs that export by OTLP to a real receiver process: enabling, exit, fork, and beside other agents."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

for module in ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.exporter.otlp.proto.grpc", "grpc"):
    needed(module)

SECONDS = 60.0
FOREIGN = ("WHOHOLDS", "OTEL_", "DD_", "COV_", "COVERAGE_", "PYTHONWARNINGS")

# A program that configures the SDK itself, after whoholds has started by the environment variable.
SDK = """
import os, sqlite3, sys, threading, time
from opentelemetry import trace, metrics, _logs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
logger_provider = LoggerProvider()
logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
_logs.set_logger_provider(logger_provider)
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
tracer = trace.get_tracer("the program")
"""
FAN_OUT = """
def load():
    connection = sqlite3.connect("shop.db")
    connection.execute("SELECT 1")
    time.sleep(0.05)
    connection.close()

with tracer.start_as_current_span("GET /report"):
    threads = [threading.Thread(target=load) for _ in range(40)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""
LEAK = """
with tracer.start_as_current_span("GET /cars"):
    kept = [sqlite3.connect("shop.db") for _ in range(3)]
"""


@dataclass
class Collector:
    """The receiver process: where to send to, and what it was sent."""

    ports: dict[str, str]
    file: Path

    def lines(self, signal: str, **wanted: Any) -> list[dict[str, Any]]:
        """What came of one signal, with these fields."""
        found = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [one for one in found if one["signal"] == signal and all(one.get(k) == v for k, v in wanted.items())]

    @property
    def held(self) -> list[dict[str, Any]]:
        """The spans of what was held."""
        return [one for one in self.lines("span", scope="whoholds") if one["name"].startswith("hold ")]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A receiver for the module."""
    file = tmp_path_factory.mktemp("otlp") / "received.jsonl"
    file.touch()
    program = [sys.executable, str(Path(__file__).parents[1] / "otlp_receiver.py"), str(file)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ports = dict(process.stdout.readline().split() for _ in range(2))
        yield Collector(ports, file)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def collector(receiver: Collector) -> Collector:
    """The receiver, with nothing received yet."""
    receiver.file.write_text("")
    return receiver


def run(
    collector: Collector,
    folder: Path,
    program: str,
    *,
    protocol: str = "http/protobuf",
    before: tuple[str, ...] = (),
    **env: str,
) -> str:
    """Run `program` as a script and give what it printed; its exporters send to the collector."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(program))
    port = collector.ports["grpc" if protocol == "grpc" else "http"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environment |= {
        "WHOHOLDS": "otel",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_SERVICE_NAME": "shop",
        "DD_TRACE_ENABLED": "true",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_TRACE_STARTUP_LOGS": "false",
    } | env
    environment = {name: value for name, value in environment.items() if value}
    done = subprocess.run(
        [*(before or (sys.executable,)), str(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_fan_out_is_one_trace_at_the_collector(collector: Collector, tmp_path: Path, protocol: str) -> None:
    """Forty bars in the request's trace, its finding as a log record, its metrics: all over the wire, at exit."""
    output = run(collector, tmp_path, SDK + FAN_OUT, protocol=protocol)
    (request,) = collector.lines("span", name="GET /report")
    assert request["how"] == protocol.partition("/")[0]
    assert len(collector.held) == 40, output
    assert {(one["traceId"], one["parentSpanId"]) for one in collector.held} == {
        (request["traceId"], request["spanId"])
    }
    (record,) = collector.lines("log", eventName="whoholds.too-many-at-once")
    assert record["traceId"] == request["traceId"]
    assert record["severityText"] == "WARNING"
    assert record["resource"]["service.name"] == "shop"
    assert {"db.client.connection.count", "whoholds.findings"} <= {one["name"] for one in collector.lines("metric")}
    assert output == ""


def test_the_end_of_the_process_is_exported(collector: Collector, tmp_path: Path) -> None:
    """The SDK's own atexit handler comes before our last look, and must not shut it down before that."""
    run(collector, tmp_path, SDK + LEAK)
    assert len(collector.held) == 3
    assert {one["attributes"]["whoholds.rule"] for one in collector.held} == {"left-open"}
    assert {one["status"]["code"] for one in collector.held} == {"STATUS_CODE_ERROR"}
    assert len(collector.lines("log", eventName="whoholds.left-open")) == 1
    metrics = collector.lines("metric", name="whoholds.findings")
    assert metrics, "the meter provider was shut down before the last look"


def test_a_provider_that_was_shut_down_by_the_program_stays_so(collector: Collector, tmp_path: Path) -> None:
    """No second shutdown, no complaint."""
    shut = "provider.shutdown(); logger_provider.shutdown(); metrics.get_meter_provider().shutdown()"
    output = run(collector, tmp_path, SDK + LEAK + shut)
    assert "shutdown" not in output.lower()


def test_the_forked_child_exports(collector: Collector, tmp_path: Path) -> None:
    """With its own root, and counts of its own."""
    program = """
with sqlite3.connect("shop.db") as parents: pass
parents.close()
pid = os.fork()
if pid == 0:
    for _ in range(3):
        sqlite3.connect("shop.db").close()
    sys.exit()
os.waitpid(pid, 0)
"""
    run(collector, tmp_path, SDK + program)
    assert len(collector.held) == 4


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_exports(collector: Collector, tmp_path: Path, method: str) -> None:
    """A child leaves through os._exit or, like a spawned one, after the SDK's handler of `atexit`: it exports before."""
    program = f"""
import multiprocessing
def work():
    connection = sqlite3.connect("shop.db")
    connection.close()
if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=work)
    process.start()
    process.join()
"""
    run(collector, tmp_path, SDK + program)
    assert len(collector.held) == 1


def test_without_an_sdk_nothing_of_it_is_imported(collector: Collector, tmp_path: Path) -> None:
    """No SDK means no cost: not even the API is loaded by us."""
    program = """
import sqlite3, sys
sqlite3.connect("shop.db").close()
import whoholds
whoholds.current().tick()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""
    assert run(collector, tmp_path, program) == "[]\n"


def test_an_sdk_configured_after_the_start_is_used(collector: Collector, tmp_path: Path) -> None:
    """Handles that were opened before are told of too, once they end."""
    program = 'import sqlite3\nearly = sqlite3.connect("shop.db")\n' + SDK + "early.close()\n"
    run(collector, tmp_path, program)
    assert len(collector.held) == 1


instrumented = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.distro") is None, reason="needs opentelemetry-distro"
)


@instrumented
@pytest.mark.parametrize("whoholds", ["", "1"])
def test_opentelemetry_instrument_enables_it(collector: Collector, tmp_path: Path, whoholds: str) -> None:
    """By its entry point, with the output otel where WHOHOLDS says nothing."""
    program = """
import sqlite3, time
sqlite3.connect("shop.db").close()
"""
    command = (str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable)
    run(collector, tmp_path, program, before=command, WHOHOLDS=whoholds, OTEL_LOGS_EXPORTER="otlp")
    assert len(collector.held) == 1


@instrumented
@pytest.mark.parametrize(
    "off", [{"WHOHOLDS": "0"}, {"WHOHOLDS": "", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "whoholds"}]
)
def test_opentelemetry_instrument_can_be_told_not_to(collector: Collector, tmp_path: Path, off: dict[str, str]) -> None:
    """By our variable, or by OpenTelemetry's."""
    program = 'import sqlite3, sys\nsqlite3.connect("shop.db").close()\nprint("whoholds.watching.watch" in sys.modules)'
    command = (str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable)
    assert run(collector, tmp_path, program, before=command, **off) == "False\n"


@instrumented
def test_a_wrong_setting_keeps_no_other_instrumentation_from_starting(collector: Collector, tmp_path: Path) -> None:
    """It is said, and the program runs on."""
    program = "from opentelemetry import trace; print(type(trace.get_tracer_provider()).__name__)"
    command = (str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable)
    output = run(collector, tmp_path, program, before=command, WHOHOLDS="", WHOHOLDS_EVERY="often")
    assert "WHOHOLDS_EVERY" in output
    assert output.splitlines()[-1] == "TracerProvider"


CONTRIB = "from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor; SQLite3Instrumentor().instrument()\n"
START = "import whoholds; whoholds.start()\n"
QUERY = """
connection = sqlite3.connect("shop.db")
assert isinstance(connection, sqlite3.Connection) or {proxied}
cursor = connection.cursor()
for _ in range(3):
    assert cursor.execute("SELECT 1").fetchone() == (1,)
cursor.close()
connection.close()
"""


@pytest.mark.parametrize("order", [(CONTRIB, START), (START, CONTRIB)], ids=["contrib-first", "whoholds-first"])
@pytest.mark.parametrize("spans", ["connections", "queries"])
def test_beside_contrib_nothing_is_doubled(
    collector: Collector, tmp_path: Path, order: tuple[str, str], spans: str
) -> None:
    """One span for each statement, whoever makes it, and one for the connection."""
    needed("opentelemetry.instrumentation.sqlite3")
    program = SDK + "".join(order) + QUERY.format(proxied=True)
    run(collector, tmp_path, program, WHOHOLDS="", WHOHOLDS_SPANS=spans)
    assert len(collector.held) == 1
    statements = [one for one in collector.lines("span") if one["name"].startswith("SELECT")]
    assert len(statements) == 3
    assert {one["scope"] for one in statements} == {"opentelemetry.instrumentation.sqlite3"}


@pytest.mark.parametrize("spans", ["connections", "queries"])
@pytest.mark.parametrize("first", ["contrib", "whoholds"])
def test_beside_contribs_sqlalchemy_nothing_is_doubled(
    collector: Collector, tmp_path: Path, spans: str, first: str
) -> None:
    """Its spans are not current while the driver runs; they are known all the same."""
    needed("opentelemetry.instrumentation.sqlalchemy")
    contrib = "from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor as I; I().instrument()\n"
    program = "".join([contrib, START] if first == "contrib" else [START, contrib])
    program += """
import sqlalchemy
engine = sqlalchemy.create_engine("sqlite:///shop.db")
with engine.connect() as connection:
    for _ in range(3):
        connection.execute(sqlalchemy.text("SELECT 1"))
engine.dispose()
"""
    run(collector, tmp_path, SDK + program, WHOHOLDS="", WHOHOLDS_SPANS=spans)
    statements = [one for one in collector.lines("span") if one["name"].startswith("SELECT")]
    assert len(statements) == 3
    assert {one["scope"] for one in statements} == {"opentelemetry.instrumentation.sqlalchemy"}
    assert collector.held


@pytest.mark.parametrize("first", ["ddtrace", "whoholds"])
def test_beside_ddtrace_nothing_is_broken(collector: Collector, tmp_path: Path, first: str) -> None:
    """Its agent is not there; what the program gets from its database is what it gets without either."""
    needed("ddtrace")
    ddtrace = "import ddtrace; ddtrace.patch(sqlite3=True)\n"
    program = "".join([ddtrace, START] if first == "ddtrace" else [START, ddtrace])
    output = run(collector, tmp_path, SDK + program + QUERY.format(proxied=True), WHOHOLDS="", WHOHOLDS_SPANS="queries")
    assert "Traceback" not in output
    assert len(collector.held) == 1
    assert len([one for one in collector.lines("span", scope="whoholds") if one["name"].startswith("SELECT")]) == 3


def test_an_exporter_that_fails_does_not_hold_up_the_end(collector: Collector, tmp_path: Path) -> None:
    """Nobody listens: the program ends about as it would without us."""
    began = time.monotonic()
    dead = Collector({"http": "9"}, collector.file)
    run(dead, tmp_path, SDK + LEAK, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert time.monotonic() - began < 20
