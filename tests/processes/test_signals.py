"""Signals: what they raise reaches the program, and what they end is looked at first."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.processes.leaks import LEAK, THREE, WAIT, posix, quiet

if TYPE_CHECKING:
    from tests.programs import Programs, Ran


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


@posix
def test_the_dump_signal_prints_before_a_handler_that_is_set_later(program: Programs) -> None:
    """The program sets, reads and replaces its handler as if nobody else had one; asyncio's counts, too."""
    ran = program.run(
        """
        import asyncio, os, signal, sqlite3, sys, time
        printed, calls = [], []
        class Both:
            def write(self, text):
                sys.__stderr__.write(text)
                printed.append(text)
            def flush(self):
                sys.__stderr__.flush()
        sys.stderr = Both()
        connection = sqlite3.connect("shop.db")
        def mine(number, frame):
            calls.append("mine")
        def sent():
            os.kill(os.getpid(), signal.SIGUSR1)
        def comes(count):
            while len(printed) < count:
                time.sleep(0.01)
        first = signal.getsignal(signal.SIGUSR1)
        print(first is signal.SIG_DFL, signal.signal(signal.SIGUSR1, mine) is signal.SIG_DFL)
        sent()
        comes(1)
        print(signal.getsignal(signal.SIGUSR1) is mine, signal.signal(signal.SIGUSR1, signal.SIG_IGN) is mine)
        sent()
        comes(2)
        async def served():
            loop, got = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, lambda: (calls.append("loop"), got.set()))
            sent()
            await got.wait()
            loop.remove_signal_handler(signal.SIGUSR1)
        asyncio.run(served())
        comes(3)
        signal.signal(signal.SIGUSR1, mine)
        import whoholds
        connection.close()
        whoholds.stop()
        print(calls, signal.getsignal(signal.SIGUSR1) is mine)
        """,
        WHOHOLDS_DUMP_SIGNAL="USR1",
    )
    assert (ran.code, ran.out) == (0, "True True\nTrue True\n['mine', 'loop'] True\n")
    assert ran.err.count("whoholds: 1 connection open to shop.db") == 3


# --- a signal that ends the process ---------------------------------------------------------------------------------

TO_ITSELF = {
    "os.kill(os.getpid(), signal.SIGTERM)": signal.SIGTERM,
    "os.kill(os.getpid(), 9)": 9,
    "os.kill(0, signal.SIGHUP)": 1,
    "os.killpg(os.getpgrp(), signal.SIGUSR1)": 10,
    "signal.raise_signal(signal.SIGTERM)": signal.SIGTERM,
    "signal.pthread_kill(threading.get_ident(), signal.SIGQUIT)": 3,
    "kill(os.getpid(), signal.SIGTERM)": signal.SIGTERM,
    "raised(signal.SIGALRM)": 14,
    "os.abort()": 6,
    "t = threading.Thread(target=raised, args=(15,)); t.start(); t.join()": 15,
}


@posix
@pytest.mark.parametrize("sends", TO_ITSELF)
@pytest.mark.parametrize("asked", ["0", "1"])
def test_a_process_that_ends_itself_by_a_signal_is_looked_at_first(program: Programs, sends: str, asked: str) -> None:
    """Its exit status is the signal's; also where the function had been imported by name."""
    by_name = "from os import kill\nfrom signal import raise_signal as raised\n"
    ran = program.run(f"import os, signal, threading\n{by_name}{LEAK}{sends}\n", WHOHOLDS_SIGTERM=asked)
    assert (ran.code, ran.findings) == (-TO_ITSELF[sends], THREE)
    assert ran.of("end")
    assert quiet(ran)


@posix
@pytest.mark.parametrize("asked", ["0", "1"])
def test_a_server_that_restores_the_handlers_and_raises_again_is_looked_at(program: Programs, asked: str) -> None:
    """What uvicorn does at the end of its orderly shutdown."""
    ran = program.run(
        f"""
import os, signal
{LEAK}
before = signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"shut down\\n"))
os.kill(os.getpid(), signal.SIGTERM)
print(before.name, signal.signal(signal.SIGTERM, before).__name__, flush=True)
signal.raise_signal(signal.SIGTERM)
""",
        WHOHOLDS_SIGTERM=asked,
    )
    assert (ran.code, ran.out, ran.findings) == (-signal.SIGTERM, "shut down\nSIG_DFL <lambda>\n", THREE)


SURVIVES = {
    "a handler": "signal.signal(signal.SIGTERM, lambda *_: None); os.kill(os.getpid(), signal.SIGTERM)",
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.raise_signal(signal.SIGTERM)",
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); signal.raise_signal(signal.SIGUSR1)",
    "harmless": "signal.raise_signal(signal.SIGWINCH); os.kill(os.getpid(), signal.SIGCHLD)",
    "in C": "faulthandler.register(signal.SIGUSR1, file=null); os.kill(os.getpid(), signal.SIGUSR1)",
    "no signal": "os.kill(os.getpid(), 0)",
    "somebody else": "child = subprocess.Popen(['sleep', '60']); os.kill(child.pid, 15); print(child.wait() == -15)",
    "refused": "refused(lambda: os.kill(os.getpid(), 10_000)); refused(lambda: signal.raise_signal('x'))",
}


@posix
@pytest.mark.parametrize("sends", SURVIVES.values(), ids=SURVIVES)
@pytest.mark.parametrize("asked", ["0", "1"])
def test_what_a_process_survives_is_no_end(program: Programs, sends: str, asked: str) -> None:
    """It is watched on, and what it then closes was not left open; every answer is as without us."""
    source = f"""
import faulthandler, os, signal, subprocess, time
{LEAK}
null = open(os.devnull, "w")
def refused(call):
    try:
        call()
    except Exception as error:
        print(type(error), error)
{sends}
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
while kept:
    kept.pop().close()
"""
    ran = program.run(source, WHOHOLDS_SIGTERM=asked)
    assert ran.clean
    assert ran.out == program.run(source, WHOHOLDS=None).out


@posix
def test_what_ends_a_process_answers_as_without_us(program: Programs) -> None:
    """Its type, repr, signature, pickle, copy and exceptions, for each function that has a stand-in."""
    source = """
    import _signal, copy, inspect, os, pickle, sqlite3, subprocess, types
    connection = sqlite3.connect("shop.db")
    for module, names in ((os, "_exit abort fork forkpty kill killpg"), (_signal, "pthread_kill raise_signal signal getsignal")):
        for name in names.split():
            one = getattr(module, name)
            print(one, type(one), one.__class__, one.__module__, one.__qualname__, one.__doc__, one.__text_signature__)
            print(inspect.isbuiltin(one), isinstance(one, types.BuiltinFunctionType), callable(one), inspect.signature(one))
            print(pickle.loads(pickle.dumps(one)) is one, copy.copy(one) is one, copy.deepcopy(one) is one, one in {one})
            print([one.__name__ for one in (one, getattr(module, name))], getattr(one, "nothing", "none"))
            try:
                one("wrong", "wrong", "wrong", wrong=1)
            except TypeError as error:
                print(error)
    print(getattr(subprocess, "_fork_exec", "none"))
    connection.close()
    """
    bare, watched = (program.run(source, WHOHOLDS=on, WHOHOLDS_SIGTERM=on) for on in (None, "1"))
    assert (watched.code, re.sub("0x[0-9a-f]+", "", watched.out)) == (0, re.sub("0x[0-9a-f]+", "", bare.out))


@posix
def test_threads_that_work_when_the_process_ends_itself_are_not_accused(program: Programs) -> None:
    """Some keep a connection of their own, some have one open for the moment: each at most one."""
    ran = program.run(
        """
        import os, signal, sqlite3, threading, time
        local = threading.local()
        def keeps():
            while True:
                local.connection = getattr(local, "connection", None) or sqlite3.connect("shop.db")
                local.connection.execute("select 1").fetchall()
                time.sleep(0.02)
        def closes():
            while True:
                connection = sqlite3.connect("shop.db")
                try:
                    connection.execute("select 1").fetchall()
                    time.sleep(0.02)
                finally:
                    connection.close()
        for work in (keeps, closes) * 4:
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    assert (ran.code, ran.err, ran.findings) == (-signal.SIGTERM, "", [])


# --- SIGTERM from outside, where WHOHOLDS_SIGTERM=1 asks for a look ---------------------------------------------------


def ended(program: Programs, source: str, **settings: object) -> Ran:
    """Give what came of a program that says `ready` and is then ended by SIGTERM."""
    process = program.start(f"{WAIT}{source}", **settings)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    return program.ends(process)


READY = 'print("ready", flush=True)\nwait()\n'
IN_A_THREAD = f"""
import threading
def work():
    exec({LEAK!r}, globals())
worker = threading.Thread(target=work)
worker.start()
worker.join()
import sqlite3
sqlite3.connect(":memory:").close()
"""


@posix
@pytest.mark.parametrize("source", [LEAK, IN_A_THREAD], ids=["main", "thread"])
def test_sigterm_from_outside_is_looked_at_where_that_was_asked_for(program: Programs, source: str) -> None:
    """And the process ends by it, as without us."""
    ran = ended(program, source + READY, WHOHOLDS_SIGTERM="1")
    assert (ran.code, ran.findings) == (-signal.SIGTERM, THREE)
    assert ran.of("end")
    assert quiet(ran)


@posix
def test_sigterm_from_outside_is_nobodys_unasked(program: Programs) -> None:
    """What a look has seen open stands in the journal."""
    ran = ended(program, LEAK + "time.sleep(1)\n" + READY, WHOHOLDS_EVERY="0.05")
    assert (ran.code, ran.err, ran.findings) == (-signal.SIGTERM, "", [])
    assert [one["count"] for one in ran.of("open")][-1] == 3


@posix
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_that_is_terminated_is_looked_at_where_that_was_asked_for(program: Programs, method: str) -> None:
    """`Process.terminate`, however soon it comes after the start: no signal is lost, the exit code is SIGTERM's."""
    ran = program.run(
        f"""
        import multiprocessing, sqlite3, time
        kept = []
        def work(ready):
            for _ in range(3):
                kept.append(sqlite3.connect("shop.db"))
            ready.set()
            for _ in range(600):
                time.sleep(0.1)  # a signal that comes just before a sleep begins does not end it
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            ready = context.Event()
            process = context.Process(target=work, args=(ready,))
            process.start()
            ready.wait(30)
            process.terminate()
            process.join()
            codes = [process.exitcode]
            for _ in range(20):
                process = multiprocessing.get_context("fork").Process(target=work, args=(context.Event(),))
                process.start()
                process.terminate()
                process.join()
                codes.append(process.exitcode)
            print(set(codes))
        """,
        WHOHOLDS_SIGTERM="1",
    )
    assert (ran.code, ran.out) == (0, "{-15}\n")
    assert THREE[0] in ran.findings


@posix
def test_a_handler_of_the_programs_is_the_only_one_that_hears_of_sigterm(program: Programs) -> None:
    """It is told that there was none before, and `stop` leaves SIGTERM as it was."""
    source = f"""
import os, signal, sys
{LEAK}
def mine(number, frame):
    os.write(1, b"mine %s\\n" % before.name.encode())
    while kept:
        kept.pop().close()
    sys.exit(7)
before = signal.signal(signal.SIGTERM, mine)
print("ready", flush=True)
wait()
"""
    ran = ended(program, source, WHOHOLDS_SIGTERM="1")
    assert (ran.code, ran.out, ran.findings) == (7, "mine SIG_DFL\n", [])
    ran = program.run(
        """
        import _signal, signal, sqlite3, whoholds
        plain = id(_signal.signal)
        for _ in range(2):
            whoholds.start(sigterm=True)
            connection = sqlite3.connect("shop.db")
            print(id(_signal.signal) == plain, signal.getsignal(signal.SIGTERM).name)
            connection.close()
            whoholds.stop()
            print(id(_signal.signal) == plain, _signal.getsignal(signal.SIGTERM))
        """,
        WHOHOLDS=None,
    )
    assert (ran.code, ran.out) == (0, "False SIG_DFL\nTrue 0\n" * 2)
