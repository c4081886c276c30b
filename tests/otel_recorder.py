"""A watch whose spans, log records and metrics are kept in memory: the real SDK, and no global of OpenTelemetry's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from whoholds.hooks import spawning as spawn
from whoholds.hooks import tracing
from whoholds.ledger.database import database
from whoholds.ledger.handle import CONNECTION
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import from_lines
from whoholds.outputs.otel import OtelOutput
from whoholds.settings.limits import Limits
from whoholds.testing.fakes import FakeClock
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler

    from whoholds.ledger.handle import Handle

SHOP = database("postgresql", "app", "127.0.0.1", 5433, "shop")
EPOCH = 1_700_000_000.0  # what the wall clock shows when the ledger's shows 1000


class Thing:
    """What is opened: something that can be referred to weakly."""


class Tallies:
    """A watch with a clock of its own, and all that its `otel` output has told."""

    def __init__(self, signals: str = "traces logs metrics", sampler: Sampler | None = None, **settings: Any) -> None:
        self.clock = FakeClock(1000.0)
        self._spans = InMemorySpanExporter()
        old = getattr(log_export, "InMemoryLogExporter", None)  # its name until 1.39
        self._logs = getattr(log_export, "InMemoryLogRecordExporter", old)()
        self.reader = InMemoryMetricReader()
        tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        logger_provider = LoggerProvider(shutdown_on_exit=False)
        logger_provider.add_log_record_processor(log_export.SimpleLogRecordProcessor(self._logs))
        providers = {
            "traces": tracer_provider,
            "logs": logger_provider,
            "metrics": MeterProvider([self.reader], shutdown_on_exit=False),
        }
        self.providers = {name: one for name, one in providers.items() if name in signals}
        self.tracer = tracer_provider.get_tracer("the program")
        self.limits = Limits(**settings)
        self.output = OtelOutput(self.limits, provider=self.providers.get)
        self.ledger = Ledger(clock=self.clock)
        if self.output.statements is not None:
            self.ledger.on_statement = self.output.statements.statement
        self.watch = Watch(self.limits, ledger=self.ledger, outputs=[self.output], wall=self._wall)
        self._held: list[Thing] = []

    def _wall(self) -> float:
        return EPOCH + self.clock() - 1000.0

    def open(self, kind: str = CONNECTION, **given: Any) -> Handle:
        """A handle opened by whoever calls, at shop/cars.py:42."""
        thing = Thing()
        self._held.append(thing)
        handle = self.ledger.opened(kind, "psycopg2", given.pop("where", SHOP), thing, None, **given)
        handle.origin = from_lines([("shop/cars.py", 42, "load_cars")])
        return handle

    @property
    def spans(self) -> list[ReadableSpan]:
        """Every span of ours so far, without the program's own."""
        return [one for one in self._spans.get_finished_spans() if one.instrumentation_scope.name == "whoholds"]

    @property
    def held(self) -> list[ReadableSpan]:
        """Our spans of what was held, a pool's connections and cursors among them."""
        return [one for one in self.spans if one.name.startswith(("hold ", "pool ", "cursor "))]

    @property
    def records(self) -> list[Any]:
        """The log records so far."""
        return [one.log_record for one in self._logs.get_finished_logs()]

    def metrics(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Metric → the values of its labels → number, or the histogram's data point."""
        data = self.reader.get_metrics_data()
        found: dict[str, dict[tuple[Any, ...], Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = found.setdefault(metric.name, {})
                    for point in metric.data.data_points:
                        points[tuple(point.attributes.values())] = getattr(point, "value", point)
        return found


@contextmanager
def recording(**settings: Any) -> Iterator[Tallies]:
    """A Tallies in a process where threads and tasks keep the trace context that they were started in."""
    undo_spawn = not spawn._restore
    spawn.watch()
    undo = tracing.install(trace)
    try:
        yield Tallies(**settings)
    finally:
        undo()
        if undo_spawn:
            spawn.forget()
