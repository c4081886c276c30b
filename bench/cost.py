"""`python bench/cost.py`: what whoholds costs, beside nothing, OpenTelemetry contrib and ddtrace.

One interleaved run: each measurement is a process of its own; the kinds take turns, round after round, so that a
machine whose speed drifts drifts for all. Times are CPU seconds of the whole process, the ticking thread's included,
but for interpreter start and PostgreSQL, which are wall time. All of it, the server too, runs on one core where the
system allows that: between two, waking the other one up is most of what is measured. Printed are medians over the
rounds, and differences and ratios round by round. Nothing here fails on a number.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
KINDS = ("nothing", "whoholds", "opentelemetry", "ddtrace")


# --- what is measured: run in a process of its own, gives microseconds for one of its kind ---------------------------


def _each(run: Callable[[int], None], count: int, seconds: float = 2.0) -> float:
    """The mean over at least so many seconds: two looks of the ticking thread, and their share of the collector's."""
    run(max(count // 10, 1))
    done, started, began = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        run(count)
        done += count
    return (time.process_time() - began) / done * 1e6


def _at_depth(depth: int, run: Callable[[int], None]) -> Callable[[int], None]:
    def down(count: int, left: int = depth) -> None:
        if left:
            down(count, left - 1)
        else:
            run(count)

    return down


def execute_sqlite() -> float:
    import sqlite3

    execute = sqlite3.connect(":memory:").cursor().execute

    def run(count: int) -> None:
        for _ in range(count):
            execute("SELECT 1")

    return _each(run, 50_000)


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


def open_and_close() -> float:
    import sqlite3

    connect = sqlite3.connect

    def run(count: int) -> None:
        for _ in range(count):
            connect(":memory:").close()

    return _each(_at_depth(32, run), 3_000)


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


MEASURED: dict[str, tuple[str, Callable[[], float], tuple[str, ...]]] = {
    "execute_sqlite": ("`execute` on in-memory sqlite3", execute_sqlite, KINDS),
    "execute_postgresql": ("`execute` over loopback PostgreSQL", execute_postgresql, KINDS),
    "open_and_close": ("open + close, 32 frames deep", open_and_close, KINDS),
    "start_thread": ("starting a thread", start_thread, KINDS[:2]),
    "start_task": ("starting a task", start_task, KINDS[:2]),
    "idle": ("a second of idling, one connection held", idle, KINDS[:2]),
}


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


def _measure(name: str, kind: str) -> float | None:
    command = [sys.executable, __file__, "--measure", name, "--kind", kind]
    done = subprocess.run(command, env=_environment(kind), capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            return json.loads(line)["us"]
    return None


def _rounds(name: str, kinds: tuple[str, ...], rounds: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            if figures[kind] is not None and (figure := _measure(name, kind)) is not None:
                figures[kind].append(figure)
    return figures


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
    """Interpreter start: without whoholds, with it and the variable unset, and with WHOHOLDS=1."""
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
        kinds = {
            "without whoholds": (pythons["without"], plain),
            "installed, WHOHOLDS unset": (pythons["with"], plain),
            "WHOHOLDS=1, no database library": (pythons["with"], {**plain, "WHOHOLDS": "1"}),
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds * 10):
            for kind, (python, environ) in kinds.items():
                started = time.perf_counter()
                subprocess.run([python, "-c", "pass"], env=environ, check=True)
                times[kind].append((time.perf_counter() - started) * 1e3)
    base = times["without whoholds"]
    lines = []
    for kind, mine in times.items():
        more = statistics.median(b - a for a, b in zip(base, mine, strict=True))
        lines.append(f"| interpreter start, {kind} | {statistics.median(mine):.1f} ms | {more:+.1f} ms |")
    return lines


def _inside() -> Iterator[str]:
    """What is measured within one process: the tick, and the memory of an open handle."""
    import gc
    import tracemalloc

    from whoholds.ledger.database import database
    from whoholds.ledger.handle import CONNECTION
    from whoholds.watching.watch import Watch

    class Thing:
        __slots__ = ("__weakref__",)

    def fill(watch: Watch) -> list[Thing]:
        where = database("postgresql", "app", "db", 5432, "shop")
        things = [Thing() for _ in range(10_000)]
        for thing in things:
            watch.ledger.opened(CONNECTION, "bench", where, thing, sys._getframe())
        return things

    kept: list[object] = []
    watch = Watch()
    _at_depth(32, lambda _: kept.append(fill(watch)))(0)
    started = time.process_time()
    watch.tick()
    first = time.process_time() - started
    later = []
    for _ in range(9):
        started = time.process_time()
        watch.tick()
        later.append(time.process_time() - started)
    yield f"| one look over 10 000 open handles | {statistics.median(later) * 1e3:.1f} ms |"
    yield f"| the first look at 10 000 new ones | {first * 1e3:.1f} ms |"
    del watch
    kept.clear()
    gc.collect()
    watch = Watch()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    _at_depth(32, lambda _: kept.append(fill(watch)))(0)
    bare = 10_000 * sys.getsizeof(Thing())
    opened = tracemalloc.get_traced_memory()[0] - before - bare
    watch.tick()
    gc.collect()
    seen = tracemalloc.get_traced_memory()[0] - before - bare
    tracemalloc.stop()
    yield f"| memory of an open handle, 32 frames: new / looked at | {opened / 1e4:.0f} / {seen / 1e4:.0f} bytes |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=MEASURED, action="append")
    parser.add_argument("--measure", choices=MEASURED, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        _instrument(options.kind)
        print(json.dumps({"us": MEASURED[options.measure][1]()}))
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
            if name == "execute_postgresql" and "BENCH_DSN" not in os.environ:
                from tests.servers import postgres

                os.environ["BENCH_DSN"] = servers.enter_context(postgres())
            print(_row(title, _rounds(name, kinds, options.rounds)), flush=True)
    if not options.only:
        print("\n| what | measured | more than without |\n|---|---|---|")
        print("\n".join(_start(options.rounds)))
        print("\n| what | measured |\n|---|---|")
        print("\n".join(_inside()))


if __name__ == "__main__":
    main()
