"""The views in real exporters, and what a real Prometheus reads from these: slots by opening line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import pytest

from tests import servers
from tests.commands.test_server_sql import SHIPPED
from tests.conftest import _installed
from tests.needs import lacking, needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = {"whoholds_slots_held", "whoholds_slots_longest_seconds", "whoholds_slots_allowed"}
PROGRAMS = ("prometheus", "prometheus-postgres-exporter", "prometheus-sql-exporter")
TAG = "shop.py: shop/cars.py:42 load_cars"
WITHIN_S = 60
QUESTION = '{__name__=~"whoholds_slots_.*"}'
# What the exporters' user may do, and no more.
POSTGRES_RIGHTS = """
CREATE ROLE exporter LOGIN IN ROLE pg_monitor;
GRANT SELECT ON whoholds_slots, whoholds_allowed TO exporter;
"""
MYSQL_RIGHTS = (
    "CREATE USER exporter@'%' IDENTIFIED BY ''",
    "GRANT PROCESS ON *.* TO exporter@'%'",
    "GRANT SELECT ON test.whoholds_slots TO exporter@'%'",
)


@contextmanager
def running(*command: str, folder: Path, **variables: str) -> Iterator[None]:
    """A program that runs until the block ends; what it says is in a file of `folder`."""
    with (folder / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **variables})
        try:
            yield
        finally:
            process.kill()
            process.wait()


def series(port: int) -> list[dict[str, Any]]:
    """What Prometheus has of our metrics now."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={quote(QUESTION)}", timeout=5) as answer:
            given: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return given
    except OSError:  # it is starting
        return []


def postgres_with_views(end: ExitStack, dsn: str) -> str:
    """Create the views there, and open two connections of one line and an idle transaction of another; give the server."""
    psycopg2 = needed("psycopg2")
    connection = end.enter_context(closing(psycopg2.connect(dsn)))
    connection.cursor().execute((SHIPPED / "views_postgresql.sql").read_text() + POSTGRES_RIGHTS)
    connection.commit()
    for _ in range(2):
        end.enter_context(closing(psycopg2.connect(dsn, application_name=TAG)))
    idle = end.enter_context(closing(psycopg2.connect(dsn, application_name="nightly.py: jobs/prices.py:9 refresh")))
    idle.cursor().execute("SELECT 1")
    return urlsplit(dsn).netloc.partition("@")[2]


def mariadb_with_views(end: ExitStack, arguments: servers.MySQLArguments) -> str:
    """The same there, with three connections of one line."""
    pymysql = needed("pymysql")
    connection = end.enter_context(closing(pymysql.connect(**{**arguments, "user": "root"})))
    for statement in (*(SHIPPED / "views_mysql.sql").read_text().split(";\n"), *MYSQL_RIGHTS):
        if statement.strip():
            connection.cursor().execute(statement)
    for _ in range(3):
        end.enter_context(closing(pymysql.connect(**arguments, program_name=TAG)))
    return f"127.0.0.1:{arguments['port']}"


@pytest.mark.once
def test_prometheus_reads_slots_by_source_line(tmp_path: Path) -> None:
    """From PostgreSQL by two exporters and from MariaDB by one, under the same names, for a user with few rights."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            lacking(f"needs Debian's package {program}")
    ports = {"9187": servers._free_port(), "9237": servers._free_port()}
    web = servers._free_port()
    with ExitStack() as end:
        postgresql = postgres_with_views(end, end.enter_context(_installed(servers.postgres(max_connections=20))))
        mysql = mariadb_with_views(
            end, end.enter_context(_installed(servers.mariadb(settings={"performance_schema": "ON"})))
        )
        sql = (SHIPPED / "sql_exporter.yml").read_text().replace("interval: 15s", "interval: 1s")
        sql = sql.replace("127.0.0.1:5432", postgresql).replace("127.0.0.1:3306)/shop", f"{mysql})/test")
        (tmp_path / "sql_exporter.yml").write_text(sql)
        config = "global: {scrape_interval: 1s}\n" + (SHIPPED / "prometheus.yml").read_text()
        for shipped, port in ports.items():
            config = config.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
        (tmp_path / "prometheus.yml").write_text(config.replace("[rules.yml]", f"[{SHIPPED}/rules.yml]"))
        listen = "web.listen-address=127.0.0.1"
        queries = f"--extend.query-path={SHIPPED / 'postgres_exporter.yml'}"
        dsn = {"DATA_SOURCE_NAME": f"postgresql://exporter@{postgresql}/postgres?sslmode=disable"}
        for command, variables in (
            ((PROGRAMS[1], queries, "--disable-default-metrics", f"--{listen}:{ports['9187']}"), dsn),
            ((PROGRAMS[2], "-config.file", "sql_exporter.yml", f"-{listen}:{ports['9237']}"), {}),
            ((PROGRAMS[0], "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--{listen}:{web}"), {}),
        ):
            end.enter_context(running(*command, folder=tmp_path, **variables))
        until = time.monotonic() + WITHIN_S
        found: list[dict[str, Any]] = []
        sources = (("postgres_exporter", postgresql), ("sql_exporter", postgresql), ("sql_exporter", mysql))
        wanted = {(*source, name) for source in sources for name in NAMES}
        while {tuple(one["metric"].get(key) for key in ("job", "server", "__name__")) for one in found} != wanted:
            logs = "\n".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
            assert time.monotonic() < until, f"{found}\n{logs}"
            found = series(web)
            time.sleep(0.1)
    values = {}
    for one in found:
        labels = one["metric"]
        key = (labels["job"], labels["server"], labels["__name__"], labels.get("opened"), labels.get("state"))
        values[key] = float(one["value"][1])
    line, other = "shop/cars.py:42 in load_cars", "jobs/prices.py:9 in refresh"
    for job in ("postgres_exporter", "sql_exporter"):
        assert values[job, postgresql, "whoholds_slots_held", line, "idle"] == 2
        assert values[job, postgresql, "whoholds_slots_held", other, "idle in transaction"] == 1
        assert values[job, postgresql, "whoholds_slots_longest_seconds", other, "idle in transaction"] > 0
        assert values[job, postgresql, "whoholds_slots_allowed", None, None] == 17
    assert values["sql_exporter", mysql, "whoholds_slots_held", line, "idle"] == 3
    assert values["sql_exporter", mysql, "whoholds_slots_allowed", None, None] == 151
    labels = {"__name__", "instance", "job", "server", "program", "opened", "state"}
    assert all(set(one["metric"]) <= labels for one in found)
