"""`python bench/instructions.py`: how many instructions whoholds adds to each operation, counted by callgrind.

Instructions are counted, not timed: what else the machine does hardly matters, and two checkouts can be compared.
Runs differ by one or two per cent, rows that wait for a server or a thread by five.
`--against PATH` counts the checkout at that path too, and prints both with their ratio. Valgrind must be installed;
the libraries are those of this environment, the PostgreSQL server is one of the tests' own.

Each checkout is measured in one process, and the bare libraries in another. A row runs once to warm up, then between
two calls of `os.getpriority`, at each of which callgrind writes down what was counted since the call before. The
interpreter's starts are counted in small environments of their own. Nothing here fails on a number.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from contextlib import ExitStack, closing, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[int], object]  # runs an operation so many times

ROOT = Path(__file__).parents[1]
HANDLES, LINES, OWNERS = 10_000, 100, 64  # of the looks
STARTS = {"interpreter start, WHOHOLDS unset": None, "interpreter start, WHOHOLDS=1": "1"}


# --- what is measured: run in a process of its own --------------------------------------------------------------------


def repeated(operation: Callable[[], object], depth: int = 0) -> Run:
    """A run of `operation` so many times, with so many more frames on the stack."""

    def run(count: int, left: int = depth) -> None:
        if left:
            return run(count, left - 1)
        for _ in range(count):
            operation()
        return None

    return run


def sqlite_execute() -> Run:
    execute = import_module("sqlite3").connect(":memory:").cursor().execute
    return repeated(lambda: execute("SELECT 1"))


def sqlite_open() -> Run:
    connect = import_module("sqlite3").connect
    return repeated(lambda: connect(":memory:").close(), 24)


def psycopg2_connection() -> Any:
    connection = import_module("psycopg2").connect(os.environ["BENCH_DSN"])
    connection.autocommit = True
    return connection


def psycopg2_execute() -> Run:
    execute = psycopg2_connection().cursor().execute
    return repeated(lambda: execute("SELECT 1"))


def psycopg2_cursor() -> Run:
    return repeated(psycopg2_connection().cursor)


def psycopg2_commit() -> Run:
    return repeated(psycopg2_connection().commit)


def psycopg2_pool() -> Any:
    return import_module("psycopg2.pool").ThreadedConnectionPool(1, 4, os.environ["BENCH_DSN"])


def loan_of_psycopg2_pool() -> Run:
    pool = psycopg2_pool()
    return repeated(lambda: pool.putconn(pool.getconn()), 8)


def request() -> Run:
    pool = psycopg2_pool()

    def serve() -> None:
        connection = pool.getconn()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        connection.rollback()
        pool.putconn(connection)

    return repeated(serve, 24)


def loan_of_psycopg_pool() -> Run:
    pool = import_module("psycopg_pool").ConnectionPool(os.environ["BENCH_DSN"], min_size=1, max_size=4, open=True)
    pool.wait()
    return repeated(lambda: pool.putconn(pool.getconn()), 8)


def loan_of_sqlalchemy() -> Run:
    url = os.environ["BENCH_DSN"].replace("postgresql:", "postgresql+psycopg2:")
    engine = import_module("sqlalchemy").create_engine(url)
    return repeated(lambda: engine.raw_connection().close(), 8)


def loan_of_dbutils() -> Run:
    psycopg2, dbutils = import_module("psycopg2"), import_module("dbutils.pooled_db")
    pool = dbutils.PooledDB(psycopg2, mincached=1, maxconnections=4, dsn=os.environ["BENCH_DSN"])
    return repeated(lambda: pool.connection().close(), 8)


def awaited(loop: asyncio.AbstractEventLoop, many: Callable[[int], Any], depth: int = 0) -> Run:
    return lambda count: repeated(lambda: loop.run_until_complete(many(count)), depth)(1)


def loan_of_asyncpg() -> Run:
    loop = asyncio.new_event_loop()

    async def made() -> Any:
        return await import_module("asyncpg").create_pool(os.environ["BENCH_DSN"], min_size=1)

    pool = loop.run_until_complete(made())

    async def many(count: int) -> None:
        for _ in range(count):
            await pool.release(await pool.acquire())

    return awaited(loop, many)


async def tasks(count: int) -> None:
    async def nothing() -> None:
        pass

    for _ in range(count):
        await asyncio.create_task(nothing())


def task() -> Run:
    return awaited(asyncio.new_event_loop(), tasks, 8)


def thread() -> Run:
    threading = import_module("threading")

    def start() -> None:
        started = threading.Thread(target=int)
        started.start()
        started.join()

    return repeated(start, 8)


def job() -> Run:
    submit = import_module("concurrent.futures").ThreadPoolExecutor(1).submit
    return repeated(lambda: submit(int).result(), 8)


class Thing:
    __slots__ = ("__weakref__",)


def opener(kept: list[Thing]) -> Callable[[], object]:
    """Opens a handle for a new Thing, which is kept there, as a driver does."""
    ledger = ledger_of_the_watch()
    with closing(import_module("sqlite3").connect(os.devnull)) as connection:
        where = connection._whoholds.database  # a file: each database in memory is one of its own

    def opened() -> None:
        thing = Thing()
        ledger.opened("connection", "bench", where, thing, sys._getframe(1))
        kept.append(thing)

    return opened


def told_of_loans() -> Run:
    """A loan as the ledger is told of it, without a driver and the functions around a library's calls."""
    from whoholds.ledger.handle import Pool

    ledger, pool = ledger_of_the_watch(), Pool(1, "bench", (), 4)
    with closing(import_module("sqlite3").connect(os.devnull)) as connection:
        handle = connection._whoholds

    def loan() -> None:
        lent = ledger.asks(pool, sys._getframe(1))
        lent.answered()
        ledger.lent(lent, None, handle, "bench")
        ledger.closed(lent)

    return repeated(loan, 12)


def told_of_connections() -> Run:
    """The same for a connection that is opened and closed."""
    ledger = ledger_of_the_watch()
    with closing(import_module("sqlite3").connect(os.devnull)) as connection:
        where = connection._whoholds.database

    def opened() -> None:
        ledger.closed(ledger.opened("connection", "bench", where, Thing(), sys._getframe(1)))

    return repeated(opened, 24)


def ledger_of_the_watch() -> Any:
    import_module("sqlite3").connect(":memory:").close()  # brings the watch up
    return import_module("whoholds").start().ledger


def owner() -> Run:
    """The owner that runs here, which each loan and each connection asks for."""
    return repeated(import_module("whoholds.ledger.here").current_owner)


class Noted:
    __slots__ = tuple(f"field{number}" for number in range(30))


def least_stack() -> Run:
    """Twelve frames read by the function that whoholds reads them with; nothing is watched."""
    capture = import_module("whoholds.ledger.origin").capture
    return repeated(lambda: capture(sys._getframe(1), 12), 8)


def least_held(frames: int) -> Run:
    """No whoholds: what a loan or a connection takes in Python if nothing is judged, asked or guarded.

    A function around the call that gives it and one around that which takes it back; so many frames, two times, two
    numbers, and an object of thirty attributes that goes into a dict and out of it.
    """
    numbers, now, held = itertools.count(), time.monotonic, {}
    capture = import_module("whoholds.ledger.origin").capture

    def lend() -> None:
        noted = Noted()
        noted.field0 = capture(sys._getframe(1), frames)
        noted.field1 = now()
        noted.field2 = noted.field3 = noted.field4 = noted.field5 = noted.field6 = noted.field7 = None
        noted.field8 = noted.field9 = noted.field10 = noted.field11 = noted.field12 = noted.field13 = 0
        held[0] = noted
        noted.field14 = next(numbers)

    def take_back() -> None:
        noted = held.pop(0, None)
        noted.field15 = now()
        noted.field16 = next(numbers)

    def loan() -> None:
        lend()
        take_back()

    return repeated(loan, frames)


def least_kept_of_a_loan() -> Run:
    """No whoholds: a loan of which all is kept that whoholds keeps, by two functions that call no others.

    They keep the owner (a thread), the stack, the object with all its attributes, the set of those who wait, the state
    of the connection before and after, three times, two numbers, and the queue of what has ended. They ask nothing
    else, and guard against nothing.
    """
    from whoholds.ledger.database import database
    from whoholds.ledger.handle import CLOSED, CONNECTION, Handle, Loan, Pool

    numbers, now, held, ended = itertools.count(1), time.monotonic, {}, deque[Handle]()
    modules, events, here = sys.modules, import_module("asyncio.events"), import_module("_thread")._local()
    pool, capture = Pool(1, "bench", (), 4), import_module("whoholds.ledger.origin").capture
    connection = Handle(CONNECTION, "bench", database("postgresql"), None, ())
    here.owner = connection

    def lend() -> Handle:
        loan: Handle = Loan()
        if events._get_running_loop() is None and "greenlet" not in modules:
            loan.owner = here.owner
        loan.origin = capture(sys._getframe(1), 12)
        loan.pool = pool
        loan.parent = connection
        loan.database, loan.backend_pid = connection.database, connection.backend_pid
        loan.calls, loan.calls_s = connection.calls, connection.calls_s
        loan.ledger = loan.ref = loan.context = loan.scope = None
        loan.closed_at = loan.closed_stamp = loan.calls_after = None
        loan.site = loan.kept = loan.referrer = None
        loan.looked_at = loan.inherited = loan.at_home = connection.at_home = False
        loan.told = loan.caller = loan.user = 0
        loan.lost_s = 0.0
        loan.how = ""
        loan.made = ()
        loan.driver = "bench"
        loan.began = now()
        pool.waiting.add(loan)
        pool.waiting.discard(loan)
        loan.opened_at = loan.used_at = opened_at = now()
        loan.connect_s = opened_at - loan.began
        loan.opened_stamp = stamp = next(numbers)
        held[stamp] = loan
        return loan

    def take_back(loan: Handle) -> None:
        if connection.used_at > loan.used_at:  # noqa: PLR1730 - as in the ledger
            loan.used_at = connection.used_at
        loan.calls_s_after, loan.calls_after = connection.calls_s, connection.calls
        connection.at_home = True
        loan.closed_at = now()
        loan.how = CLOSED
        loan.closed_stamp = next(numbers)
        del held[loan.opened_stamp]
        ended.append(loan)

    return repeated(lambda: take_back(lend()), 12)


def fused_loan() -> Run:
    """A loan told by one function for each half; unwatched, the row is the library's own loan."""
    if "whoholds" not in sys.modules:
        return loan_of_psycopg2_pool()
    try:
        fused = import_module("fused_loan").fused
    except ModuleNotFoundError:  # a checkout from before the package had folders: as it tells a loan itself
        return loan_of_psycopg2_pool()
    library = import_module("psycopg2.pool")
    pool = fused(library.ThreadedConnectionPool, ledger_of_the_watch())(1, 4, os.environ["BENCH_DSN"])
    return repeated(lambda: pool.putconn(pool.getconn()), 8)


def least_kept_of_a_connection() -> Run:
    """The same for a connection, 24 frames deep: its handle, and the weak reference that notices what nobody closed."""
    from whoholds.ledger.database import database
    from whoholds.ledger.ends import Ends
    from whoholds.ledger.handle import CLOSED, CONNECTION, Handle

    numbers, now, held, ended = itertools.count(1), time.monotonic, {}, deque[Handle]()
    modules, events, here = sys.modules, import_module("asyncio.events"), import_module("_thread")._local()
    where, capture = database("sqlite", name=":memory:"), import_module("whoholds.ledger.origin").capture
    ends = Ends(numbers, now)
    reference, on_end = ends.reference, ends.on_end
    here.owner = None

    def opened(thing: Thing) -> Handle:
        owner = here.owner if events._get_running_loop() is None and "greenlet" not in modules else None
        handle = Handle(CONNECTION, "bench", where, owner, capture(sys._getframe(1), 32))
        handle.ref = kept = reference(thing, on_end)
        kept.handle = handle
        handle.opened_at = handle.used_at = now()
        handle.opened_stamp = stamp = next(numbers)
        held[stamp] = handle
        return handle

    def closed(handle: Handle) -> None:
        handle.closed_at = now()
        handle.how = CLOSED
        handle.closed_stamp = next(numbers)
        handle.ref = None
        del held[handle.opened_stamp]
        ended.append(handle)

    return repeated(lambda: closed(opened(Thing())), 24)


def least_of_nested() -> Run:
    """No whoholds: the pairs of lines alone, for the handles, lines and owners of the first look that nests.

    Each handle gets its line, is counted for its line and its owner, and makes a pair with each of the three handles
    that its owner took before. For each pair of lines, those who held and those who asked are told apart.
    """
    handles = []
    for owner in range(OWNERS):
        for n in range(HANDLES // OWNERS):
            handle = Noted()
            handle.field0, handle.field1, handle.field2 = owner, (owner + n) % LINES, None
            handles.append(handle)

    def run(_count: int) -> None:
        by_owner: defaultdict[int, list[Any]] = defaultdict(list)
        counts: defaultdict[tuple[int, int], int] = defaultdict(int)
        for handle in handles:
            handle.field2 = line = handle.field1
            counts[line, handle.field0] += 1
            by_owner[handle.field0].append(handle)
        pairs: defaultdict[tuple[int, int], list[tuple[Any, Any]]] = defaultdict(list)
        for held in by_owner.values():
            for place, inner in enumerate(held):
                for outer in held[max(place - 3, 0) : place]:
                    pairs[outer.field2, inner.field2].append((outer, inner))
        run.told = [  # type: ignore[attr-defined]
            (dict.fromkeys([outer for outer, _ in pair]), {inner.field0: inner for _, inner in pair})
            for pair in pairs.values()
        ]

    return run


def least_of_a_statement() -> Run:
    """No whoholds: a function around `execute` that keeps the statement, two times, who calls, and a number."""
    execute, now, me = (
        import_module("sqlite3").connect(":memory:").cursor().execute,
        time.monotonic,
        import_module("_thread"),
    )
    noted = Noted()
    noted.field0, noted.field1, noted.field2 = 0, 0.0, [None] * 5

    def around(sql: str) -> Any:
        noted.field3 = me.get_ident()
        began = now()
        result = execute(sql)
        ended = now()
        noted.field2[noted.field0 % 5] = (sql, began, ended - began)
        noted.field1 += ended - began
        noted.field0 += 1
        noted.field4 = ended
        noted.field3 = 0
        return result

    return repeated(lambda: around("SELECT 1"))


def least_of_a_task() -> Run:
    """No whoholds: a function around `create_task` that leaves the frames of its caller on the new task."""
    capture, end = import_module("whoholds.ledger.origin").capture_until, asyncio.Handle._run.__code__
    original = asyncio.BaseEventLoop.create_task

    class Loop(asyncio.SelectorEventLoop):
        def create_task(self, coro: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            task = original(self, coro, **kwargs) if kwargs else original(self, coro)
            task.noted = capture(sys._getframe(1), 8, end)  # type: ignore[attr-defined]
            return task

    return awaited(Loop(), tasks, 8)


def freed() -> Run:
    """A handle that nobody closes is opened and freed, and a look sees it."""
    kept: list[Thing] = []
    opened, watch = opener(kept), import_module("whoholds").start()

    def run(count: int) -> None:
        repeated(opened, 8)(count)
        kept.clear()
        watch.tick()

    return run


def idle() -> Run:
    """A look at one connection that is held and not used: what each second of idling takes."""
    connection = import_module("sqlite3").connect(":memory:")
    connection.execute("SELECT 1")
    run = repeated(import_module("whoholds").start().tick)
    run.kept = [connection]  # type: ignore[attr-defined]
    return run


def look(*, first: bool, nested: bool = False) -> Run:
    """One look over many handles, their first or a later one; they are of one line, or of owners that nest lines."""
    kept: list[Thing] = []
    opened, watch = opener(kept), import_module("whoholds").start()
    if nested:
        open_nested(opened)
    else:
        repeated(opened, 32)(HANDLES)
    looks = iter([print, watch.tick] if first else [watch.tick] * 2)  # where the first look counts, none warms up

    def run(_count: int) -> None:
        next(looks)()

    run.kept = kept  # type: ignore[attr-defined]
    return run


def open_nested(opened: Callable[[], object]) -> None:
    """Each of so many threads, which live on, opens its share of the handles at as many lines, in one call after another."""
    threading = import_module("threading")
    names: dict[str, Any] = {"opened": opened}
    lines = "".join(f"def line{n}():\n    opened()\n" for n in range(LINES))
    exec(lines + "def all_of_them():\n" + "".join(f"    line{n % LINES}()\n" for n in range(HANDLES // OWNERS)), names)
    ends, done = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        repeated(names["all_of_them"], 16)(1)
        done.release()
        ends.wait()

    for _ in range(OWNERS):
        threading.Thread(target=hold, daemon=True).start()
        done.acquire()


# title → what makes its run, and how often that runs its operation
ROWS: dict[str, tuple[Callable[[], Run], int]] = {
    "sqlite3, `cursor.execute`": (sqlite_execute, 20_000),
    "sqlite3, open and close, 24 frames deep": (sqlite_open, 1_000),
    "psycopg2, `execute`": (psycopg2_execute, 2_000),
    "psycopg2, `cursor()`": (psycopg2_cursor, 5_000),
    "psycopg2, `commit()`": (psycopg2_commit, 5_000),
    "psycopg2.pool, loan": (loan_of_psycopg2_pool, 2_000),
    "psycopg2.pool, loan, told by one function for each half": (fused_loan, 2_000),
    "psycopg2.pool, request: loan, cursor, `execute`, `fetchone`, `rollback`": (request, 1_000),
    "psycopg_pool, loan": (loan_of_psycopg_pool, 1_000),
    "SQLAlchemy, loan": (loan_of_sqlalchemy, 1_000),
    "DBUtils, loan": (loan_of_dbutils, 1_000),
    "asyncpg, loan": (loan_of_asyncpg, 500),
    "a thread is started and joined": (thread, 300),
    "a task is started and awaited": (task, 2_000),
    "an executor's job": (job, 1_000),
    "who runs here": (owner, 5_000),
    "twelve frames of a stack, read": (least_stack, 2_000),
    "the least that a loan takes in Python": (lambda: least_held(12), 2_000),
    "the least with all that is kept of a loan": (least_kept_of_a_loan, 2_000),
    "the least that a connection of 32 frames takes": (lambda: least_held(32), 1_000),
    "the least with all that is kept of a connection, 24 frames deep": (least_kept_of_a_connection, 1_000),
    f"the least of a look's pairs, of {LINES} lines and {OWNERS} owners that nest": (least_of_nested, 1),
    "an `execute` of sqlite3 with the least around it": (least_of_a_statement, 20_000),
    "a task that is started with the least around it": (least_of_a_task, 2_000),
    "a look at one connection that idles, each second": (idle, 200),
    "a handle is opened, freed and looked at": (freed, 1_000),
    f"first look at {HANDLES} handles of one line": (lambda: look(first=True), 1),
    f"first look at {HANDLES} handles of {LINES} lines, {OWNERS} owners that nest": (
        lambda: look(first=True, nested=True),
        1,
    ),
    f"a later look at {HANDLES} handles": (lambda: look(first=False), 1),
    # last, for a look remembers for a minute what was opened and closed
    "a loan, as the ledger is told of it": (told_of_loans, 2_000),
    "a connection, as the ledger is told of it": (told_of_connections, 1_000),
}
NEEDS_WATCH = ("handle", "idles", "ledger", "who runs")  # rows that measure nothing without whoholds
UNWATCHED = ("twelve frames", "least")  # rows in which nothing is watched: what Python itself takes
NOT_RUN = 10_000  # instructions from mark to mark: a row with fewer was not run
NEEDS_SERVER = ("psycopg", "SQLAlchemy", "DBUtils", "asyncpg")


def measure(titles: list[str], *, watched: bool) -> None:
    """Run these rows; callgrind counts between the two marks around each."""
    if watched:
        with suppress(ModuleNotFoundError):  # a checkout from before the package had folders, whose looks did not pause
            # a look that pauses may stop for good here: under Valgrind a wait of 50 µs does not always end
            import_module("whoholds.watching.ticker").pause = lambda _seconds: None  # type: ignore[attr-defined]
        watch = import_module("whoholds").start(outputs=(), every=3600.0)
        import_module("sqlite3").connect(":memory:").close()
        time.sleep(0.5)  # the one look that follows an opening
    for title in titles:
        make, count = ROWS[title]
        try:
            run = make()
        except ModuleNotFoundError:  # an earlier checkout lacks what the row is about
            run = no_run
        run(count)
        if watched and count > 1:
            watch.tick()
        gc.collect()
        mark()
        run(count)
        mark()
        getattr(run, "kept", []).clear()
        if watched:
            watch.tick()
    sys.stdout.flush()
    os._exit(0)


def no_run(_count: int) -> None:
    """In the place of a row that cannot be measured."""


def mark() -> None:
    """Callgrind writes down what was counted since the last mark: it watches this function of the C library."""
    os.getpriority(os.PRIO_PROCESS, 0)


# --- the counting -----------------------------------------------------------------------------------------------------


def counted(command: list[str], environ: dict[str, str]) -> list[int]:
    """The instructions of a command from mark to mark; the last number is that of the instructions after the last mark."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        callgrind = ["valgrind", "--tool=callgrind", "--dump-before=getpriority", f"--callgrind-out-file={out}"]
        done = subprocess.run([*callgrind, *command], env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        parts = sorted(out.parent.glob("counts*"), key=lambda part: int(part.suffix[1:] or 10**6))
        return [sum(_totals(part)) for part in parts]


def _totals(part: Path) -> list[int]:
    with part.open(encoding="utf-8") as lines:
        return [int(line.split()[1]) for line in lines if line.startswith("totals:")]


def _environment(checkout: Path | None) -> dict[str, str]:
    ours = ("WHOHOLDS", "OTEL_", "PYTHONDONTWRITEBYTECODE", "COVERAGE")  # without bytecode a start is a compilation
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ["PYTHONHASHSEED"] = "0"
    if checkout is not None:
        environ["PYTHONPATH"] = str(checkout / "src")
    return environ


def operations(titles: list[str], checkout: Path | None) -> dict[str, float]:
    """Instructions of each operation; without whoholds if there is no checkout."""
    titles = [title for title in titles if title in ROWS]
    left_out = NEEDS_WATCH if checkout is None else UNWATCHED
    titles = [title for title in titles if not any(word in title for word in left_out)]
    command = [sys.executable, __file__, "--measure", *titles]
    if checkout is not None:
        command.append("--watched")
    between = counted(command, _environment(checkout))[1::2] if titles else []
    totals = zip(titles, between, strict=False)
    return {title: total / ROWS[title][1] for title, total in totals if total > NOT_RUN}


def starts(titles: list[str], checkout: Path | None) -> dict[str, float]:
    """Instructions of an interpreter that starts and ends, in an environment without any other package."""
    titles = [title for title in titles if title in STARTS]
    if not titles:
        return {}
    with tempfile.TemporaryDirectory() as home:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
        if checkout is not None:
            packages = next(Path(home).glob("lib/python*/site-packages"))
            (packages / "_source.pth").write_text(f"{checkout / 'src'}\n", encoding="utf-8")
            line = (checkout / "src" / "whoholds.pth").read_text(encoding="utf-8")
            (packages / "whoholds.pth").write_text(line, encoding="utf-8")
        environ, command = _environment(None), [f"{home}/bin/python", "-c", "pass"]
        figures: dict[str, float] = {}
        for title in titles:
            value = STARTS[title]
            chosen = environ if value is None else {**environ, "WHOHOLDS": value}
            subprocess.run(command, env=chosen, check=True)  # writes the bytecode
            figures[title] = counted(command, chosen)[-1]
        return figures


# --- the table --------------------------------------------------------------------------------------------------------


def table(titles: list[str], checkouts: list[Path]) -> list[str]:
    """The lines of a Markdown table, a row for each title."""
    bare, *watched = [operations(titles, checkout) | starts(titles, checkout) for checkout in (None, *checkouts)]
    names = ["added"] if len(checkouts) == 1 else ["added", "added there", "ratio"]
    lines = ["| instructions of | without whoholds | " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) + 1)]
    for title in titles:
        without = bare.get(title, 0.0)
        added = [figures[title] - without for figures in watched if title in figures]
        cells = [f"{without:,.0f}" if title in bare else "–", *(f"{more:,.0f}" for more in added)]
        if len(added) > 1:
            cells.append(f"{added[0] / added[1]:.2f}")
        cells += ["–"] * (1 + len(names) - len(cells))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Measure all, and print a table."""
    titles = [*ROWS, *STARTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="parts of rows' titles; the default is all rows")
    parser.add_argument("--against", type=Path, help="the folder of another checkout")
    parser.add_argument("--measure", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        measure(asked.measure, watched=asked.watched)
    chosen = [title for title in titles if not asked.rows or any(part in title for part in asked.rows)]
    sys.path.insert(0, str(ROOT))
    with ExitStack() as servers:
        if any(title.startswith(NEEDS_SERVER) for title in chosen) and "BENCH_DSN" not in os.environ:
            from tests.servers import postgres

            os.environ["BENCH_DSN"] = servers.enter_context(postgres())
        checkouts = [ROOT] if asked.against is None else [ROOT, asked.against.resolve()]
        print("\n".join(table(chosen, checkouts)))


if __name__ == "__main__":
    main()
