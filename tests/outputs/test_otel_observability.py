"""What `examples/observability` ships: rules, a dashboard and a demo, against a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.test_server_exporters import NAMES as OF_EXPORTERS
from tests.needs import lacking, needed
from tests.otel_recorder import recording
from tests.servers import NotInstalledError, postgres_binaries
from whoholds.outputs.otel import metrics, names

FOLDER = Path(__file__).parents[2] / "examples" / "observability"
SUFFIXES = ("_bucket", "_count", "_sum")


@pytest.fixture
def prometheus() -> None:
    """The test needs Prometheus and its promtool."""
    if shutil.which("promtool") is None:
        lacking("needs Debian's package prometheus")


@pytest.mark.usefixtures("prometheus")
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
        ("check", "config", "prometheus.yml"),
    ],
)
def test_promtool_accepts_the_rules(command: tuple[str, ...]) -> None:
    """Each alert fires when it must, and stays silent when it must."""
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    """No rule is shipped untried."""
    alerts = set(re.findall(r"- alert: (\w+)", (FOLDER / "rules.yml").read_text()))
    tested = set(re.findall(r"alertname: (\w+)", (FOLDER / "rules_test.yml").read_text()))
    assert alerts == tested


def exported() -> set[str]:
    """The names of our metrics as OpenTelemetry's Prometheus exporter writes them."""
    found = {"db_client_operation_duration_seconds"}
    for instrument in metrics.INSTRUMENTS:
        total = "_total" if instrument.create.endswith("counter") and "up_down" not in instrument.create else ""
        unit = {"s": "_seconds", "By": "_bytes"}.get(instrument.unit, "")
        found.add(instrument.name.replace(".", "_") + unit + total)
    return found | {
        f"{name.replace('.', '_')}_seconds" for name in (names.CREATE_TIME, names.USE_TIME, names.WAIT_TIME)
    }


def test_the_dashboard_and_the_rules_name_what_is_exported() -> None:
    """A panel on a metric that nobody exports stays empty for ever."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts.append((FOLDER / "rules.yml").read_text())
    used = set()
    for text in texts:
        used |= set(re.findall(r"\b(?:db_client|whoholds)_\w+(?=[{\[\s)]|$)(?!\s*[,=~])", text))
    labels = {
        "db_client_connection_pool_name",
        "db_client_connection_state",
        "whoholds_rule",
        "whoholds_severity",
        "whoholds_pool_goal",
    }
    labels |= {"whoholds_library_name", "whoholds_library_version"}
    metrics_used = {name for name in used - labels if name}
    for suffix in SUFFIXES:
        metrics_used = {
            name.removesuffix(suffix) if name.removesuffix(suffix) in exported() else name for name in metrics_used
        }
    assert metrics_used <= exported() | OF_EXPORTERS


def test_the_documentation_lists_every_metric() -> None:
    """Each with its whole name, so that a search finds it."""
    listed = set(re.findall(r"`([a-z_.]+)`", (FOLDER.parents[1] / "docs" / "traces.md").read_text()))
    histograms = {names.CREATE_TIME, names.USE_TIME, names.WAIT_TIME, names.DURATION}
    assert {instrument.name for instrument in metrics.INSTRUMENTS} | histograms <= listed


def test_those_names_are_what_a_scrape_gives() -> None:
    """By OpenTelemetry's own exporter for Prometheus."""
    exporter = needed("opentelemetry.exporter.prometheus")
    client = needed("prometheus_client")
    from opentelemetry.sdk.metrics import MeterProvider

    reader = exporter.PrometheusMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    with recording(server_limit=30) as told:
        told.providers["metrics"] = provider
        told.watch.history.drivers["psycopg2"] = True
        handle = told.open(began=999.0)
        pool = told.ledger.pool_made(handle, "main pool", None, 5)
        pool.idle_min = pool.idle_max = pool.timeouts = 1
        request = told.ledger.asks(pool, None)
        told.open()
        told.open("checkout", began=999.0, pool=pool)
        loan = told.open("checkout", began=999.0, pool=pool, parent=handle)
        told.clock.advance(61)
        told.ledger.closed(loan)
        told.ledger.closed(handle)
        told.watch.tick()
        metrics.of(provider).duration().record(1.0, {})
        scraped = {
            line.split()[2] for line in client.generate_latest().decode().splitlines() if line.startswith("# TYPE")
        }
    provider.shutdown()
    request.answered()
    assert exported() <= scraped


@pytest.mark.usefixtures("prometheus")
@pytest.mark.once
def test_the_alerts_of_the_demo_fire_before_the_server_is_full() -> None:
    """One command: PostgreSQL, a service that fans out, Prometheus; it answers by its exit code."""
    needed("opentelemetry.exporter.prometheus")
    try:
        postgres_binaries()
    except NotInstalledError as missing:
        lacking(missing)
    done = subprocess.run(
        [sys.executable, FOLDER / "demo.py", "--check"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index("alert       ConnectionsNearServerLimit") < done.stdout.index("sorry, too many clients")
