"""Forks: neither parent nor child hangs, warns or goes unwatched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
