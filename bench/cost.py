"""`python bench/cost.py`: what whoholds costs, beside nothing, OpenTelemetry contrib and ddtrace.

One interleaved run of some twelve minutes: each measurement is a process of its own; the kinds take turns, round after
round, so that a machine whose speed drifts drifts for all. Times are CPU seconds of the whole process, the ticking
thread's included, but for interpreter start and `execute` over PostgreSQL, which are wall time. What comes after a sleep,
or after another process has run, is CPU time of the program's thread alone: the median of one call each, as a program
makes it that has waited for its next request, or for its server's answer. All of it, the server too, runs on one core where the system allows that: between two, waking the other
one up is most of what is measured. Printed are medians over the rounds, and differences and ratios round by round.
Nothing here fails on a number.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.watching.watch import Watch

ROOT = Path(__file__).parents[1]
KINDS = ("nothing", "whoholds", "opentelemetry", "ddtrace")
COLD_S = 0.0003  # of a sleep, in which the code and data of an operation leave the caches


# --- what is measured: run in a process of its own, gives microseconds for one of its kind ---------------------------


def _each(run: Callable[[int], None], count: int, seconds: float = 2.0) -> float:
    """The mean over at least so many seconds: two looks of the ticking thread, and their share of the collector's."""
    run(max(count // 10, 1))
    done, started, began = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        run(count)
        done += count
    return (time.process_time() - began) / done * 1e6


def _situations(operation: Callable[[], object]) -> list[float]:
    """An operation again and again; once after each sleep; once after each turn of another process on this core."""

    def run(count: int) -> None:
        for _ in range(count):
            operation()

    with _another_process() as take_turns:
        return [_each(run, 300, 1.5), _cold(operation, lambda: time.sleep(COLD_S)), _cold(operation, take_turns)]


def _cold(operation: Callable[[], object], before: Callable[[], object]) -> float:
    """The median of one call each after `before`, which takes the operation's code and data out of the caches."""
    clock, taken = time.thread_time_ns, []
    until = time.perf_counter() + 1.5
    while time.perf_counter() < until:
        before()
        began = clock()
        operation()
        taken.append(clock() - began)
    return statistics.median(taken) / 1e3


@contextmanager
def _another_process() -> Iterator[Callable[[], object]]:
    """A function that lets another process run: it sends that one a byte, and waits for it to come back."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        assert echo.stdin is not None
        assert echo.stdout is not None
        to, back = echo.stdin.fileno(), echo.stdout.fileno()

        def take_turns() -> None:
            os.write(to, b".")
            os.read(back, 1)

        yield take_turns
        echo.stdin.close()


def _at_depth(depth: int, run: Callable[[int], None]) -> Callable[[int], None]:
    def down(count: int, left: int = depth) -> None:
        if left:
            down(count, left - 1)
        else:
            run(count)

    return down


def _through(depth: int, operation: Callable[[], object]) -> Callable[[], object]:
    """`operation` under so many frames that are new at each call, as those of a program's are."""

    def down(left: int) -> None:
        if left:
            down(left - 1)
        else:
            operation()

    return lambda: down(depth)


def execute_sqlite() -> list[float]:
    import sqlite3

    execute = sqlite3.connect(":memory:").cursor().execute
    return _situations(lambda: execute("SELECT 1"))


def execute_postgresql() -> float:
    import psycopg2

    connection = psycopg2.connect(os.environ["BENCH_DSN"])
    connection.autocommit = True
    execute = connection.cursor().execute

    def run(count: int) -> None:
        for _ in range(count):
            execute("SELECT 1")

    run(100)
    best = []
    for _ in range(7):  # wall time: the server's part counts
        started = time.perf_counter()
        run(3_000)
        best.append((time.perf_counter() - started) / 3_000)
    return min(best) * 1e6


def request(statements: int = 1) -> list[float]:
    from psycopg2.pool import ThreadedConnectionPool

    pool = ThreadedConnectionPool(1, 4, os.environ["BENCH_DSN"])

    def serve() -> None:
        connection = pool.getconn()
        for _ in range(statements):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.fetchone()
        connection.rollback()
        pool.putconn(connection)

    return _situations(_through(24, serve))


def request_of_ten() -> list[float]:
    return request(10)


def cursor() -> list[float]:
    import psycopg2

    return _situations(psycopg2.connect(os.environ["BENCH_DSN"]).cursor)


def commit() -> list[float]:
    import psycopg2

    return _situations(psycopg2.connect(os.environ["BENCH_DSN"]).commit)


def open_and_close() -> list[float]:
    import sqlite3

    connect = sqlite3.connect
    return _situations(_through(32, lambda: connect(":memory:").close()))


def start_thread() -> float:
    import sqlite3  # noqa: F401 - brings the watch up
    import threading

    def run(count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

    return _each(_at_depth(8, run), 1_000)


def start_task() -> float:
    import asyncio
    import sqlite3  # noqa: F401 - brings the watch up

    async def nothing() -> None:
        pass

    async def many(count: int) -> None:
        for _ in range(count):
            await asyncio.create_task(nothing())

    return _each(_at_depth(8, lambda count: asyncio.run(many(count))), 5_000)


def idle() -> float:
    """CPU microseconds for one second of sleep, with one connection open."""
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute("SELECT 1")
    time.sleep(1.5)
    started = time.process_time()
    time.sleep(5)
    return (time.process_time() - started) / 5 * 1e6


SITUATIONS = ("", ", after a sleep", ", after another process")

# name → its title, what measures it (one figure, or one for each situation), for which kinds
MEASURED: dict[str, tuple[str, Callable[[], float | list[float]], tuple[str, ...]]] = {
    "request": ("a request", request, KINDS),
    "request_of_ten": ("a request of ten statements", request_of_ten, KINDS),
    "execute_sqlite": ("`execute` on in-memory sqlite3", execute_sqlite, KINDS),
    "execute_postgresql": ("`execute` over loopback PostgreSQL", execute_postgresql, KINDS),
    "cursor": ("psycopg2, `cursor()`", cursor, KINDS),
    "commit": ("psycopg2, `commit()`", commit, KINDS),
    "open_and_close": ("open + close, under 32 new frames", open_and_close, KINDS),
    "start_thread": ("starting a thread", start_thread, KINDS[:2]),
    "start_task": ("starting a task", start_task, KINDS[:2]),
    "idle": ("a second of idling, one connection held", idle, KINDS[:2]),
}
NEEDS_SERVER = ("request", "request_of_ten", "execute_postgresql", "cursor", "commit")


def _instrument(kind: str) -> None:
    """Switch the peer on in this process; whoholds came by its own environment variable."""
    if kind == "opentelemetry":
        from opentelemetry import trace
        from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

        class Nowhere(SpanExporter):
            def export(self, spans: object) -> SpanExportResult:
                del spans
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Nowhere()))
        trace.set_tracer_provider(provider)
        SQLite3Instrumentor().instrument()
        Psycopg2Instrumentor().instrument(skip_dep_check=True)
    elif kind == "ddtrace":
        from ddtrace import patch

        patch(sqlite3=True, psycopg=True)


# --- the table -------------------------------------------------------------------------------------------------------


def _environment(kind: str) -> dict[str, str]:
    theirs = ("WHOHOLDS", "OTEL_", "DD_", "PYTHONDONTWRITEBYTECODE")  # without bytecode a start is a compilation
    environ = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    if kind == "whoholds":
        environ["WHOHOLDS"] = "1"
    if kind == "ddtrace":
        environ.update(
            DD_TRACE_AGENT_URL="http://127.0.0.1:9",
            DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
            DD_TRACE_LOG_LEVEL="CRITICAL",
        )
    return environ


def _measure(name: str, kind: str) -> list[float] | None:
    command = [sys.executable, __file__, "--measure", name, "--kind", kind]
    done = subprocess.run(command, env=_environment(kind), capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            microseconds: list[float] = json.loads(line)["us"]
            return microseconds
    return None


def _rounds(name: str, kinds: tuple[str, ...], rounds: int) -> list[dict[str, list[float]]]:
    """For each situation that is measured the figures of each kind, round by round."""
    rows: list[dict[str, list[float]]] = []
    for _ in range(rounds):
        for kind in kinds:
            figures = _measure(name, kind) or []
            rows += [{kind: [] for kind in kinds} for _ in figures[len(rows) :]]
            for row, figure in zip(rows, figures, strict=False):
                row[kind].append(figure)
    return rows


def _row(title: str, figures: dict[str, list[float]]) -> str:
    bare = figures["nothing"]
    cells = [title, f"{statistics.median(bare):.2f} µs"]
    for kind in KINDS[1:]:
        mine = figures.get(kind)
        if not mine:
            cells.append("–")
            continue
        pairs = list(zip(bare, mine, strict=False))
        more = statistics.median(b - a for a, b in pairs)
        ratio = statistics.median(b / a for a, b in pairs)
        cells.append(f"{more:+.2f} µs (×{ratio:.2f})")
    return "| " + " | ".join(cells) + " |"


def _start(rounds: int) -> list[str]:
    """Interpreter start without whoholds, with it and the variable unset, and with WHOHOLDS=1; with a library, too."""
    with tempfile.TemporaryDirectory() as folder:
        pythons = {}
        for name in ("without", "with"):
            home = Path(folder) / name
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
            packages = next(home.glob("lib/python*/site-packages"), home / "Lib" / "site-packages")
            if name == "with":
                (packages / "_source.pth").write_text(f"{ROOT / 'src'}\n", encoding="utf-8")
                (packages / "whoholds.pth").write_text(
                    (ROOT / "src" / "whoholds.pth").read_text(encoding="utf-8"), encoding="utf-8"
                )
            pythons[name] = next(
                path for path in (home / "bin" / "python", home / "Scripts" / "python.exe") if path.exists()
            )
        plain = _environment("nothing")
        watched = {**plain, "WHOHOLDS": "1"}
        kinds = {
            "without whoholds": (pythons["without"], plain, "pass"),
            "installed, WHOHOLDS unset": (pythons["with"], plain, "pass"),
            "WHOHOLDS=1, no database library": (pythons["with"], watched, "pass"),
            "`import sqlite3`, without whoholds": (pythons["without"], plain, "import sqlite3"),
            "`import sqlite3`, WHOHOLDS=1": (pythons["with"], watched, "import sqlite3"),
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds * 10):
            for kind, (python, environ, code) in kinds.items():
                started = time.perf_counter()
                subprocess.run([python, "-c", code], env=environ, check=True)
                times[kind].append((time.perf_counter() - started) * 1e3)
    lines, base = [], times["without whoholds"]
    for kind, mine in times.items():
        base = mine if kind.endswith("without whoholds") else base
        more = statistics.median(b - a for a, b in zip(base, mine, strict=True))
        lines.append(f"| interpreter start, {kind} | {statistics.median(mine):.1f} ms | {more:+.1f} ms |")
    return lines


class Thing:
    __slots__ = ("__weakref__",)


def _inside() -> Iterator[str]:
    """What is measured within one process: the looks, what they mean for other threads, and an open handle's memory."""
    kept: list[Thing] = []
    with _held(kept, 10_000) as watch:
        first = _took(watch)
        later = statistics.median([_took(watch) for _ in range(9)])
        stalls = [statistics.median([_stall(watch) for _ in range(9)])]
    yield f"| one look over 10 000 open handles | {later:.1f} ms |"
    with _held(kept, 100_000) as watch:
        watch.tick()
        many = statistics.median([_took(watch) for _ in range(5)])
        rest = watch.rest_s
        copying = statistics.median([_copying(watch) for _ in range(5)])
        stalls.append(statistics.median([_stall(watch) for _ in range(5)]))
    yield f"| one look over 100 000, and the time until the next | {many:.1f} ms, {rest:.1f} s |"
    yield f"| the first look at 10 000 new ones, of one line | {first:.1f} ms |"
    with _held(kept, 10_000, nested=True) as watch:
        nested = _took(watch)
    with _held(kept, 10_000, nested=True) as watch:
        logged = _took_with_log(watch)
    yield f"| the first look at 10 000 new ones, of 100 lines and 64 owners that nest | {nested:.1f} ms |"
    yield f"| … and its findings are logged, one for each two lines | {logged:.1f} ms |"
    for _ in range(3):
        with _held(kept, 10_000) as watch:
            stalls.append(_stall(watch))
    yield f"| longest stall of another thread by a look over 10 000 | {stalls[0]:.1f} ms |"
    yield f"| … by a look over 100 000 | {stalls[1]:.1f} ms |"
    yield f"| … of it one call: the table of 100 000 open handles is copied | {copying:.1f} ms |"
    yield f"| … by the first look at 10 000 new ones | {statistics.median(stalls[2:]):.1f} ms |"
    yield f"| memory of an open handle, 32 frames: new / looked at | {' / '.join(_memory(kept))} bytes |"


@contextmanager
def _held(kept: list[Thing], count: int, *, nested: bool = False) -> Iterator[Watch]:
    """A watch with so many open handles, 32 frames deep, of one line and owner, or of many that nest."""
    from instructions import open_nested

    from whoholds.ledger.database import database
    from whoholds.ledger.handle import CONNECTION
    from whoholds.watching.watch import Watch

    watch = Watch()
    where = database("postgresql", "app", "db", 5432, "shop")

    def opened() -> None:
        thing = Thing()
        watch.ledger.opened(CONNECTION, "bench", where, thing, sys._getframe(1))
        kept.append(thing)

    def fill(_: int) -> None:
        for _ in range(count):
            opened()

    if nested:
        open_nested(opened)
    else:
        _at_depth(32, fill)(0)
    yield watch
    kept.clear()
    watch.tick()
    gc.collect()


def _took(watch: Watch) -> float:
    """Milliseconds of CPU time that a look takes."""
    began = time.thread_time()
    watch.tick()
    return (time.thread_time() - began) * 1e3


def _took_with_log(watch: Watch) -> float:
    """The same of a look that logs what it finds; nothing is written."""
    from whoholds.outputs.log import LogOutput

    logging.getLogger("whoholds").addHandler(logging.NullHandler())
    watch.outputs.append(LogOutput(watch.limits))
    return _took(watch)


def _copying(watch: Watch) -> float:
    """Milliseconds of CPU time that it takes to copy the table of open handles, as each look does."""
    table = {handle.opened_stamp: handle for handle in watch.handles}
    began = time.thread_time()
    list(table.values())
    return (time.thread_time() - began) * 1e3


def _stall(watch: Watch) -> float:
    """The longest time, in milliseconds, for which another thread stalls during a look.

    That thread wakes up every 0.3 ms, as one does to which the network has something to say.
    """
    from whoholds.hooks.threads import pause
    from whoholds.watching.ticker import PAUSE_S

    gc.collect()
    late: list[float] = []
    looking = threading.Event()

    def wake_up() -> None:
        while not looking.is_set():
            began = time.perf_counter()
            time.sleep(COLD_S)
            late.append(time.perf_counter() - began - COLD_S)

    other = threading.Thread(target=wake_up)
    other.start()
    time.sleep(0.02)
    late.clear()
    watch.tick(pause=lambda: pause(PAUSE_S))
    time.sleep(0.002)
    looking.set()
    other.join()
    return max(late) * 1e3


def _memory(kept: list[Thing]) -> Iterator[str]:
    import tracemalloc

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    with _held(kept, 10_000) as watch:
        each = sys.getsizeof(Thing()) + 8  # of the list
        yield f"{(tracemalloc.get_traced_memory()[0] - before) / 1e4 - each:.0f}"
        watch.tick()
        gc.collect()
        yield f"{(tracemalloc.get_traced_memory()[0] - before) / 1e4 - each:.0f}"
    tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=MEASURED, action="append")
    parser.add_argument("--measure", choices=MEASURED, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        _instrument(options.kind)
        measured = MEASURED[options.measure][1]()
        print(json.dumps({"us": measured if isinstance(measured, list) else [measured]}), flush=True)
        return
    sys.path.insert(0, str(ROOT))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"Python {sys.version.split()[0]}, {options.rounds} rounds, kinds in turn\n")
    print("| what | nothing | whoholds | OpenTelemetry contrib | ddtrace |\n|---|---|---|---|---|")
    with ExitStack() as servers:
        for name, (title, _, kinds) in MEASURED.items():
            if options.only and name not in options.only:
                continue
            if name in NEEDS_SERVER and "BENCH_DSN" not in os.environ:
                from tests.servers import postgres

                os.environ["BENCH_DSN"] = servers.enter_context(postgres())
            for situation, figures in zip(SITUATIONS, _rounds(name, kinds, options.rounds), strict=False):
                print(_row(title + situation, figures), flush=True)
    if not options.only:
        print("\n| what | measured | more than without |\n|---|---|---|")
        print("\n".join(_start(options.rounds)))
        print("\n| what | measured |\n|---|---|")
        print("\n".join(_inside()))


if __name__ == "__main__":
    main()
