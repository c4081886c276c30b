"""Real interpreters: how it comes in, what it leaves alone, and every way in which a process can end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.needs import needed
from tests.programs import Programs, Ran

ROOT = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="there are no such signals or forks")

LEAK = """
import sqlite3
kept = []
def load():
    kept.append(sqlite3.connect("shop.db"))
for _ in range(3):
    load()
"""
THREE = [("left-open", "error", 3)]
OF_OURS = "Traceback", "Exception ignored", "Fatal Python error", "DeprecationWarning"


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    """Give what runs programs in a folder of this test's own."""
    return Programs(tmp_path)


def quiet(ran: Ran) -> bool:
    """Whether no traceback or interpreter's complaint is on stderr."""
    return not any(complaint in ran.err for complaint in OF_OURS)


# --- switched on and off ----------------------------------------------------------------------------------------

ALL_MODULES = "import sys; print(*sorted(sys.modules))"


@pytest.mark.parametrize("value", [None, "", "0", "false", "off", "OFF", "no"])
def test_switched_off_nothing_is_imported(program: Programs, value: str | None) -> None:
    """Not even the module that would find out that it is off."""
    ran = program.run(ALL_MODULES, WHOHOLDS=value)
    assert not [name for name in ran.out.split() if "whoholds" in name]


def test_without_a_database_library_next_to_nothing_is_imported(program: Programs) -> None:
    """What waits for one, and of the standard library nothing that the program has not."""
    off = set(program.run(ALL_MODULES, WHOHOLDS=None).out.split())
    on = set(program.run(ALL_MODULES).out.split())
    light = "autostart switch hooks.exits hooks.imports hooks.seams hooks.spawning drivers.table"
    light += " ledger.cpython ledger.faults ledger.handle ledger.here ledger.origin ledger.owner ledger.scope"
    light += " hooks drivers ledger text text.streams"
    ours = {"whoholds", *(f"whoholds.{name}" for name in light.split())}
    assert on - off <= {"atexit", "_functools", "_collections", "_contextvars", "__future__", *ours}
    assert "whoholds.hooks.spawning" in on
    heavy = {"typing", "threading", "asyncio", "ssl", "wrapt", "opentelemetry", "dataclasses", "logging", "weakref"}
    assert not (on - off) & heavy


def test_the_environment_alone_finds_the_leak(program: Programs) -> None:
    """The line, the count, and the whole text on stderr."""
    ran = program.run(LEAK)
    assert (ran.code, ran.findings) == (0, THREE)
    assert "left open 3 connections at the end of the process" in ran.err
    assert "app.py:5 in load" in ran.err
    assert ran.err.splitlines()[-2].startswith("whoholds: 1 finding (1 error): 3 connections opened")


def test_importing_auto_alone_finds_the_leak(program: Programs) -> None:
    """Where the environment cannot be set; the program's own settings of the environment count."""
    ran = program.run(f"import whoholds.auto\n{LEAK}", WHOHOLDS=None)
    assert (ran.code, ran.findings) == (0, THREE)
    assert "app.py:6 in load" in ran.err


def test_importing_whoholds_patches_nothing(program: Programs) -> None:
    """Nor does it wait for anything."""
    ran = program.run(
        """
        import asyncio.base_events, concurrent.futures.thread, gc, multiprocessing.process, sqlite3, sys, threading
        def state():
            held = [sqlite3, sqlite3.dbapi2, threading.Thread, asyncio.base_events.BaseEventLoop]
            held += [concurrent.futures.thread._WorkItem, multiprocessing.process.BaseProcess]
            return [dict(vars(one)) for one in held], list(sys.meta_path), list(gc.callbacks)
        before = state()
        import whoholds
        print(state() == before, dir(whoholds)[:2], whoholds.__version__)
        """,
        WHOHOLDS=None,
    )
    assert ran.out.startswith("True ['Finding', 'HeldConnectionWarning'] 0.")
    assert ran.clean


RESTORED = """
import asyncio.base_events, concurrent.futures.thread, gc, importlib, multiprocessing.process, sys, threading
import sqlite3, sqlite3.dbapi2
held = [sqlite3, sqlite3.dbapi2, threading.Thread, asyncio.base_events.BaseEventLoop]
held += [concurrent.futures.thread._WorkItem, multiprocessing.process.BaseProcess]
for name in ["psycopg2", "psycopg2.extensions", "psycopg2.pool", "psycopg", "psycopg_pool", "pymysql", "pymysql.connections"]:
    try:
        held.append(importlib.import_module(name))
    except ImportError:
        continue
for module in list(held):
    held += [one for one in vars(module).values() if isinstance(one, type) and one.__module__.startswith(("psycopg", "pymysql"))]
here = sqlite3.connect
def state():
    return [dict(vars(one)) for one in held], list(sys.meta_path), list(gc.callbacks), here
before = state()
import whoholds
for _ in range(2):
    whoholds.start(outputs="0")
    assert state() != before
    live = sqlite3.connect(":memory:")
    whoholds.stop()
    after = state()
    for one, then, now in zip(held, before[0], after[0]):
        for name in {*then, *now}:
            if then.get(name) is not now.get(name) and not name.startswith("__"):
                print(one, name, then.get(name), now.get(name))
    print(after[1:] == before[1:])
    assert live.execute("select 1").fetchone() == (1,)
    live.close()
"""


def test_stop_leaves_every_name_as_it_was(program: Programs) -> None:
    """Of every module and class, and the names that a program had imported; twice over. Live objects go quiet."""
    ran = program.run("import warnings; warnings.simplefilter('ignore')\n" + RESTORED, WHOHOLDS=None)
    assert ran.out == "True\nTrue\n"
    assert (ran.code, ran.err) == (0, "")


def test_a_connect_imported_by_name_before_the_start_is_seen(program: Programs) -> None:
    """Where a module's global is that function it is rebound."""
    ran = program.run(
        """
        from sqlite3 import connect as link
        import whoholds
        whoholds.start()
        kept = []
        def load():
            kept.append(link("shop.db"))
        load()
        load()
        """,
        WHOHOLDS=None,
    )
    assert (ran.code, ran.findings) == (0, [("left-open", "error", 2)])
    (found,) = ran.of("finding", "left-open")
    assert (found["opened"]["line"], found["opened"]["function"]) == (7, "load")


def test_a_clean_program_hears_nothing(program: Programs) -> None:
    """Not a word, and its output is its own."""
    ran = program.run(
        """
        import contextlib, sqlite3
        for _ in range(30):
            with contextlib.closing(sqlite3.connect("shop.db")) as connection:
                connection.execute("select 1").fetchall()
        print("done")
        """
    )
    assert ran.clean
    assert ran.out == "done\n"


@pytest.mark.parametrize(
    ("options", "expected"), [(["-I"], THREE), (["-E"], THREE), (["-s"], THREE), (["-S"], []), (["-X", "dev"], THREE)]
)
def test_python_started_in_its_other_ways(program: Programs, options: list[str], expected: list[object]) -> None:
    """-S reads no .pth: nothing is watched, nothing breaks; all others are watched."""
    ran = program.run(LEAK, options=options)
    assert ran.code == 0
    assert ran.findings == expected
    assert "Traceback" not in ran.err


def test_a_child_process_is_watched_by_itself(program: Programs) -> None:
    """The environment is inherited, and so is nothing else."""
    program.write(LEAK, "child.py")
    ran = program.run("import subprocess, sys; subprocess.run([sys.executable, 'child.py'], check=True)")
    assert ran.findings == THREE
    (found,) = ran.of("finding", "left-open")
    assert found["opened"]["file"].endswith("child.py")


@pytest.mark.once
@pytest.mark.timeout(180)
def test_a_built_wheel_in_a_fresh_environment_finds_the_leak(program: Programs) -> None:
    """The .pth beside the package, in a virtual environment, with nothing else installed."""
    needed("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(program.folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = program.folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"whoholds.pth", "whoholds.start", "whoholds_start.py", "whoholds/py.typed"} <= set(names)
    venv = program.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    program.python = str(venv / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        program.python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    assert program.run(ALL_MODULES, WHOHOLDS=None).out.count("whoholds") == 0
    ran = program.run(LEAK)
    assert (ran.code, ran.findings) == (0, THREE)
    assert "app.py:5 in load" in ran.err


def test_the_start_file_names_a_callable_that_imports_nothing_when_off(program: Programs) -> None:
    """For Pythons that read `.start` files: the same as the .pth line."""
    assert (ROOT / "src" / "whoholds.start").read_text().split() == ["whoholds_start:start"]
    source = "import sys, whoholds_start; before = set(sys.modules); whoholds_start.start(); print(*set(sys.modules) - before)"
    for value in (None, "0", "off"):
        assert program.run(source, WHOHOLDS=value).out.strip() == ""
    assert "whoholds.autostart" in program.run(f"import os; os.environ['WHOHOLDS'] = '1'; {source}", WHOHOLDS=None).out


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WHOHOLDS_TOO_MANY": "lots"}, "whoholds: not watching: WHOHOLDS_TOO_MANY=lots: it takes a number"),
        (
            {"WHOHOLDS_TO_MANY": "5"},
            "WHOHOLDS_TO_MANY=5: it takes nothing: there is no such setting (did you mean WHOHOLDS_TOO_MANY?)",
        ),
        ({"WHOHOLDS": "jurnal"}, "WHOHOLDS=jurnal: it takes 1, 0 or a comma list of outputs: log, warn, otel, journal"),
        ({"WHOHOLDS_IGNORE": "@/nowhere/x.txt"}, "WHOHOLDS_IGNORE=@/nowhere/x.txt: it takes a file that can be read"),
    ],
)
def test_a_wrong_setting_is_one_line_and_the_program_runs_on(
    program: Programs, settings: dict[str, str], said: str
) -> None:
    """Unwatched: same output, same exit code."""
    ran = program.run(LEAK + "print('done')\nraise SystemExit(4)", **settings)
    assert (ran.code, ran.out, ran.of("finding")) == (4, "done\n", [])
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_a_journal_that_cannot_be_written_is_one_line(program: Programs) -> None:
    """The other outputs go on."""
    blocked = program.folder / "file"
    blocked.write_text("")
    ran = program.run(LEAK, WHOHOLDS_JOURNAL=blocked / "run.jsonl")
    assert ran.code == 0
    lines = [line for line in ran.err.splitlines() if "switched off" in line]
    assert len(lines) == 1
    assert lines[0].startswith("whoholds: output journal is switched off: ")
    assert str(blocked) in lines[0]
    assert "left-open: 3 connections" in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_one_line(program: Programs) -> None:
    """And never the program's trouble."""
    ran = program.run(LEAK, WHOHOLDS_JOURNAL="/dev/full")
    assert ran.code == 0
    assert ran.err.count("output journal is switched off") == 1
    assert "left-open: 3 connections" in ran.err


def test_an_exporter_that_raises_is_nobodys_trouble(program: Programs) -> None:
    """The SDK's exporter raises: the program ends as it would, and the log output says what was found."""
    needed("opentelemetry.sdk")
    ran = program.run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
        class Broken(SpanExporter):
            def export(self, spans):
                raise RuntimeError("no such collector")
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(Broken()))
        trace.set_tracer_provider(provider)
        """
        + "\n".join("        " + line for line in LEAK.splitlines())
        + "\n        print('done')"
    )
    assert (ran.code, ran.out, ran.findings) == (0, "done\n", THREE)
    assert "left-open: 3 connections" in ran.err


# --- how a process ends -----------------------------------------------------------------------------------------


def test_an_uncaught_exception_is_the_programs_own(program: Programs) -> None:
    """Its traceback without a frame of ours, its exit code; then what was left open."""
    ran = program.run(LEAK + "raise LookupError('no such car')")
    assert ran.code == 1
    assert "LookupError: no such car" in ran.err
    assert "whoholds/" not in ran.err
    assert ran.findings == THREE


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(7)", 7), ("sys.exit('no')", 1), ("raise SystemExit", 0)])
def test_sys_exit_keeps_its_code(program: Programs, ending: str, code: int) -> None:
    """And the last look is taken."""
    ran = program.run(f"{LEAK}\nimport sys\n{ending}")
    assert (ran.code, ran.findings) == (code, THREE)


def test_a_program_that_closes_at_its_exit_is_silent(program: Programs) -> None:
    """Our look comes after its atexit handlers, also after those registered before the library was imported."""
    ran = program.run(
        """
        import atexit
        kept = []
        @atexit.register
        def close():
            for connection in kept:
                connection.close()
        import sqlite3
        def load():
            kept.append(sqlite3.connect("shop.db"))
        for _ in range(3):
            load()
        """
    )
    assert ran.clean


def test_os_exit_takes_no_last_look_and_loses_nothing_said_before(program: Programs) -> None:
    """Findings reach the journal when they are made."""
    ran = program.run(
        """
        import gc, os, pathlib, sqlite3, time
        class Keeps: pass
        def load():
            keeps = Keeps()
            keeps.me, keeps.connection = keeps, sqlite3.connect("shop.db")
        load()
        gc.collect()
        journal = pathlib.Path(os.environ["WHOHOLDS_JOURNAL"].replace("{pid}", str(os.getpid())))
        while "collected-open" not in (journal.read_text() if journal.exists() else ""):
            time.sleep(0.01)
        os._exit(5)
        """,
        WHOHOLDS_EVERY="0.02",
    )
    assert (ran.code, ran.findings) == (5, [("collected-open", "warning", 1)])


# A signal that comes just before a long sleep begins does not end it.
WAIT = "import time\ndef wait():\n    for _ in range(600):\n        time.sleep(0.1)\n"

WAITS = f"""{WAIT}
import gc, sqlite3
class Keeps: pass
def load():
    keeps = Keeps()
    keeps.me, keeps.connection = keeps, sqlite3.connect("shop.db")
load()
gc.collect()
print("ready", flush=True)
wait()
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_signal_ends_the_program_as_it_would_and_what_was_said_stays(program: Programs, number: int) -> None:
    """SIGTERM without a handler runs no atexit; the journal has what was found, in whole lines."""
    process = program.start(WAITS, WHOHOLDS_EVERY="0.02")
    journal = program.folder / f"{process.pid}.jsonl"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (journal.exists() and "collected-open" in journal.read_text()):
        time.sleep(0.02)
    process.send_signal(number)
    ran = program.ends(process)
    assert (ran.code, ran.findings) == (-number, [("collected-open", "warning", 1)])


def test_daemon_threads_at_the_end_are_no_ones_trouble(program: Programs) -> None:
    """They open, use and close while the interpreter goes down: no traceback of ours, no hang, no crash."""
    ran = program.run(
        """
        import sqlite3, threading, time
        def work():
            while True:
                connection = sqlite3.connect("shop.db", check_same_thread=False)
                connection.execute("select 1").fetchall()
                connection.close()
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
        print("done")
        """,
        WHOHOLDS_EVERY="0.01",
    )
    assert (ran.code, ran.out) == (0, "done\n")
    assert quiet(ran), ran.err


def test_what_is_freed_while_modules_go_away_is_no_ones_trouble(program: Programs) -> None:
    """Connections in cycles, in thread-locals, in module globals, in an object with `__del__` that opens another."""
    ran = program.run(
        """
        import sqlite3, threading
        class Late:
            def __init__(self):
                self.me, self.connection = self, sqlite3.connect("shop.db")
            def __del__(self, connect=sqlite3.connect):
                self.connection.close()
                connect(":memory:").close()
        late, local, one = Late(), threading.local(), sqlite3.connect("shop.db")
        local.connection = sqlite3.connect("shop.db")
        """
    )
    assert ran.code == 0
    assert quiet(ran), ran.err


def test_an_atexit_handler_may_open_its_first_connection(program: Programs) -> None:
    """No thread can be started any more: the look comes, at once, and finds what that left open."""
    started = time.monotonic()
    ran = program.run(
        """
        import atexit, sqlite3
        kept = []
        @atexit.register
        def report():
            for _ in range(2):
                kept.append(sqlite3.connect("shop.db"))
        """
    )
    assert (ran.code, ran.findings) == (0, [("left-open", "error", 2)])
    assert quiet(ran), ran.err
    assert time.monotonic() - started < 10


def test_a_library_that_lies_beside_the_program_is_not_blamed(program: Programs) -> None:
    """Vendored, or brought by `pip install --target`: it is known by its folder or file, not by site-packages."""
    pool = needed("playhouse.pool")
    shutil.copytree(Path(pool.__file__).parent, program.folder / "playhouse")
    shutil.copy(Path(pool.__file__).parents[1] / "peewee.py", program.folder)
    ran = program.run(
        """
        import peewee
        from playhouse.pool import PooledSqliteDatabase
        def load(number):
            database = PooledSqliteDatabase(f"shop{number}.db")
            database.connect()
            return database
        kept = [load(number) for number in range(2)]
        print(peewee.__file__)
        """
    )
    assert ran.out == f"{program.folder / 'peewee.py'}\n"
    (found,) = ran.of("finding", "left-open")
    assert (found["opened"]["function"], found["opened"]["file"]) == ("load", str(program.folder / "app.py"))


def test_executemany_leaves_nothing_to_read(program: Programs) -> None:
    """Its cursor keeps the statement, which is done: no lock is held."""
    ran = program.run(
        """
        import sqlite3, time
        connection = sqlite3.connect("site.db")
        connection.execute("create table measured (value)")
        cursor = connection.executemany("insert into measured values (?)", [(1,), (2,)])
        connection.commit()
        time.sleep(1)
        connection.close()
        """,
        WHOHOLDS_HELD_TOO_LONG="0.3",
        WHOHOLDS_EVERY="0.1",
    )
    assert ran.clean, ran.err


# --- signals ----------------------------------------------------------------------------------------------------


@posix
def test_a_signal_that_raises_in_the_middle_of_anything_reaches_the_program(program: Programs) -> None:
    """Hundreds of timeouts in thousands of opens and closes, and nothing is accused.

    A few meet the callback of a connection that a timeout had kept from being closed: Python drops what is raised
    in any callback of a weak reference. In hooks and in collections, where most would be lost, none is.
    """
    ran = program.run(
        """
        import gc, signal, sqlite3, time
        class TimeIsUp(Exception): pass
        def ring(*_):
            raise TimeIsUp
        signal.signal(signal.SIGALRM, ring)
        until = time.monotonic() + 1.5
        rung = caught = loops = 0
        connection = sqlite3.connect(":memory:")
        def work():  # apart from the `try`: 3.13 forgets it where a loop's condition raises
            global connection, loops
            patience = time.monotonic() + 0.02
            while time.monotonic() < patience:
                connection = sqlite3.connect(":memory:")
                connection.execute("select 1").fetchall()
                connection.close()
                loops += 1
        while time.monotonic() < until:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + loops % 17 * 0.0001)
                rung += 1
                work()
            except TimeIsUp:
                caught += 1
                connection.close()
        connection.close()
        del connection
        gc.collect()
        import whoholds
        for _ in range(3):
            whoholds.current().tick()
        print(caught > 5, loops > 5, rung - caught <= rung / 4 + 5, len(whoholds.holders()))
        """,
        WHOHOLDS_EVERY="0.05",
    )
    assert (ran.code, ran.out) == (0, "True True True 0\n")
    assert not ran.of("finding", "left-open")


@posix
def test_the_dump_signal_prints_who_holds_what_and_calls_the_handler_that_was_there(program: Programs) -> None:
    """While it runs, as often as asked; `stop` gives the handler back."""
    ran = program.run(
        """
        import os, signal, sys, time
        calls, printed = [], []
        class Both:
            def write(self, text):
                sys.__stderr__.write(text)
                printed.append(text)
            def flush(self):
                sys.__stderr__.flush()
        sys.stderr = Both()
        def mine(number, frame):
            calls.append(number)
        signal.signal(signal.SIGUSR1, mine)
        import sqlite3
        connection = sqlite3.connect("shop.db")
        for n in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)
            while len(printed) <= n:
                time.sleep(0.01)
        import whoholds
        connection.close()
        whoholds.stop()
        print(len(calls), signal.getsignal(signal.SIGUSR1) is mine)
        """,
        WHOHOLDS_DUMP_SIGNAL="USR1",
    )
    assert (ran.code, ran.out) == (0, "2 True\n")
    assert ran.err.count("whoholds: 1 open to sqlite:") == 2
    assert "app.py:15  in <module>" in ran.err


# --- forks ------------------------------------------------------------------------------------------------------

FORKS = """
import os, threading, time
import whoholds
from whoholds.testing import fake_dbapi
database = fake_dbapi()  # sqlite3 itself hangs in a child where another thread was inside it
whoholds.start()
whoholds.watch_module(database)
held = database.connect()
hung = 0
def work():
    while True:
        database.connect().close()
        time.sleep(0.0005)
threading.Thread(target=work, daemon=True).start()
for n in range(60):
    pid = os.fork()
    if pid == 0:
        database.connect().close()
        os._exit(0)
    until = time.monotonic() + 5
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            hung += 1
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            break
        time.sleep(0.001)
held.close()
print("hung", hung)
"""


@posix
def test_no_fork_hangs_while_a_tick_writes(program: Programs) -> None:
    """Sixty forks, a tick each millisecond that writes its journal, a thread that opens without pause."""
    ran = program.run(FORKS, within=60, WHOHOLDS_EVERY="0.001", options=["-W", "ignore"])
    assert (ran.code, ran.out) == (0, "hung 0\n")
    assert quiet(ran), ran.err


@posix
def test_a_fork_while_only_we_have_a_thread_warns_of_none(program: Programs) -> None:
    """Python 3.12 warns of a fork with threads: ours is stopped before."""
    ran = program.run(
        """
        import os, sqlite3, time
        connection = sqlite3.connect("shop.db")
        for _ in range(5):
            time.sleep(0.01)
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        connection.close()
        """,
        WHOHOLDS_EVERY="0.001",
        options=["-W", "error"],
    )
    assert ran.clean


@posix
def test_a_forked_child_does_not_report_what_its_parent_holds(program: Programs) -> None:
    """Its own, with the line of the fork as its spawn line; the parent's is told by the parent."""
    ran = program.run(
        LEAK
        + """
import os, sys
pid = os.fork()
if pid == 0:
    for _ in range(2):
        kept.append(sqlite3.connect("child.db"))
    sys.exit(0)
os.waitpid(pid, 0)
"""
    )
    told = {(one["pid"] == ran.of("run")[0]["pid"], one["count"]): one for one in ran.of("finding", "left-open")}
    assert sorted(count for _, count in told) == [2, 3]
    childs = next(one for (_, count), one in told.items() if count == 2)
    assert childs["database"].endswith("child.db")
    assert childs["spawned"]["line"] == 10


CHILD_LEAKS = """
import multiprocessing, sqlite3
kept = []
def work():
    for _ in range(2):
        kept.append(sqlite3.connect("shop.db"))
if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=work)
    process.start()
    process.join()
    print(process.exitcode)
"""


@posix
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("lazy", [False, True])
def test_multiprocessings_children_have_their_last_look(program: Programs, method: str, lazy: bool) -> None:
    """They leave through os._exit, without atexit; also where the child alone imports the library."""
    source = CHILD_LEAKS.format(method=method)
    if lazy:
        source = source.replace("import multiprocessing, sqlite3", "import multiprocessing")
        source = source.replace("def work():\n", "def work():\n    import sqlite3\n")
    ran = program.run(source)
    assert (ran.code, ran.out) == (0, "0\n")
    assert ran.findings == [("left-open", "error", 2)]
    (found,) = ran.of("finding", "left-open")
    assert found["opened"]["function"] == "work"
    assert found["spawned"]["source"] == "process.start()"
    assert quiet(ran), ran.err


@posix
def test_a_childs_threads_have_ended_when_it_is_judged(program: Programs) -> None:
    """A worker thread of the child closes its connection a moment after the child's function has returned."""
    ran = program.run(
        """
        import multiprocessing, sqlite3, threading, time
        def slow(n):
            for _ in range(2):
                connection = sqlite3.connect("shop.db")
                time.sleep(0.1)
                connection.close()
        def work():
            for n in range(2):
                threading.Thread(target=slow, args=(n,)).start()
        if __name__ == "__main__":
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
        """
    )
    assert ran.clean


# --- whoholds run -----------------------------------------------------------------------------------------------

CLEAN = "whoholds: clean: 0 connections opened\n"


def test_run_ends_with_one_line_even_where_all_is_clean(program: Programs) -> None:
    """The program's own output stays on stdout."""
    program.write("import sys; print('hello', sys.argv[1:])")
    ran = program.whoholds("run", "app.py", "-x", "--fail", "a b")
    assert (ran.code, ran.out, ran.err) == (0, "hello ['-x', '--fail', 'a b']\n", CLEAN)


def test_run_finds_what_the_environment_would(program: Programs) -> None:
    """The text while it runs, the line and the busiest lines at its end."""
    program.write(LEAK)
    ran = program.whoholds("run", "app.py")
    assert ran.code == 0
    assert "left-open: 3 connections" in ran.err
    last = ran.err.splitlines()[-2:]
    assert last[0].startswith("whoholds: 1 finding (1 error): 3 connections opened, at most 3 at once to sqlite:")
    assert last[1] == "whoholds:   app.py:5 in load opened 3"


def test_run_takes_a_module(program: Programs) -> None:
    """As `python -m` does."""
    (program.folder / "shop").mkdir()
    program.write(LEAK + "import sys; print(sys.argv[1:])", "shop/__main__.py")
    ran = program.whoholds("run", "-m", "shop", "now")
    assert (ran.code, ran.out) == (0, "['now']\n")
    assert "left-open: 3 connections" in ran.err


@pytest.mark.parametrize(
    ("ending", "code"),
    [("sys.exit(7)", 7), ("sys.exit('no')", 1), ("raise LookupError", 1), ("os._exit(9)", 9), ("", 0)],
)
def test_run_keeps_the_programs_exit_code(program: Programs, ending: str, code: int) -> None:
    """Whatever was found."""
    program.write(f"{LEAK}\nimport os, sys\n{ending}")
    assert program.whoholds("run", "app.py").code == code


@pytest.mark.parametrize(("source", "ending", "code"), [(LEAK, "", 3), (LEAK, "raise SystemExit(5)", 5), ("", "", 0)])
def test_run_fail_turns_errors_into_3(program: Programs, source: str, ending: str, code: int) -> None:
    """A failure of the program's own stays its own."""
    program.write(f"{source}\n{ending}")
    assert program.whoholds("run", "--fail", "app.py").code == code


def test_run_fail_is_for_errors_only(program: Programs) -> None:
    """A warning fails nothing."""
    program.write(
        "import gc, sqlite3\nclass A: pass\na = A(); a.a, a.c = a, sqlite3.connect('x.db')\ndel a\ngc.collect()"
    )
    ran = program.whoholds("run", "--fail", "app.py")
    assert ran.code == 0
    assert "1 warning" in ran.err


@posix
@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL"), (signal.SIGUSR1, "SIGUSR1")]
    + ([(signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}")] if hasattr(signal, "SIGRTMIN") else []),
)
def test_run_dies_of_the_signal_that_its_program_died_of(program: Programs, number: int, name: str) -> None:
    """So that whoever waits sees it; and leaves nothing behind in the temporary folder."""
    program.write(f"{LEAK}\nimport os\nos.kill(os.getpid(), {int(number)})")
    scratch = program.folder / "tmp"
    scratch.mkdir()
    ran = program.whoholds("run", "app.py", TMPDIR=scratch)
    assert ran.code == -number
    assert "left-open: 3 connections" in ran.err
    assert f"whoholds: nothing is known: {name}" not in ran.err
    assert list(scratch.iterdir()) == []


@posix
def test_run_calls_nothing_clean_that_was_killed(program: Programs) -> None:
    """What it held when it was last looked at stands in its journal."""
    program.write(
        "import os, sqlite3, subprocess, time\nkept = sqlite3.connect('x.db')\ntime.sleep(0.5)\n"
        "subprocess.run(['kill', '-9', str(os.getpid())])\ntime.sleep(60)"
    )
    ran = program.whoholds("run", "--journal", "run.jsonl", "app.py", WHOHOLDS_EVERY="0.02")
    first, second, third = ran.err.splitlines()
    assert ran.code == -9
    assert first.startswith("whoholds: no findings so far; the end is not known: at least 1 connection opened")
    assert re.fullmatch(
        r"whoholds: no end in the journal of process \d+: still running, killed, or .* it held 1:", second
    )
    assert re.fullmatch(r"whoholds:   app.py:2 in <module> holds 1, to sqlite:.*/x\.db", third)
    told = program.whoholds("report", "run.jsonl")
    assert (told.code, told.out.splitlines()) == (0, [first, second, third])


@posix
def test_run_passes_a_signal_on(program: Programs) -> None:
    """A supervisor stops `whoholds run`: the program's own handler runs, and its exit code is kept."""
    program.write(
        f"import os, signal, sys\n{WAIT}"
        "def end(*_):\n    os.write(1, b'ended\\n')\n    sys.exit(11)\n"
        "signal.signal(signal.SIGTERM, end)\nos.write(1, b'ready\\n')\nwait()"
    )
    command = [program.python, "-m", "whoholds", "run", "app.py"]
    process = program.command(command, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    ran = program.ends(process)
    assert (ran.code, ran.out, ran.err) == (11, "ended\n", CLEAN)


@posix
def test_run_leaves_ctrl_c_to_the_program(program: Programs) -> None:
    """The terminal sends it to both: the program's handling of it decides, and the last line is said."""
    program.write(
        f"{WAIT}try:\n    print('ready', flush=True)\n    wait()\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n    raise SystemExit(4)"
    )
    command = [program.python, "-m", "whoholds", "run", "app.py"]
    process = program.command(command, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    ran = program.ends(process)
    assert (ran.code, ran.out, ran.err) == (4, "interrupted\n", CLEAN)


@posix
def test_run_leaves_ignored_what_was_ignored(program: Programs) -> None:
    """`nohup whoholds run …`: the program inherits that SIGHUP is ignored; other signals are its own to handle."""
    program.write("import signal; print(*(signal.getsignal(one).name for one in (signal.SIGHUP, signal.SIGTERM)))")
    shell = f"trap '' HUP; exec {program.python} -m whoholds run app.py"
    ran = program.ends(program.command(["sh", "-c", shell], WHOHOLDS=None, WHOHOLDS_JOURNAL=None))
    assert (ran.code, ran.out) == (0, "SIG_IGN SIG_DFL\n")


@pytest.mark.parametrize(("journal", "why"), [(".", "Is a directory"), ("app.py/run.jsonl", "")])
def test_run_refuses_a_journal_that_cannot_be_written(program: Programs, journal: str, why: str) -> None:
    """The verdict is read from it: without one a run that leaks would end as clean, and pass `--fail`."""
    program.write(LEAK)
    ran = program.whoholds("run", "--fail", "--journal", journal, "app.py")
    assert (ran.code, ran.out) == (2, "")
    assert f"--journal {journal}: it takes the path of a file that can be written ({why}" in ran.err
    ran = program.whoholds("run", "app.py", WHOHOLDS_JOURNAL=journal)
    assert f"WHOHOLDS_JOURNAL {journal}: it takes the path" in ran.err


def test_run_names_a_script_that_is_missing(program: Programs) -> None:
    """With what to write for a module; exit code 2, as for any wrong command line."""
    ran = program.whoholds("run", "nowhere.py")
    assert ran.code == 2
    assert "nowhere.py: no such script; for a module, write: whoholds run -m nowhere.py" in ran.err


def test_run_keeps_one_journal_of_the_run(program: Programs) -> None:
    """Those of earlier runs go, also what was rotated; those of all its processes come together."""
    program.write(LEAK)
    (program.folder / "old.txt").write_text("")
    for name in ("kept.log", "kept.log.1"):
        (program.folder / name).write_text('{"type":"finding","id":"x","severity":"error","rule":"a-past-rule"}\n')
    ran = program.whoholds("run", "--journal", "kept.log", "app.py")
    assert "1 finding (1 error): 3 connections" in ran.err
    told = program.whoholds("report", "kept.log")
    assert told.code == 0
    assert "left-open: 3 connections" in told.out
    assert "a-past-rule" not in told.out


@pytest.mark.parametrize("pattern", ["runs/{pid}/a.log", "a[1]-{pid}.log", "{host}.log"])
def test_run_finds_its_journals_wherever_they_are_put(program: Programs, pattern: str) -> None:
    """A folder for each process, brackets in the name."""
    program.write(LEAK)
    ran = program.whoholds("run", "--fail", "--journal", pattern, "app.py")
    assert (ran.code, "1 finding (1 error)" in ran.err) == (3, True)


def test_run_against_a_baseline(program: Programs) -> None:
    """Known ones pass, more of them and new ones fail, fewer is said; --update-baseline writes it."""
    program.write(LEAK)
    written = program.whoholds("run", "--baseline", "known.json", "--update-baseline", "app.py")
    assert (written.code, (program.folder / "known.json").exists()) == (0, True)
    assert program.whoholds("run", "--baseline", "known.json", "app.py").code == 0
    program.write(LEAK.replace("range(3)", "range(5)"))
    grown = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (grown.code, "grown from 3 to 5" in grown.err) == (3, True)
    program.write(LEAK.replace("load", "fetch"))
    new = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (new.code, "new, not in the baseline" in new.err, "gone: " in new.err) == (3, True, True)
    program.write("print('clean')")
    fewer = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (fewer.code, "gone: left-open" in fewer.err) == (0, True)


@pytest.mark.parametrize("content", [None, "no json", '{"version": 99}', '{"version": 1, "findings": [{}]}'])
def test_a_baseline_that_cannot_be_is_named_before_the_program_runs(program: Programs, content: str | None) -> None:
    """One clear line and exit code 2; nothing was run for nothing."""
    program.write("print('ran')")
    if content is not None:
        (program.folder / "known.json").write_text(content)
    ran = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (ran.code, ran.out) == (2, "")
    assert "baseline known.json: " in ran.err
    assert "--update-baseline" in ran.err
    assert quiet(ran)


@posix
def test_whoever_reads_the_doctor_may_have_read_enough() -> None:
    """`whoholds doctor | head -1` ends without a word of Python's."""
    command = f"{sys.executable} -m whoholds doctor | true"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_doctor_says_whether_it_is_active_and_why_not(program: Programs) -> None:
    """Exit code 0 where it is, 1 where it is not."""
    ran = program.whoholds("doctor")
    assert ran.code == 1
    assert "active here: no\n  because WHOHOLDS is unset: set WHOHOLDS=1" in ran.out
    ran = program.whoholds("doctor", WHOHOLDS="1", WHOHOLDS_TOO_MANY="7")
    assert ran.code == 0
    assert "active here: yes" in ran.out
    assert [line.split() for line in ran.out.splitlines() if "TOO_MANY" in line] == [
        ["WHOHOLDS_TOO_MANY", "7", "(set", "here)"]
    ]
    assert ["sqlite3", "with", "Python"] in [line.split() for line in ran.out.splitlines()]
    ran = program.whoholds("doctor", WHOHOLDS="1", WHOHOLDS_EVERY="often")
    assert (ran.code, "WHOHOLDS_EVERY=often: it takes" in ran.out) == (1, True)
