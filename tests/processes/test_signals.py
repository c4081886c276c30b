"""Signals: what they raise reaches the program, and what they end is looked at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.processes.leaks import posix

if TYPE_CHECKING:
    from tests.programs import Programs


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
    assert ran.err.count("whoholds: 1 connection open to shop.db") == 2
    assert "app.py:15 in <module>" in ran.err
