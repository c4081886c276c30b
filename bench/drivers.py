"""`python bench/drivers.py`: what watching each library costs, beside nothing, OpenTelemetry contrib and ddtrace.

Against real servers on this machine. One interleaved run: each measurement is a process of its own, and the kinds take
turns, round after round. Times are wall time in microseconds, the server's part included; printed are medians over
the rounds and, in brackets, the median of the ratios to nothing, round by round. Nothing here fails on a number.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
KINDS = ("nothing", "whoholds", "opentelemetry", "ddtrace")
CYCLES, STATEMENTS, BEST_OF = 60, 1_000, 5
MYSQL = {"pymysql", "MySQLdb", "mysql.connector"}
OTEL = {
    "sqlite3": ("sqlite3", "SQLite3Instrumentor"),
    "psycopg2": ("psycopg2", "Psycopg2Instrumentor"),
    "psycopg": ("psycopg", "PsycopgInstrumentor"),
    "psycopg (async)": ("psycopg", "PsycopgInstrumentor"),
    "asyncpg": ("asyncpg", "AsyncPGInstrumentor"),
    "pymysql": ("pymysql", "PyMySQLInstrumentor"),
    "MySQLdb": ("mysqlclient", "MySQLClientInstrumentor"),
    "mysql.connector": ("mysql", "MySQLInstrumentor"),
}
DDTRACE = {
    "sqlite3": "sqlite3",
    "psycopg2": "psycopg",
    "psycopg": "psycopg",
    "psycopg (async)": "psycopg",
    "asyncpg": "asyncpg",
    "pymysql": "pymysql",
    "MySQLdb": "mysqldb",
    "mysql.connector": "mysql",
}


# --- measured in a process of its own ---------------------------------------------------------------------------------


def sync(connect: Callable[[], Any]) -> tuple[float, float]:
    """Microseconds of a connect and close, and of an `execute`, the best of a few."""

    def cycles() -> None:
        for _ in range(CYCLES):
            connect().close()

    connection = connect()
    cursor = connection.cursor()

    def statements() -> None:
        for _ in range(STATEMENTS):
            cursor.execute("SELECT 1")
            cursor.fetchall()

    found = best(cycles, CYCLES), best(statements, STATEMENTS)
    connection.close()
    return found


def best(run: Callable[[], None], count: int) -> float:
    """Microseconds for one of `count`, the best of a few runs."""
    run()
    times = []
    for _ in range(BEST_OF):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) / count)
    return min(times) * 1e6


async def asynchronous(connect: Callable[[], Any], statement: str) -> tuple[float, float]:
    """Give the same for a library of coroutines; `statement` names the method that runs one."""
    connection = await connect()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(BEST_OF + 1):
        started = time.perf_counter()
        for _ in range(CYCLES):
            await (await connect()).close()
        times[0].append((time.perf_counter() - started) / CYCLES)
        run = getattr(connection, statement)
        started = time.perf_counter()
        for _ in range(STATEMENTS):
            await run("SELECT 1")
        times[1].append((time.perf_counter() - started) / STATEMENTS)
    await connection.close()
    return min(times[0][1:]) * 1e6, min(times[1][1:]) * 1e6


def measured(name: str, at: Any) -> tuple[float, float]:  # noqa: PLR0911 - one return for each library
    """Give what the library costs here and now."""
    if name == "sqlite3":
        import sqlite3

        return sync(lambda: sqlite3.connect(at))
    if name == "psycopg2":
        import psycopg2

        return sync(lambda: psycopg2.connect(at))
    if name == "psycopg":
        import psycopg

        return sync(lambda: psycopg.connect(at))
    if name == "psycopg (async)":
        import psycopg

        return asyncio.run(asynchronous(lambda: psycopg.AsyncConnection.connect(at), "execute"))
    if name == "asyncpg":
        import asyncpg

        return asyncio.run(asynchronous(lambda: asyncpg.connect(at), "fetch"))
    if name == "aiosqlite":
        import aiosqlite

        return asyncio.run(asynchronous(lambda: waited(aiosqlite.connect(at)), "execute"))
    if name == "pg8000":
        import pg8000

        parts = urlsplit(at)
        return sync(
            lambda: pg8000.connect(user=parts.username, host=parts.hostname, port=parts.port, database=parts.path[1:])
        )
    from importlib import import_module

    module = import_module(name)
    return sync(lambda: module.connect(**at))


async def waited(connection: Any) -> Any:
    """Await what is no coroutine."""
    return await connection


def prepare(kind: str, name: str) -> bool:
    """Switch on what is measured; False where it has nothing for this library."""
    if kind == "whoholds":
        import whoholds

        whoholds.start(outputs=())
    if kind == "opentelemetry":
        module, instrumentor = OTEL.get(name, ("", ""))
        if not module or find_spec(f"opentelemetry.instrumentation.{module}") is None:
            return False
        from importlib import import_module

        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

        class Nowhere(SpanExporter):
            def export(self, _spans: Any) -> SpanExportResult:
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Nowhere()))
        trace.set_tracer_provider(provider)
        getattr(import_module(f"opentelemetry.instrumentation.{module}"), instrumentor)().instrument()
    if kind == "ddtrace":
        if name not in DDTRACE or find_spec("ddtrace") is None:
            return False
        os.environ["DD_TRACE_AGENT_URL"] = "http://127.0.0.1:9"  # nobody listens there
        import logging

        import ddtrace

        logging.disable(logging.CRITICAL)
        ddtrace.patch(**{DDTRACE[name]: True})
    return True


def one(kind: str, name: str, at: Any) -> None:
    """Print one measurement as JSON."""
    print(json.dumps(measured(name, at) if prepare(kind, name) else None), flush=True)
    os._exit(0)


# --- the run ----------------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("KIND", "LIBRARY", "AT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        kind, name, at = asked.one
        one(kind, name, json.loads(at))
    sys.path.insert(0, str(ROOT))
    from tests import servers

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        postgres = stack.enter_context(servers.postgres())
        try:
            mariadb: Any = stack.enter_context(servers.mariadb())
        except servers.NotInstalledError:
            mariadb = None
        places: dict[str, Any] = {"sqlite3": f"{folder}/bench.db", "aiosqlite": f"{folder}/bench.db"}
        places |= dict.fromkeys(("psycopg2", "psycopg", "psycopg (async)", "asyncpg", "pg8000"), postgres)
        if mariadb is not None:
            places |= dict.fromkeys(sorted(MYSQL), mariadb)
        here = {name: at for name, at in places.items() if installed(name)}
        chosen = {name: at for name, at in here.items() if name in (asked.libraries or here)}
        show(run(chosen, asked.rounds))


def installed(name: str) -> bool:
    """Whether the library is here."""
    module = name.partition(" ")[0]
    return find_spec(module.partition(".")[0]) is not None and find_spec(module) is not None


def run(chosen: dict[str, Any], rounds: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Take the measurements in turn: library by library, in each of the rounds every kind."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, at in chosen.items():
        for _ in range(rounds):
            for kind in KINDS:
                told = subprocess.run(
                    [sys.executable, __file__, "--one", kind, name, json.dumps(at)],
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                )
                lines = told.stdout.strip().splitlines()
                if not lines:
                    print(f"{name}, {kind}: {told.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                    continue
                value = json.loads(lines[-1])
                if value is not None:
                    found.setdefault((name, kind), []).append(tuple(value))
    return found


def show(found: dict[tuple[str, str], list[tuple[float, float]]]) -> None:
    """Print a Markdown table."""
    print("| library | | " + " | ".join(KINDS) + " |")
    print("|---|---|" + "---:|" * len(KINDS))
    for name in dict.fromkeys(name for name, _ in found):
        for index, what in enumerate(("connect + close", "execute")):
            cells = []
            bare = [each[index] for each in found.get((name, "nothing"), [])]
            for kind in KINDS:
                values = [each[index] for each in found.get((name, kind), [])]
                if not values:
                    cells.append("–")
                    continue
                ratio = statistics.median(mine / theirs for mine, theirs in zip(values, bare, strict=False))
                cells.append(f"{statistics.median(values):.1f} µs" + ("" if kind == "nothing" else f" (×{ratio:.2f})"))
            print(f"| {name} | {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
