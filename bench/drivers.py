"""`python bench/drivers.py`: what watching each library costs, beside nothing, OpenTelemetry contrib and ddtrace.

Against real servers on this machine, drivers by connect and close, pools by a loan taken and given back. One
interleaved run: each measurement is a process of its own, and the kinds take turns, round after round. Times are wall
time in microseconds, the server's part included, on one core where the system allows that: between two, waking the
other one up is most of what is measured. Printed are medians over the rounds and, in brackets, the median of the ratios
to nothing, round by round. Nothing here fails on a number.
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
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[1]
KINDS = ("nothing", "whoholds", "opentelemetry", "ddtrace")
CYCLES, LOANS, STATEMENTS, BEST_OF = 60, 2_000, 1_000, 5
Times = tuple[float, float]  # microseconds: opened and closed, or taken and given back; a statement


# --- measured in a process of its own ---------------------------------------------------------------------------------


def best(run: Callable[[], object], count: int) -> float:
    """Microseconds for one of `count`, the best of a few runs."""
    run()
    times = []
    for _ in range(BEST_OF):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) / count)
    return min(times) * 1e6


async def best_awaited(run: Callable[[], Awaitable[object]], count: int) -> float:
    """Give the same for a coroutine function."""
    await run()
    times = []
    for _ in range(BEST_OF):
        started = time.perf_counter()
        await run()
        times.append((time.perf_counter() - started) / count)
    return min(times) * 1e6


def statements(connection: Any) -> float:
    """Microseconds of one `execute` with its row."""
    cursor = connection.cursor()

    def run() -> None:
        for _ in range(STATEMENTS):
            cursor.execute("SELECT 1")
            cursor.fetchall()

    return best(run, STATEMENTS)


def driver(connect: Callable[[], Any]) -> Times:
    """Connect and close; execute."""

    def cycles() -> None:
        for _ in range(CYCLES):
            connect().close()

    return best(cycles, CYCLES), statements(connect())


def pool(take: Callable[[], Any], give: Callable[[Any], object]) -> Times:
    """A loan taken and given back; execute on one."""

    def cycles() -> None:
        for _ in range(LOANS):
            give(take())

    return best(cycles, LOANS), statements(take())


def awaited(connect: Callable[[], Awaitable[Any]], close: str, statement: str, count: int = CYCLES) -> Any:
    """The same for a library of coroutines; `close` and `statement` name the connection's methods."""

    async def measure() -> Times:
        async def cycles() -> None:
            for _ in range(count):
                await getattr(await connect(), close)()

        run = getattr(await connect(), statement)

        async def several() -> None:
            for _ in range(STATEMENTS):
                await run("SELECT 1")

        return await best_awaited(cycles, count), await best_awaited(several, STATEMENTS)

    return measure()


def sqlite3(at: str) -> Times:
    module = import_module("sqlite3")
    return driver(lambda: module.connect(at))


def psycopg2(at: str) -> Times:
    module = import_module("psycopg2")
    return driver(lambda: module.connect(at))


def psycopg2_pool(at: str) -> Times:
    made = import_module("psycopg2.pool").ThreadedConnectionPool(1, 4, at)
    return pool(made.getconn, made.putconn)


def psycopg(at: str) -> Times:
    module = import_module("psycopg")
    return driver(lambda: module.connect(at))


def psycopg_async(at: str) -> Times:
    module = import_module("psycopg")
    return asyncio.run(awaited(lambda: module.AsyncConnection.connect(at), "close", "execute"))


def psycopg_pool(at: str) -> Times:
    with import_module("psycopg_pool").ConnectionPool(at, min_size=1, max_size=4) as made:
        return pool(made.getconn, made.putconn)


def asyncpg(at: str) -> Times:
    module = import_module("asyncpg")
    return asyncio.run(awaited(lambda: module.connect(at), "close", "fetch"))


def asyncpg_pool(at: str) -> Times:
    module = import_module("asyncpg")

    async def measure() -> Times:
        async with module.create_pool(at, min_size=1, max_size=4) as made:

            async def cycles() -> None:
                for _ in range(LOANS):
                    await made.release(await made.acquire())

            connection = await made.acquire()

            async def several() -> None:
                for _ in range(STATEMENTS):
                    await connection.fetch("SELECT 1")

            times = await best_awaited(cycles, LOANS), await best_awaited(several, STATEMENTS)
            await made.release(connection)
            return times

    return asyncio.run(measure())


def aiopg(at: str) -> Times:
    module = import_module("aiopg")

    async def connect() -> Any:
        return await module.connect(at, enable_hstore=False)

    async def measure() -> Times:
        async def cycles() -> None:
            for _ in range(CYCLES):
                await (await connect()).close()

        cursor = await (await connect()).cursor()

        async def several() -> None:
            for _ in range(STATEMENTS):
                await cursor.execute("SELECT 1")

        return await best_awaited(cycles, CYCLES), await best_awaited(several, STATEMENTS)

    return asyncio.run(measure())


def aiosqlite(at: str) -> Times:
    module = import_module("aiosqlite")

    async def connect() -> Any:
        return await module.connect(at)

    return asyncio.run(awaited(connect, "close", "execute"))


def pg8000(at: str) -> Times:
    parts, module = urlsplit(at), import_module("pg8000")
    return driver(
        lambda: module.connect(user=parts.username, host=parts.hostname, port=parts.port, database=parts.path[1:])
    )


def mysql(library: str) -> Callable[[dict[str, Any]], Times]:
    """Any of the drivers for MySQL, which take the same arguments."""

    def measure(at: dict[str, Any]) -> Times:
        module = import_module(library)
        return driver(lambda: module.connect(**at))

    return measure


def sqlalchemy(at: str) -> Times:
    engine = import_module("sqlalchemy").create_engine(at.replace("postgresql:", "postgresql+psycopg2:"))
    return pool(engine.raw_connection, lambda loan: loan.close())


def sqlalchemy_session(at: str) -> Times:
    engine = import_module("sqlalchemy").create_engine(at.replace("postgresql:", "postgresql+psycopg2:"))
    make = import_module("sqlalchemy.orm").sessionmaker(engine)

    def cycles() -> None:
        for _ in range(LOANS):
            session = make()
            session.connection()
            session.close()

    return best(cycles, LOANS), statements(make().connection().connection)


def dbutils(at: str) -> Times:
    module = import_module("dbutils.pooled_db")
    made = module.PooledDB(import_module("psycopg2"), mincached=1, maxconnections=4, dsn=at)
    return pool(made.connection, lambda loan: loan.close())


def peewee(at: str) -> Times:
    made = import_module("playhouse.pool").PooledPostgresqlDatabase(at, max_connections=4)

    def take() -> Any:
        made.connect()
        return made

    return pool(take, lambda database: database.close())


@dataclass(frozen=True)
class Library:
    """One row: what is measured, the module that has to be here, where it connects, and the peers' names for it."""

    measure: Callable[[Any], Times]
    module: str
    server: str = "postgres"
    opentelemetry: tuple[str, ...] = ()  # module and instrumentor
    ddtrace: tuple[str, ...] = ()


_PSYCOPG2 = ("psycopg2", "Psycopg2Instrumentor")
_PSYCOPG = ("psycopg", "PsycopgInstrumentor")
_ASYNCPG = ("asyncpg", "AsyncPGInstrumentor")
LIBRARIES = {
    "sqlite3": Library(sqlite3, "sqlite3", "file", ("sqlite3", "SQLite3Instrumentor"), ("sqlite3",)),
    "aiosqlite": Library(aiosqlite, "aiosqlite", "file"),
    "psycopg2": Library(psycopg2, "psycopg2", "postgres", _PSYCOPG2, ("psycopg",)),
    "psycopg": Library(psycopg, "psycopg", "postgres", _PSYCOPG, ("psycopg",)),
    "psycopg, async": Library(psycopg_async, "psycopg", "postgres", _PSYCOPG, ("psycopg",)),
    "asyncpg": Library(asyncpg, "asyncpg", "postgres", _ASYNCPG, ("asyncpg",)),
    "aiopg": Library(aiopg, "aiopg"),
    "pg8000": Library(pg8000, "pg8000"),
    "PyMySQL": Library(mysql("pymysql"), "pymysql", "mariadb", ("pymysql", "PyMySQLInstrumentor"), ("pymysql",)),
    "mysqlclient": Library(
        mysql("MySQLdb"), "MySQLdb", "mariadb", ("mysqlclient", "MySQLClientInstrumentor"), ("mysqldb",)
    ),
    "mysql-connector": Library(
        mysql("mysql.connector"), "mysql.connector", "mariadb", ("mysql", "MySQLInstrumentor"), ("mysql",)
    ),
    "psycopg2.pool": Library(psycopg2_pool, "psycopg2", "postgres", _PSYCOPG2, ("psycopg",)),
    "psycopg_pool": Library(psycopg_pool, "psycopg_pool", "postgres", _PSYCOPG, ("psycopg",)),
    "asyncpg's pool": Library(asyncpg_pool, "asyncpg", "postgres", _ASYNCPG, ("asyncpg",)),
    "SQLAlchemy's QueuePool": Library(
        sqlalchemy, "sqlalchemy", "postgres", ("sqlalchemy", "SQLAlchemyInstrumentor"), ("sqlalchemy", "psycopg")
    ),
    "SQLAlchemy's Session": Library(
        sqlalchemy_session,
        "sqlalchemy",
        "postgres",
        ("sqlalchemy", "SQLAlchemyInstrumentor"),
        ("sqlalchemy", "psycopg"),
    ),
    "DBUtils' PooledDB": Library(dbutils, "dbutils", "postgres", _PSYCOPG2, ("psycopg",)),
    "peewee's pool": Library(peewee, "playhouse", "postgres", _PSYCOPG2, ("psycopg",)),
}


def prepare(kind: str, library: Library) -> bool:
    """Switch on what is measured; False where it has nothing for this library."""
    if kind == "whoholds":
        import whoholds

        whoholds.start(outputs=())
    if kind == "opentelemetry":
        if not library.opentelemetry:
            return False
        module, instrumentor = library.opentelemetry
        if find_spec(f"opentelemetry.instrumentation.{module}") is None:
            return False
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
        if not library.ddtrace or find_spec("ddtrace") is None:
            return False
        os.environ["DD_TRACE_AGENT_URL"] = "http://127.0.0.1:9"  # nobody listens there
        import logging

        import ddtrace

        logging.disable(logging.CRITICAL)
        ddtrace.patch(**dict.fromkeys(library.ddtrace, True))
    return True


def one(kind: str, name: str, at: Any) -> None:
    """Print one measurement as JSON."""
    library = LIBRARIES[name]
    print(json.dumps(library.measure(at) if prepare(kind, library) else None), flush=True)
    os._exit(0)


# --- the run ----------------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="*", help=f"some of {', '.join(LIBRARIES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("KIND", "LIBRARY", "AT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        kind, name, at = asked.one
        one(kind, name, json.loads(at))
    sys.path.insert(0, str(ROOT))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from tests import servers

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        places: dict[str, Any] = {
            "file": f"{folder}/bench.db",
            "postgres": stack.enter_context(servers.postgres()),
        }
        try:
            places["mariadb"] = stack.enter_context(servers.mariadb())
        except servers.NotInstalledError as missing:
            print(missing, file=sys.stderr)
        show(
            run(
                {
                    name: places[library.server]
                    for name, library in LIBRARIES.items()
                    if library.server in places and installed(library.module) and name in (asked.libraries or LIBRARIES)
                },
                asked.rounds,
            )
        )


def installed(module: str) -> bool:
    """Whether the library is here."""
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
    print("| library | what | nothing | whoholds | OpenTelemetry contrib | ddtrace |")
    print("|---|---|" + "---:|" * len(KINDS))
    for name in dict.fromkeys(name for name, _ in found):
        for index, what in enumerate(("take + give back" if "ool" in name else "connect + close", "execute")):
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
