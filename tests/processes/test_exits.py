"""Every way in which a process can end by itself, and the last look that comes before it."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.processes.leaks import LEAK, THREE, WAIT, posix, quiet

if TYPE_CHECKING:
    from tests.programs import Programs


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


@pytest.mark.parametrize(
    "leaves",
    [
        "os._exit(5)",
        "leave(5)",
        "t = threading.Thread(target=os._exit, args=(5,)); t.start(); t.join()",
        "atexit.register(os._exit, 5)",
    ],
)
def test_os_exit_is_preceded_by_a_last_look(program: Programs, leaves: str) -> None:
    """Also where it had been imported by name, in another thread, and among the handlers of the exit."""
    ran = program.run(f"import atexit, os, threading\nfrom os import _exit as leave\n{LEAK}{leaves}\n")
    assert (ran.code, ran.findings) == (5, THREE)
    assert ran.of("end")


@pytest.mark.once
def test_os_exit_ends_a_program_that_holds_a_lock_which_the_log_needs(program: Programs) -> None:
    """A watchdog's thread ends a program that hangs: the look has five seconds, and the exit code is the watchdog's."""
    ran = program.run(
        f"""
{LEAK}
import logging, os, sys, threading
logging.basicConfig()
(handler,) = logging.getLogger().handlers
threading.Timer(0.2, os._exit, [6]).start()
with handler.lock:
    threading.Event().wait()
"""
    )
    assert (ran.code, quiet(ran)) == (6, True)


@posix
def test_a_child_that_opens_nothing_is_not_looked_at(program: Programs) -> None:
    """Fork and exec is what most children are for: no thread, no file, no word of ours."""
    ran = program.run(
        """
        import os, sqlite3, sys
        connection = sqlite3.connect("shop.db")
        for leaves in (lambda: os._exit(3), lambda: os.execv(sys.executable, [sys.executable, "-E", "-S", "-c", ""])):
            pid = os.fork()
            if pid == 0:
                leaves()
            os.waitpid(pid, 0)
        connection.close()
        """
    )
    assert ran.clean
    assert len(ran.of("run")) == 1


@posix
@pytest.mark.parametrize("work", ["connection.execute('select 1')", "connection.close()"])
def test_a_child_that_uses_what_it_inherited_and_leaves_at_once_is_told_of(program: Programs, work: str) -> None:
    """As an RQ worker's work horse does: fork, one statement, `os._exit`."""
    ran = program.run(
        f"""
        import os, sqlite3
        connection = sqlite3.connect("shop.db")
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                {work}
                os._exit(0)
            os.waitpid(pid, 0)
        connection.close()
        """
    )
    assert (ran.code, ran.findings) == (0, [("shared-across-fork", "error", 1)] * 2)


SHARED = """
import multiprocessing, sqlite3
connection = sqlite3.connect("shop.db", check_same_thread=False)
def work(number):
    return connection.execute("select ?", (number,)).fetchone()[0]
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(work, range(4)))
    connection.close()
"""
KEPT = """
import multiprocessing, sqlite3, time
kept = []
def work(number):
    kept.append(sqlite3.connect("shop.db"))
    return number
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(work, range(4)))
        time.sleep(1)
"""


@posix
def test_a_pool_of_processes_that_shares_a_connection_is_told_of(program: Programs) -> None:
    """Though `with Pool()` ends its workers by SIGTERM within milliseconds: the first use waits for its look."""
    ran = program.run(SHARED)
    assert (ran.code, ran.out, ran.findings) == (0, "[0, 1, 2, 3]\n", [("shared-across-fork", "error", 1)])


@posix
def test_what_a_worker_of_a_pool_held_stands_in_its_journal(program: Programs) -> None:
    """It is ended by SIGTERM, and nobody had asked for a look at that."""
    ran = program.run(KEPT)
    assert (ran.code, ran.out) == (0, "[0, 1, 2, 3]\n")
    assert max(one["count"] for one in ran.of("open")) == 4


def test_the_first_look_comes_early_and_what_it_saw_stands_in_the_journal(program: Programs) -> None:
    """A process that is killed before the second look: who held what is known."""
    process = program.start(f"{WAIT}{LEAK}wait()", WHOHOLDS_EVERY="600")
    journal = program.folder / f"{process.pid}.jsonl"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (journal.exists() and '"open"' in journal.read_text()):
        time.sleep(0.02)
    process.kill()
    ran = program.ends(process)
    (seen,) = ran.of("open")
    (line,) = seen["lines"]
    assert (seen["count"], line["kind"], line["count"]) == (3, "connection", 3)
    assert (line["opened"]["line"], line["opened"]["function"]) == (9, "load")
    assert not ran.of("end")


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
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT"])
def test_a_signal_ends_the_program_as_it_would_and_what_was_said_stays(program: Programs, name: str) -> None:
    """SIGTERM without a handler runs no atexit; the journal has what was found, in whole lines."""
    number = getattr(signal, name)
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
