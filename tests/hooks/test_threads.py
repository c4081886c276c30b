"""Threads of our own: what they wait for comes to its end, whatever interrupts them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

# The thread lives until the signals end: none may be sent to a thread that is gone.
INTERRUPTED = """
import queue, signal
from time import monotonic
from whoholds.hooks.threads import Bell, RealThread, next_of, pause

def time_out():
    try:
        next_of(queue.SimpleQueue(), 0.00005)
    except queue.Empty:
        pass

def wait():
    for _ in range(200):
        WAIT
    done.append(True)
    over.wait(60)

done, over = [], Bell()
signal.signal(signal.SIGUSR1, lambda *_: None)
thread = RealThread(wait)
thread.start()
until = monotonic() + 20
while not done and monotonic() < until:
    if thread.ident:
        signal.pthread_kill(thread.ident, signal.SIGUSR1)
print(done)
over.ring()
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent to a thread here")
@pytest.mark.parametrize("wait", ["pause(0.00005)", "time_out()", "Bell().wait(0.00005)"])
def test_a_wait_ends_however_often_signals_interrupt_it(wait: str, tmp_path: Path) -> None:
    """Up to CPython 3.12, `get` of a queue waits for ever if a signal comes as its time is over."""
    ran = Programs(tmp_path).run(INTERRUPTED.replace("WAIT", wait), WHOHOLDS=None)
    assert ran.out == "[True]\n", ran.err


JOINED = """
import sqlite3, threading

def work():
    sqlite3.connect(":memory:").close()

for _ in range(3):
    threading.Thread(target=work).start()
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
print("joined", threading.active_count())
"""


@pytest.mark.once
def test_a_debugger_tells_threading_nothing_of_ours(tmp_path: Path) -> None:
    """It has put its own function for the start of threads in the place of Python's, and that makes each one known."""
    programs = Programs(tmp_path)
    path = str(programs.write(JOINED))
    debugger = ["-X", "frozen_modules=off", "-m", "debugpy", "--listen", "127.0.0.1:0", path]
    ran = programs.ends(programs.command([programs.python, *debugger]))
    assert (ran.code, ran.out) == (0, "joined 1\n"), ran.err
    assert ran.of("run")
