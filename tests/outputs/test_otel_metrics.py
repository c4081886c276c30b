"""Metrics by the conventions, read from the real SDK."""

from __future__ import annotations

import importlib.metadata
import os
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from tests.otel_recorder import SHOP, Tallies, recording
from whoholds.analysis.snapshot import Ending
from whoholds.drivers.table import DRIVERS
from whoholds.drivers.versions import numbers
from whoholds.ledger.database import database
from whoholds.ledger.handle import CHECKOUT
from whoholds.outputs.otel import metrics, names
from whoholds.outputs.otel.labels import DATABASES
from whoholds.settings.matching import Threshold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.handle import Handle


class Owned:
    """A library's pool."""


LABEL = "127.0.0.1:5433/shop"


@pytest.fixture
def told() -> Iterator[Tallies]:
    """A watch that tells the SDK everything."""
    with recording(server_limit=30) as recorder:
        yield recorder


def test_connections_are_counted_by_state(told: Tallies) -> None:
    """Used, idle in a pool, and back to nought; the label without a pool is server and database."""
    one, two = told.open(), told.open()
    told.watch.tick()
    assert told.metrics()[names.COUNT] == {(LABEL, "used"): 2, (LABEL, "idle"): 0}
    told.ledger.closed(one)
    two.pool = told.ledger.pool_made(two, "main pool", None, 5)
    two.at_home = True
    told.watch.tick()
    found = told.metrics()[names.COUNT]
    assert found[LABEL, "used"] == 0
    assert found["main pool", "idle"] == 1


def test_what_a_pool_tells_is_told(told: Tallies) -> None:
    """Its sizes, who waits, and who ran out of patience, also after the pool has gone."""
    owned = Owned()
    pool = told.ledger.pool_made(owned, "main pool", None, 5)
    pool.idle_min, pool.idle_max, pool.timeouts = 1, 4, 2
    waiting = [told.ledger.asks(pool, None) for _ in range(3)]
    told.watch.tick()
    found = told.metrics()
    assert found[names.MAX] == {("main pool",): 5}
    assert found[names.IDLE_MIN] == {("main pool",): 1}
    assert found[names.IDLE_MAX] == {("main pool",): 4}
    assert found[names.PENDING] == {("main pool",): len(waiting)}
    assert found[names.TIMEOUTS] == {("main pool",): 2}
    waiting.clear()
    del owned
    told.watch.tick()
    found = told.metrics()
    assert names.MAX not in found
    assert found[names.TIMEOUTS] == {("main pool",): 2}


def test_times_are_histograms_with_the_opener_as_exemplar(told: Tallies) -> None:
    """How long opening took, and how long it was held, in seconds."""
    with told.tracer.start_as_current_span("GET /cars") as request:
        handle = told.open(began=told.clock() - 0.02)
        told.clock.advance(3)
        told.ledger.closed(handle)
    told.watch.tick()
    found = told.metrics()
    created, used = found[names.CREATE_TIME][LABEL,], found[names.USE_TIME][LABEL,]
    assert (created.count, round(created.sum, 3)) == (1, 0.02)
    assert (used.count, used.sum) == (1, 3)
    assert 0.05 in created.explicit_bounds
    assert used.exemplars[0].trace_id == request.get_span_context().trace_id


def test_the_wait_for_a_loan_is_its_own_histogram(told: Tallies) -> None:
    """And its being held is the pool's use time; the pool's own connection is not counted there."""
    connection = told.open()
    connection.pool = pool = told.ledger.pool_made(connection, "main pool", None, 5)
    loan = told.ledger.opened(
        CHECKOUT, "psycopg2.pool", SHOP, None, None, parent=connection, pool=pool, began=told.clock() - 0.5
    )
    told.clock.advance(2)
    told.ledger.closed(loan)
    told.ledger.closed(connection)
    told.watch.tick()
    found = told.metrics()
    assert found[names.WAIT_TIME]["main pool",].sum == 0.5
    assert found[names.USE_TIME]["main pool",].count == 1


def test_each_pool_has_a_label_of_its_own(told: Tallies) -> None:
    """The name that the program gave, else the database's, with a number for the second; neighbours hide no full pool."""
    first, second, third = (told.open() for _ in range(3))
    told.open()
    for handle, name, most in ((first, None, 12), (second, None, 7), (third, "orders", 20)):
        handle.pool = told.ledger.pool_made(handle, name, None, most)
    unused = Owned()
    told.ledger.pool_made(unused, None, None, 3)
    told.watch.tick()
    found = told.metrics()
    assert found[names.MAX] == {(LABEL,): 12, (f"{LABEL}#2",): 7, ("orders",): 20, ("Owned",): 3}
    used = {label: count for (label, state), count in found[names.COUNT].items() if state == "used"}
    assert used == {LABEL: 1, f"{LABEL}#2": 1, "orders": 1, f"{LABEL} without a pool": 1}


def test_the_label_of_a_pool_that_is_gone_is_given_out_again(told: Tallies) -> None:
    """A program that makes an engine for each job has one label for all of them; labels of those that stay do not move."""
    kept = told.open()
    for job in range(150):
        handle = told.open()
        handle.pool = told.ledger.pool_made(handle, None, None, 5)
        if not job:
            kept.pool = told.ledger.pool_made(kept, None, None, 9)
        told.watch.tick()
        told.ledger.closed(handle)
        told.ledger.pool_gone(handle.pool)
    last = told.open()
    last.pool = told.ledger.pool_made(last, None, None, 6)
    told.watch.tick()
    assert told.metrics()[names.MAX] == {(LABEL,): 6, (f"{LABEL}#2",): 9}


def test_how_large_a_pool_must_be_is_told(told: Tallies) -> None:
    """Three loans at once, each used for a quarter of the time, of a pool of two; one more has waited for ten seconds."""
    connections = [told.open() for _ in range(2)]
    pool = told.ledger.pool_made(connections[0], "main pool", None, 2)
    told.watch.tick()

    def lends(connection: Handle, waited: float = 0.0) -> Handle:
        return told.ledger.opened(
            CHECKOUT, "psycopg2.pool", SHOP, None, None, parent=connection, pool=pool, began=told.clock() - waited
        )

    loans = [lends(connection) for connection in connections]
    told.clock.advance(4)
    for loan in loans:
        loan.parent.calls_s += 1.0
        told.ledger.closed(loan)
    last = lends(connections[0], waited=3.0)
    told.clock.advance(4)
    connections[0].calls_s += 1.0
    told.ledger.closed(last)
    waiting = told.ledger.asks(pool, None)
    told.clock.advance(10)
    told.watch.tick()
    found = told.metrics()
    assert found[names.WANTED] == {("main pool",): 3}
    assert found[names.USED_SHARE] == {("main pool",): 0.25}
    assert found[names.LONGEST_WAIT] == {("main pool",): 10.0}
    sizes = {("main pool", "no_wait"): 3, ("main pool", "few_waits"): 3, ("main pool", "only_used"): 2}
    assert found[names.SIZE] == sizes
    waiting.answered()
    told.watch.tick()
    assert told.metrics()[names.LONGEST_WAIT] == {("main pool",): 0.0}
    assert told.metrics()[names.SIZE] == sizes


def test_findings_are_counted_once_for_each_severity() -> None:
    """One that is said again is not another; one that has become worse is."""
    with recording(too_many=Threshold(5), server_limit=12) as told:
        for _ in range(7):
            told.open()
        told.watch.tick()
        told.watch.tick()
        assert told.metrics()[names.FINDINGS] == {("too-many-at-once", "warning"): 1}
        for _ in range(5):
            told.open()
        told.watch.tick()
        assert told.metrics()[names.FINDINGS]["too-many-at-once", "error"] == 1


def test_held_connections_are_counted_by_line_and_the_limit_is_told(told: Tallies) -> None:
    """For the dashboard's two questions: who, and how many are left."""
    told.open()
    told.open()
    told.watch.tick()
    found = told.metrics()
    assert found[names.HELD_BY_LINE] == {("shop/cars.py", 42, "load_cars"): 2}
    assert found[names.SERVER_LIMIT] == {("127.0.0.1", 5433): 30}


def test_label_sets_are_bounded(told: Tallies) -> None:
    """A hundred databases, then `_other`; whatever comes after that too."""
    for number in range(150):
        told.open(where=database("postgresql", "app", "db", 5432, f"tenant{number}"))
    told.watch.tick()
    labels = {label for label, _ in told.metrics()[names.COUNT]}
    assert len(labels) == DATABASES + 1
    assert told.metrics()[names.COUNT][names.OTHER, "used"] == 50


def test_the_driver_of_a_library_is_told(told: Tallies) -> None:
    """1 where it watches, 0 where it stands aside."""
    told.watch.history.drivers.update({"sqlite3": True, "psycopg2": False})
    told.watch.tick()
    found = {labels[0]: value for labels, value in told.metrics()[names.DRIVER_ACTIVE].items()}
    assert found == {"sqlite3": 1, "psycopg2": 0}


@pytest.mark.parametrize("library", DRIVERS)
def test_a_watched_librarys_version_is_told(library: str) -> None:
    """The number that a user would find with pip, for each library that has a driver."""
    pytest.importorskip(library)
    top = library.partition(".")[0]
    if library == "sqlite3":
        expected = sqlite3.sqlite_version
    else:
        distributions = importlib.metadata.packages_distributions()  # on 3.10 only where these say so
        expected = importlib.metadata.version(distributions.get(top, [top])[0])
    assert numbers(metrics.version_of(library)) == numbers(expected)


def test_after_the_watch_nothing_is_counted(told: Tallies) -> None:
    """But the end of the process leaves the last counts for the exporter's last collection."""
    told.open()
    told.watch.end(Ending("process"))
    assert told.metrics()[names.COUNT][LABEL, "used"] == 1
    told.watch.end(Ending("watch"))
    assert names.COUNT not in told.metrics()


def test_a_second_watch_uses_the_same_instruments(told: Tallies) -> None:
    """The SDK would ignore the callbacks of a second set, and the counts would stand still."""
    provider = told.providers["metrics"]
    assert metrics.of(provider) is metrics.of(provider)


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_forked_child_does_not_count_the_parents(told: Tallies) -> None:
    """Until its own first look there is nothing, and then its own."""
    told.open()
    told.watch.tick()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            nothing = names.COUNT not in told.metrics()
            told.watch.in_child()
            told.watch.tick()
            own = told.metrics().get(names.COUNT, {}).get((LABEL, "used"), 0)
            code = 0 if nothing and own == 0 else 1
        finally:
            os._exit(code)
    os.close(writer)
    os.close(reader)
    assert os.waitpid(pid, 0)[1] == 0
    assert told.metrics()[names.COUNT][LABEL, "used"] == 1


def test_no_metric_bears_a_thread_or_a_statement() -> None:
    """Labels are pools, states, rules, severities, lines, servers and libraries."""
    with recording(spans="queries") as told:
        with told.tracer.start_as_current_span("GET /cars"):
            told.open()
        told.watch.tick()
        data = told.reader.get_metrics_data()
        assert data is not None
        labels = {
            name
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            for name in point.attributes or ()
        }
        assert labels <= {names.POOL_NAME, names.STATE, names.FILE, names.LINE, names.FUNCTION, names.LIBRARY}


def test_the_cost_of_the_watch_is_told(told: Tallies) -> None:
    """Looks, their CPU time, what was recorded, and the memory."""
    for _ in range(3):
        told.open()
    told.watch.tick()
    told.watch.tick()
    found = told.metrics()
    assert (found[names.LOOKS], found[names.EVENTS], found[names.DROPPED]) == ({(): 2}, {(): 3}, {(): 0})
    assert found[names.CPU_TIME][()] > 0
    assert found[names.MEMORY][()] > 1000
