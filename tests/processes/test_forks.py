"""Forks: neither parent nor child hangs, warns or goes unwatched."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.processes.leaks import LEAK, posix, quiet

if TYPE_CHECKING:
    from tests.programs import Programs


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
for n in range(int(os.environ["WHOHOLDS_TEST_FORKS"])):
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
@pytest.mark.timeout(0)
def test_no_fork_hangs_while_a_tick_writes(program: Programs) -> None:
    """Sixty forks, a tick each millisecond that writes its journal, a thread that opens without pause.

    `WHOHOLDS_TEST_FORKS=1000 python -m pytest tests/processes/test_forks.py -k hangs` is the whole of it.
    """
    forks = os.environ.get("WHOHOLDS_TEST_FORKS", "60")
    ran = program.run(
        FORKS, within=60 + int(forks), WHOHOLDS_EVERY="0.001", WHOHOLDS_TEST_FORKS=forks, options=["-W", "ignore"]
    )
    assert (ran.code, ran.out) == (0, "hung 0\n")
    assert quiet(ran), ran.err


WAYS = """
import multiprocessing, os, pty, sqlite3, subprocess, sys, warnings
from os import fork as early
def reap(pid, *_):
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
def terminal():
    pid, file = pty.fork()
    reap(pid)
    os.close(file)
def process():
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
ways = {
    "fork": lambda: reap(os.fork()),
    "early": lambda: reap(early()),
    "forkpty": terminal,
    "preexec_fn": lambda: subprocess.run(["true"], preexec_fn=int, check=True),
    "subprocess": lambda: subprocess.run(["true"], check=True),
    "multiprocessing": process,
}
way = ways[sys.argv[1]]
"""
ALL_WAYS = ["fork", "early", "forkpty", "preexec_fn", "subprocess", "multiprocessing"]


@posix
@pytest.mark.parametrize("way", ALL_WAYS)
def test_the_parent_is_watched_on_after_a_fork(program: Programs, way: str) -> None:
    """Though it opens nothing any more: looks come, one after the other."""
    ran = program.run(
        f"""
{WAYS}
import time, whoholds
connection = sqlite3.connect("shop.db")
watch = whoholds.current()
way()
for _ in range(3):
    before, until = watch.snapshot, time.monotonic() + 10
    while watch.snapshot is before and time.monotonic() < until:
        time.sleep(0.01)
    print(watch.snapshot is not before)
connection.close()
""",
        way,
        WHOHOLDS_EVERY="0.05",
    )
    assert (ran.code, ran.out) == (0, "True\n" * 3)


@posix
@pytest.mark.parametrize("way", ALL_WAYS)
def test_a_process_with_no_thread_but_ours_never_hears_of_threads(program: Programs, way: str) -> None:
    """CPython warns from 3.12 on when it counts more than one at a fork: ours has ended, and is not there again yet."""
    ran = program.run(
        f"""
{WAYS}
heard = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, *_: heard.append(str(message))
connection = sqlite3.connect("shop.db")
for _ in range(60):
    other = sqlite3.connect("shop.db")  # starts the ticking thread where it does not run
    way()
    other.close()
print(heard)
connection.close()
""",
        way,
        WHOHOLDS_EVERY="0.001",
    )
    assert (ran.code, ran.out) == (0, "[]\n")
    assert quiet(ran), ran.err


@posix
@pytest.mark.skipif(sys.version_info < (3, 12), reason="it does not warn")
def test_where_cpython_warns_of_threads_it_blames_the_line_that_forks(program: Programs) -> None:
    """The program's own thread runs: the same words at the same line, with us and without."""
    source = """
    import os, sqlite3, threading
    connection = sqlite3.connect("shop.db")
    over = threading.Event()
    threading.Thread(target=over.wait).start()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    over.set()
    connection.close()
    """
    words = [re.sub(r"pid=\d+", "pid=N", program.run(source, WHOHOLDS=on).err) for on in (None, "1")]
    assert words[0] == words[1]
    assert "app.py:6: DeprecationWarning: This process (pid=N) is multi-threaded" in words[0]


@posix
def test_forks_do_not_put_a_look_off(program: Programs) -> None:
    """A supervisor forks more often than looks come: they come all the same."""
    ran = program.run(
        """
        import os, sqlite3, time, whoholds
        connection = sqlite3.connect("shop.db")
        seen = set()
        until = time.monotonic() + 20
        while len(seen) < 4 and time.monotonic() < until:
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            looked = whoholds.current().snapshot
            seen.add(looked and looked.now)
            time.sleep(0.01)
        print(len(seen))
        connection.close()
        """,
        WHOHOLDS_EVERY="0.2",
    )
    assert (ran.code, ran.out) == (0, "4\n")


@posix
def test_threads_that_fork_at_once_leave_one_ticking_thread(program: Programs) -> None:
    """Each stops it and lets it go on: what one fork needs does not end what the other needs."""
    ran = program.run(
        """
        import os, sqlite3, threading, time, whoholds
        connection = sqlite3.connect("shop.db")
        def work():
            for _ in range(25):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        before, until = whoholds.current().snapshot, time.monotonic() + 10
        while whoholds.current().snapshot is before and time.monotonic() < until:
            time.sleep(0.01)
        import _thread
        print(whoholds.current().snapshot is not before, _thread._count())
        connection.close()
        """,
        WHOHOLDS_EVERY="0.05",
        options=["-W", "ignore"],
    )
    assert (ran.code, ran.out) == (0, "True 1\n")


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


CHILD_CLOSES = """
import atexit, multiprocessing, sqlite3
from multiprocessing import util
kept = []
def close():
    for connection in kept:
        connection.close()
    print("closed", flush=True)
def work():
    {registers}
    for _ in range(2):
        kept.append(sqlite3.connect("shop.db"))
if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=work)
    process.start()
    process.join()
"""
FINALIZE, ATEXIT = "util.Finalize(None, close, exitpriority=10)", "atexit.register(close)"
runs_atexit = pytest.mark.skipif(sys.version_info < (3, 13), reason="such a child runs no atexit handlers")


@posix
@pytest.mark.parametrize(
    ("method", "registers"),
    [
        *((method, FINALIZE) for method in ("fork", "spawn", "forkserver")),
        ("spawn", ATEXIT),
        pytest.param("fork", ATEXIT, marks=runs_atexit),
        pytest.param("forkserver", ATEXIT, marks=runs_atexit),
    ],
)
def test_a_child_is_judged_after_all_by_which_it_can_close(program: Programs, method: str, registers: str) -> None:
    """The finalizers of multiprocessing and, where a child runs them, its atexit handlers come first."""
    ran = program.run(CHILD_CLOSES.format(method=method, registers=registers))
    assert ran.out == "closed\n"
    assert ran.clean
    assert quiet(ran)
    assert ran.of("end")


BILLIARDS_WORKER = """
import sqlite3
from billiard.pool import Pool
kept = []
def open_two():
    for _ in range(2):
        kept.append(sqlite3.connect("shop.db"))
def close(pid, exitcode):
    {closes}
    print("exits", flush=True)
if __name__ == "__main__":
    pool = Pool(1, initializer=open_two, on_process_exit=close)
    pool.apply(abs, (1,))
    pool.close()
    pool.join()
"""


@posix
@pytest.mark.parametrize(
    ("closes", "findings"),
    [("[connection.close() for connection in kept]", []), ("pass", [("left-open", "error", 2)])],
)
def test_a_worker_of_billiard_is_judged_after_its_exit_function(
    program: Programs, closes: str, findings: list[tuple[str, str, int]]
) -> None:
    """Celery's `worker_process_shutdown` is sent there; soon after it, the parent ends the worker by SIGTERM."""
    needed("billiard")
    ran = program.run(BILLIARDS_WORKER.format(closes=closes))
    assert (ran.out, ran.findings) == ("exits\n", findings)


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
