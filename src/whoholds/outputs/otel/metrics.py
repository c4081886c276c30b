"""Metrics by the semantic conventions. The number of labels of each is bounded.

Counts are observable instruments that read the last look, so that they stay right after a detach, a fork and a garbage
collection. Durations are histograms, which are recorded on the tick.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from whoholds.analysis.cost import NOTHING_YET, memory_of
from whoholds.ledger.handle import CHECKOUT, CONNECTION
from whoholds.ledger.opener import opener_of
from whoholds.outputs.otel import names
from whoholds.outputs.otel.labels import DATABASES, LINES, Bounded, PoolLabels
from whoholds.outputs.otel.pools import Sizes, longest_wait, sizes, used_share, wanted
from whoholds.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from whoholds.analysis.finding import Look
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle, Pool

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0)


class Instrument(NamedTuple):
    """One observable instrument: its kind, name, unit and description, and the function that reads its values."""

    create: str
    name: str
    unit: str
    text: str
    read: Callable[[Metrics, Snapshot], Iterable[tuple[float, dict[str, Any]]]]


_UP_DOWN, _COUNTER, _GAUGE = "observable_up_down_counter", "observable_counter", "observable_gauge"


class Metrics:
    """The instruments of one meter provider. They are made once, however often a watch starts: use `of`."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import metrics, trace
        from opentelemetry.context import Context

        self._observation = metrics.Observation
        self._trace = trace
        self._empty = Context
        self._meter = provider.get_meter(names.SCOPE, VERSION, names.SCHEMA)
        self._create_time = self._histogram(names.CREATE_TIME, "how long it took to open a connection")
        self._use_time = self._histogram(names.USE_TIME, "how long a connection was held")
        self._wait_time = self._histogram(names.WAIT_TIME, "how long it took to get a connection from the pool")
        self._renew()
        for instrument in INSTRUMENTS:
            getattr(self._meter, f"create_{instrument.create}")(
                instrument.name, [self._callback(instrument)], instrument.unit, instrument.text
            )

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._snapshot: Snapshot | None = None
        self.server_limit = 0
        self.cost = NOTHING_YET
        self.labels = PoolLabels()
        self.lines = Bounded(LINES, (names.OTHER, 0, names.OTHER))
        self.findings: dict[tuple[str, str], int] = {}
        self._said: set[tuple[str, str]] = set()
        self.timeouts: dict[str, int] = {}
        self._pool_timeouts: dict[int, int] = {}
        self.sizes = Sizes()

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Any:
        try:
            return self._meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=buckets)
        except TypeError:  # an API from before that parameter
            return self._meter.create_histogram(name, "s", text)

    def duration(self) -> Any:
        """The histogram of `db.client.operation.duration`, in seconds. The SDK returns the same one each time."""
        return self._histogram(names.DURATION, "duration of database client operations", names.DURATION_BUCKETS)

    # --- on the tick ------------------------------------------------------------------------------------------------

    def see(self, look: Look, server_limit: int) -> None:
        """Count and record what is new in `look`, and let the observable instruments read it from now on.

        After the end of a watch they read nothing; at the end of the process they still read the last look.
        """
        if self._pid != os.getpid():
            self._renew()
        snapshot = look.snapshot
        self.server_limit = server_limit
        self.cost = look.cost
        self.labels.see(snapshot)
        for finding in look.findings:
            key = (finding.id, finding.severity)
            if key not in self._said:  # a finding that became worse is counted again, with its new severity
                self._said.add(key)
                kind = (finding.rule, finding.severity)
                self.findings[kind] = self.findings.get(kind, 0) + 1
        for handle in snapshot.new:
            if handle.connect_s is not None:
                self._record(
                    self._create_time if handle.kind == CONNECTION else self._wait_time,
                    handle.connect_s,
                    handle,
                )
        for handle in snapshot.ended:
            if handle.kind == CHECKOUT or (handle.kind == CONNECTION and handle.pool is None):
                self._record(self._use_time, handle.held_s(snapshot.now), handle)
        for pool in snapshot.pools:
            before = self._pool_timeouts.get(pool.key, 0)
            if pool.timeouts > before:
                label = self.label(pool, None)
                self.timeouts[label] = self.timeouts.get(label, 0) + pool.timeouts - before
                self._pool_timeouts[pool.key] = pool.timeouts
        ended = snapshot.ending is not None and snapshot.ending.kind == "watch"
        self._snapshot = None if ended else snapshot

    def _record(self, histogram: Any, seconds: float, handle: Handle) -> None:
        """Record a value with the opener's span as the current span, so that the SDK can keep it as an exemplar."""
        opener = opener_of(handle)
        context = self._empty()
        if opener is not None and opener[0] is not None:
            context = self._trace.set_span_in_context(self._trace.NonRecordingSpan(opener[0]), context)
        histogram.record(seconds, {names.POOL_NAME: self.label(handle.pool, handle.database)}, context)

    def label(self, pool: Pool | None, database: Database | None) -> str:
        """The label of the pool, or of the database if there is no pool."""
        return self.labels.of(pool, database)

    # --- when the SDK asks ------------------------------------------------------------------------------------------

    def _callback(self, instrument: Instrument) -> Callable[[Any], Iterator[Any]]:
        def observe(_: Any) -> Iterator[Any]:
            snapshot = self._snapshot
            if snapshot is not None and self._pid == os.getpid():
                for value, attributes in instrument.read(self, snapshot):
                    yield self._observation(value, attributes)

        return observe


_made: WeakKeyDictionary[Any, Metrics] = WeakKeyDictionary()


def of(provider: Any) -> Metrics:
    """The `Metrics` of this meter provider: always the same, because the SDK would ignore a second set's callbacks."""
    metrics = _made.get(provider)
    if metrics is None:
        metrics = _made[provider] = Metrics(provider)
    return metrics


# --- what the instruments read --------------------------------------------------------------------------------------


def _count(metrics: Metrics, snapshot: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    counts = {(label, state): 0 for label in metrics.labels.known for state in ("idle", "used")}
    for handle in snapshot.open:
        if handle.kind == CONNECTION:
            label = metrics.label(handle.pool, handle.database)
            for state, number in (("idle", int(handle.at_home)), ("used", int(not handle.at_home))):
                counts[label, state] = counts.get((label, state), 0) + number
    for (label, state), count in counts.items():
        yield count, {names.POOL_NAME: label, names.STATE: state}


def _of_pools(field: str) -> Callable[[Metrics, Snapshot], Iterator[tuple[float, dict[str, Any]]]]:
    def read(metrics: Metrics, snapshot: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
        sums: dict[str, int] = {}
        for pool in snapshot.pools:
            value = getattr(pool, field)
            if value is not None:
                label = metrics.label(pool, None)
                sums[label] = sums.get(label, 0) + value
        for label, value in sums.items():
            yield value, {names.POOL_NAME: label}

    return read


def _timeouts(metrics: Metrics, _: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    for label, count in list(metrics.timeouts.items()):
        yield count, {names.POOL_NAME: label}


def _findings(metrics: Metrics, _: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    for (rule, severity), count in list(metrics.findings.items()):
        yield count, {names.RULE: rule, names.SEVERITY: severity}


def _held(metrics: Metrics, snapshot: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    counts: dict[Any, int] = dict.fromkeys(metrics.lines.known, 0)
    for handle in snapshot.open:
        held = handle.kind == CHECKOUT or (handle.kind == CONNECTION and handle.pool is None)
        if held and handle.site is not None and handle.site.origin:
            frame = handle.site.frame
            line = metrics.lines.of((frame.file, frame.line, frame.function))
            counts[line] = counts.get(line, 0) + 1
    for (file, number, function), count in counts.items():
        yield count, {names.FILE: file, names.LINE: number, names.FUNCTION: function}


def _server_limits(metrics: Metrics, snapshot: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    asked = snapshot.history.server_limits
    seen: dict[tuple[str, int], int] = {}
    for handle in snapshot.open:
        database = handle.database
        limit = asked.get(database.server, metrics.server_limit)
        if limit and database.host and len(seen) < DATABASES:
            seen[database.host, database.port or 0] = limit
    for (host, port), limit in seen.items():
        yield limit, {names.SERVER: host, names.PORT: port}


def _drivers(_: Metrics, snapshot: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    for library, active in list(snapshot.history.drivers.items()):
        yield int(active), {names.LIBRARY: library, names.LIBRARY_VERSION: version_of(library)}


def _of_cost(field: str) -> Callable[[Metrics, Snapshot], Iterator[tuple[float, dict[str, Any]]]]:
    def read(metrics: Metrics, _: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
        yield getattr(metrics.cost, field), {}

    return read


def _memory(_: Metrics, snapshot: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    yield memory_of(snapshot.open, snapshot.history), {}


# PyMySQL's `__version__` may be that of mysqlclient, and sqlite3's `version` is not that of SQLite.
_VERSIONS = ("VERSION_STRING", "__version__", "__VERSION__", "sqlite_version", "version")


def version_of(library: str) -> str:
    """The version of the library as its module, or a package that contains it, gives it, or "". Imports nothing."""
    name = "peewee" if library == "playhouse.pool" else library
    while name:
        for module in filter(None, map(sys.modules.get, (name, f"{name}.version", f"{name}.release"))):
            versions = map(vars(module).get, _VERSIONS)
            version = next((version for version in versions if isinstance(version, str)), "")
            if version:
                return version.split(" ", 1)[0]
        name = name.rpartition(".")[0]
    return ""


_CONNECTIONS = "{connection}"
INSTRUMENTS = (
    Instrument(_UP_DOWN, names.COUNT, _CONNECTIONS, "connections open, by state", _count),
    Instrument(_UP_DOWN, names.MAX, _CONNECTIONS, "connections the pool may have", _of_pools("max")),
    Instrument(_UP_DOWN, names.IDLE_MAX, _CONNECTIONS, "idle connections the pool may keep", _of_pools("idle_max")),
    Instrument(_UP_DOWN, names.IDLE_MIN, _CONNECTIONS, "idle connections the pool keeps", _of_pools("idle_min")),
    Instrument(_UP_DOWN, names.PENDING, "{request}", "requests waiting for a connection", _of_pools("pending")),
    Instrument(_GAUGE, names.LONGEST_WAIT, "s", "longest wait of those who wait now", longest_wait),
    Instrument(_GAUGE, names.WANTED, _CONNECTIONS, "most connections lent and waited for at once", wanted),
    Instrument(_GAUGE, names.USED_SHARE, "1", "share of the time that a loan was used", used_share),
    Instrument(_GAUGE, names.SIZE, _CONNECTIONS, "connections that would have been enough, by goal", sizes),
    Instrument(_COUNTER, names.TIMEOUTS, "{timeout}", "requests for a connection that ran out of time", _timeouts),
    Instrument(_COUNTER, names.FINDINGS, "{finding}", "findings of whoholds, by rule", _findings),
    Instrument(_UP_DOWN, names.HELD_BY_LINE, _CONNECTIONS, "connections held, by the line that opened them", _held),
    Instrument(_GAUGE, names.SERVER_LIMIT, _CONNECTIONS, "connections the server allows this user", _server_limits),
    Instrument(_GAUGE, names.DRIVER_ACTIVE, "1", "whether the library is watched", _drivers),
    Instrument(_COUNTER, names.LOOKS, "{look}", "looks that whoholds has taken", _of_cost("looks")),
    Instrument(_COUNTER, names.CPU_TIME, "s", "CPU time of those looks", _of_cost("cpu_s")),
    Instrument(_COUNTER, names.EVENTS, "{event}", "openings and closings recorded", _of_cost("events")),
    Instrument(_COUNTER, names.DROPPED, "{event}", "events that were only counted", _of_cost("dropped")),
    Instrument(_UP_DOWN, names.MEMORY, "By", "about how much memory the ledger takes", _memory),
)
