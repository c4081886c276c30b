"""Exceptions of signals' handlers, at random: every one of them reaches the program, and the ledger tells the truth."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.hostile.test_classes import says

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix" or not hasattr(signal, "setitimer"), reason="there is no timer")

# Each time-out comes while dropped connections are freed, most of them by the collector.
DROPPED = """
import gc, signal, sqlite3

class TimeIsUp(Exception):
    pass

raised = caught = 0

def handler(*_):
    global raised
    raised += 1
    raise TimeIsUp

signal.signal(signal.SIGALRM, handler)
while raised < 40:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while raised < 40:
            for _ in range(50):
                connection = sqlite3.connect(":memory:")
                del connection
            gc.collect()
    except TimeIsUp:
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(raised, caught)
"""

# Each comes while a connection is opened, used or closed; those that were closed are kept as objects.
CLOSED = """
import gc, signal, sqlite3, threading, whoholds

class TimeIsUp(Exception):
    pass

def handler(*_):
    raise TimeIsUp

def is_open(connection):
    try:
        return connection.total_changes >= 0
    except sqlite3.ProgrammingError:
        return False

running = whoholds.start(every=3600, outputs=())
signal.signal(signal.SIGALRM, handler)
kept, came, wrong = [], 0, 0
while came < 300:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0011)
        while True:
            connection = sqlite3.connect(":memory:", check_same_thread=False)
            kept.append(connection)
            connection.execute("select 1").fetchone()
            connection.commit()
            connection.close()
            del kept[:-50]  # the loop ends with no `if`: in CPython 3.14 no `try` covers the jump back from one
    except TimeIsUp:
        came += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
    connection = None
    gc.collect()  # from 3.11 on a connection that was dropped goes with the collector
    living = [one for one in kept if is_open(one)]
    wrong += len(living) != len(running.handles)
    wrong += any(handle.caller > 0 for handle in running.handles)
    user = threading.Thread(target=lambda: [one.execute("select 1") for one in living])
    user.start()
    user.join()
    for one in living:
        one.close()
    del kept[:], living
running.tick()
print(came, wrong, [finding.rule for finding in running.findings if finding.severity == "error"])
"""


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="sqlite3 itself warns there, in Python: bare it never ends")
def test_no_time_out_is_lost_while_dropped_connections_are_freed(tmp_path: Path) -> None:
    """As many are caught as were raised."""
    assert says(DROPPED, tmp_path, WHOHOLDS="1") == (0, "40 40\n")


def test_what_a_time_out_interrupts_is_told_as_it_is(tmp_path: Path) -> None:
    """A close that was cut short is a close, nobody is inside, and nobody shares a connection."""
    assert says(CLOSED, tmp_path) == (0, "300 0 []\n")
