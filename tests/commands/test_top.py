"""`whoholds top`: what is summed up from the descriptions of many processes, as text and on a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands.test_dump import environment, left, programs, running
from tests.needs import needed
from tests.worlds import CARS, REPORT, STOCK, USERS, Program, thread
from whoholds.commands.top import top
from whoholds.remote import polling
from whoholds.remote.overview import LINES, Overview, overview, stacks_text, text
from whoholds.remote.processes import is_watched
from whoholds.reporting.held import cost_text
from whoholds.watching.description import GROUPS
from whoholds.watching.holders import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.programs import Programs

__all__ = ["programs"]

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


def shop(held: int = 2, **limits: Any) -> Program:
    """Give a program of which threads hold so many connections."""
    program = Program(server_limit=10, **limits)
    program.fans_out(held)
    program.looks()
    return program


def test_rows_are_summed_over_processes() -> None:
    """By database against the server's limit, by opening line with the states, and by process."""
    one, two = shop(2), shop(3)
    two.watch.handles[0].in_transaction = True
    two.opens(CARS, thread("Thread-9", REPORT), STOCK)
    two.looks(4.0)
    now = {pid: described(program.watch) for pid, program in ((11, one), (12, two))}
    seen = overview(now, {}, {})
    assert seen.summary == "2 watched processes hold 6 connections, 1 of them idle in transaction"
    assert [(row["name"], row["held"], row["limit"], row["share"], row["processes"]) for row in seen.databases] == [
        ("app@127.0.0.1/shop", 5, 10, 0.6, 2),
        ("app@127.0.0.1/stock", 1, 10, 0.6, 1),
    ]
    first, second = seen.lines
    assert (first["place"], first["held"], first["idle"], first["idle in transaction"], first["processes"]) == (
        "/srv/shop/cars.py:42 in load_cars",
        5,
        4,
        1,
        2,
    )
    assert (first["longest_s"], second["held"], second["processes"], second["rate"]) == (5.0, 1, 1, None)
    assert (second["place"], second["database"]) == (first["place"], "app@127.0.0.1/stock")
    assert [(row["pid"], row["held"]) for row in seen.processes] == [(12, 4), (11, 2)]
    assert "process 12, Thread-0: idle in transaction, held for 5.0 s" in stacks_text(first)


def test_lines_that_a_process_does_not_list_are_counted() -> None:
    """So that nobody takes the table for everything."""
    program = Program()
    for number in range(GROUPS + 30):
        program.opens(f"/srv/shop/cars.py:{number + 1} load_cars")
    program.looks()
    seen = overview({11: described(program.watch)}, {}, {})
    assert (len(seen.lines), seen.processes[0]["held"]) == (GROUPS, GROUPS + 30)
    assert "process 11 has so many lines that only the largest are listed; the others hold 30 more" in seen.remarks


def test_rates_are_those_between_two_answers() -> None:
    """By line and by process; none for a process that was not seen before, or began anew."""
    program = shop(2)
    before = described(program.watch)
    program.fans_out(6, USERS)
    program.looks()
    now = described(program.watch)
    before["process"]["now"], now["process"]["now"] = "2026-11-26T10:00:00.000Z", "2026-11-26T10:00:02.000Z"
    rates = {row["place"]: row["rate"] for row in overview({1: now}, {1: before}, {}).lines}
    assert rates == {"/srv/shop/users.py:7 in load_users": 3.0, "/srv/shop/cars.py:42 in load_cars": 0.0}
    assert overview({1: now}, {1: before}, {}).processes[0]["rate"] == 3.0
    before["process"]["watched_since"] = "2026-11-26T09:00:00.000Z"
    assert overview({1: now}, {1: before}, {}).processes[0]["rate"] is None


def test_who_waits_has_a_line_also_where_nothing_is_held() -> None:
    """It is the line at which they ask their pool."""
    program = Program()
    theirs = type("Theirs", (), {})()
    program.line = CARS
    pool = program.ledger.pool_made(theirs, "pool-1", None, 2, "postgresql")
    waiting = [program.ledger.asks(pool, None) for _ in range(2)]
    program.looks()
    seen = overview({1: described(program.watch)}, {}, {})
    assert seen.summary == "1 watched process holds 0 connections; 2 requests wait for a pool"
    assert [(row["held"], row["waiting"]) for row in seen.lines] == [(0, len(waiting))]


class There:
    """A question whose answer is there."""

    pid, over, refused = 1, False, ""

    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said

    def poll(self) -> bytes:
        """Give the answer."""
        return json.dumps(self._said).encode()

    def close(self) -> None:
        """Leave nothing behind."""


def values_in(said: Any) -> Iterator[tuple[Any, Any]]:
    """Give each object or list in a description, with each of its keys or places."""
    for key in list(said) if isinstance(said, dict) else range(len(said)) if isinstance(said, list) else ():
        yield said, key
        yield from values_in(said[key])


@pytest.mark.once
@LINUX
def test_no_answer_can_end_the_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs a process decides what it answers. Each value in turn is of another kind, in the second answer."""
    good = described(shop(2).watch)
    later = json.loads(json.dumps(good))
    later["process"]["now"] = "2099-01-01T00:00:00Z"
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(polling, "known", lambda pid: pid)
    monkeypatch.setattr(polling, "exchange_with", lambda process, wait: There(asked.pop(0)))
    monkeypatch.setattr(polling, "EVERY_S", 0.0)
    refused = 0
    for place, key in list(values_in(later)):
        right = place[key]
        for wrong in ("x", None, [], {}, 10**400):
            place[key] = wrong
            asked += [good, json.loads(json.dumps(later))]
            poller = polling.Poller(lambda: [os.getpid()])
            poller.step()
            poller.step()
            seen = poller.overview()
            assert text(seen)
            assert all(map(stacks_text, seen.lines))
            assert all(cost_text(said["cost"]) for said in poller.descriptions.values())  # as doctor shows it
            refused += any("answers in another form" in row["says"] for row in seen.processes)
        place[key] = right
    assert refused > 100


def test_the_text_has_the_rows_that_are_wanted() -> None:
    """And says who did not answer, and whom only root may ask."""
    program = shop(2)
    program.opens(USERS, thread("Thread-9", REPORT), STOCK)
    program.looks()
    seen = overview({1: described(program.watch)}, {}, {2: "has not answered for 5 s"}, 3)
    whole = text(seen)
    assert "whoholds: process 2 has not answered for 5 s" in whole
    assert "whoholds: watched processes of other users, which root may ask: 3" in whole
    assert "load_cars" in whole
    assert "load_cars" not in text(seen, "USERS")
    assert "load_users" in text(seen, "USERS")
    assert text(seen, "orders").endswith("\nwhoholds: no row contains 'orders'")
    assert "no row" not in text(seen, "USERS") + whole


def test_where_nobody_is_watched_that_is_said() -> None:
    """With what a process needs to be listed."""
    lines = text(overview({}, {}, {})).splitlines()
    assert lines[0] == "whoholds: 0 watched processes hold 0 connections"
    assert "once it is watched (WHOHOLDS=1) and has opened a connection" in lines[1]


def test_where_nobody_answers_that_is_said_first() -> None:
    """A process that is stopped holds what it held: nobody knows how much that is."""
    seen = overview({}, {}, {2: "is stopped (by SIGSTOP or Ctrl-Z)"})
    assert text(seen).splitlines()[0] == "whoholds: 1 watched process does not answer"


@LINUX
def test_a_terminal_without_a_screen_gets_text() -> None:
    """An editor's shell sets TERM=dumb: it shows the codes of a screen as they are."""
    import pty

    reads, writes = pty.openpty()
    command = [sys.executable, "-m", "whoholds", "top"]
    dumb = {**os.environ, "TERM": "dumb"}
    process = subprocess.Popen(command, stdin=writes, stdout=writes, stderr=writes, env=dumb)
    os.close(writes)
    shown = b""
    try:
        while shown.count(b"\n") < 2:
            shown += os.read(reads, 1000)
    finally:
        process.terminate()
        process.wait()
        os.close(reads)
    assert b"whoholds: " in shown
    assert b"\x1b" not in shown


@LINUX
def test_the_command_itself_is_no_watched_process(programs: Programs) -> None:
    """Its main thread has the name of the thread that is looked for, if it is started as a script of that name."""
    script = programs.write(
        f"#!{sys.executable}\nimport time; print('ready', flush=True); time.sleep(600)\n", "whoholds"
    )
    script.chmod(0o755)
    process = programs.command([str(script)], WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert Path(f"/proc/{process.pid}/comm").read_text(encoding="ascii") == "whoholds\n"
        assert is_watched(process.pid) is False
    finally:
        process.kill()
        process.communicate()


@LINUX
def test_without_its_library_the_screen_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal; None in `sys.modules` makes an import fail, as if the library were not installed."""
    monkeypatch.setitem(sys.modules, "textual", None)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert top() == 2
    assert "pip install 'whoholds[top]'; or use `whoholds top --once`" in capsys.readouterr().err


def test_the_cursor_stays_on_its_row_of_a_line_with_two_databases() -> None:
    """Also where another row comes above it: else `t` would show the holders of another database."""
    needed("textual")
    from textual.widgets import DataTable

    from whoholds.commands.screen import Top

    def row(database: str, held: int) -> dict[str, Any]:
        states = dict.fromkeys((column for column, _, number in LINES if number), held)
        return {**states, "place": "cars.py:4 in load_cars", "database": database, "groups": []}

    async def moved() -> None:
        reads, writes = os.pipe()

        def shows(*rows: dict[str, Any]) -> None:
            os.write(writes, f"{json.dumps(asdict(Overview(lines=list(rows))))}\n".encode())

        app = Top(reads, "")
        async with app.run_test() as pilot:
            lines = app.query_one("#lines", DataTable)
            shows(row("cars", 3), row("stock", 2))
            while lines.row_count < 2:
                await pilot.pause()
            await pilot.press("down")
            assert lines.cursor_row == 1
            shows(row("users", 4), row("cars", 3), row("stock", 2))
            while lines.row_count < 3:
                await pilot.pause()
            assert lines.cursor_row == 2
            os.close(writes)

    asyncio.run(moved())


def test_escape_drops_the_filter_and_leaves_its_line() -> None:
    """The keys after it are commands again."""
    needed("textual")
    from textual.widgets import Input

    from whoholds.commands.screen import Top

    async def left() -> None:
        reads, writes = os.pipe()
        app = Top(reads, "")
        async with app.run_test() as pilot:
            await pilot.press("slash", "x", "escape")
            assert app.focused is not None
            assert (app.focused.id, app.query_one("#wanted", Input).value) == ("lines", "")
            os.close(writes)

    asyncio.run(left())


# --- twenty real processes --------------------------------------------------------------------------------------------

SOURCE = """\
    import os, sqlite3, threading, time

    def load_cars(number):
        connection = sqlite3.connect("cars.db", timeout=60)
        if number:
            connection.execute("begin")
        done.wait()
        time.sleep(600)

    read, written = os.pipe()
    for number in range(20):
        if not os.fork():
            done = threading.Barrier(3)
            for number in range(2):
                threading.Thread(target=load_cars, args=(number,), daemon=True).start()
            done.wait()
            os.write(written, b".")
            time.sleep(600)
    for number in range(20):
        os.read(read, 1)
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def twenty(programs: Programs) -> Iterator[Programs]:
    """Twenty processes that hold two connections each, one of them in a transaction."""
    with running(programs, SOURCE, WHOHOLDS_EVERY=0.2):
        yield programs


class Terminal:
    """A command in a pseudo-terminal of 200 × 50 characters, and what stands on its screen."""

    def __init__(self, programs: Programs, *command: str) -> None:
        import pty

        pyte = needed("pyte")
        self.screen = pyte.Screen(200, 50)
        self._stream = pyte.ByteStream(self.screen)
        self.pid, self._file = pty.fork()
        if not self.pid:
            settings = {**environment(programs), "WHOHOLDS": None, "WHOHOLDS_JOURNAL": None, "TERM": "xterm-256color"}
            os.chdir(programs.folder)
            os.execvpe(command[0], command, programs.environ(**settings, LINES=50, COLUMNS=200))

    def shows(self, seen: Callable[[str], object], within: float = 30) -> str:
        """Read until the screen shows what is wanted; gives the screen's text."""
        until = time.monotonic() + within
        while True:
            shown = "\n".join(line.rstrip() for line in self.screen.display)
            if seen(shown):
                return shown
            assert time.monotonic() < until, shown
            if select.select([self._file], [], [], 0.2)[0]:
                try:
                    self._stream.feed(os.read(self._file, 1 << 16))
                except OSError:
                    assert seen(shown), shown
                    return shown

    def keys(self, text: str) -> None:
        """Type."""
        os.write(self._file, text.encode())

    def ends(self) -> int:
        """Wait for its end; gives the exit code."""
        while select.select([self._file], [], [], 20)[0]:
            try:
                if not os.read(self._file, 1 << 16):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.once
@LINUX
def test_twenty_processes_as_text_and_on_a_terminal(twenty: Programs) -> None:
    """Once, in a pipe again and again, and on a screen with a filter, an order and the holders' stacks."""
    ran = twenty.whoholds("top", "--once", "--filter", "cars.db", **environment(twenty))
    assert ran.code == 0, ran.err
    line = next(line for line in ran.out.splitlines() if line.startswith("app.py:4 in load_cars"))
    assert line.split()[3:7] == ["40", "20", "20", "0"], ran.out
    assert [line.split()[1:] for line in ran.out.splitlines() if line.startswith("cars.db")] == [["40", "-", "-", "20"]]

    command = [sys.executable, "-m", "whoholds", "top", "--filter", "app.py:4 in load_cars"]
    piped = twenty.command(command, WHOHOLDS=None, WHOHOLDS_JOURNAL=None, **environment(twenty))
    assert piped.stdout is not None
    heads = 0
    while heads < 3:
        heads += "whoholds: " in piped.stdout.readline()
    piped.send_signal(signal.SIGTERM)
    assert twenty.ends(piped).code == 128 + signal.SIGTERM

    terminal = Terminal(twenty, *command)
    shown = terminal.shows(lambda shown: re.search(r"app\.py:4 in load_cars +40 +20 +20 +0 ", shown))
    assert "idle in transaction" in shown.splitlines()[0]
    terminal.keys("s")
    terminal.shows(lambda shown: "sorted by opened at" in shown)
    terminal.keys("t")
    shown = terminal.shows(lambda shown: "idle, held for" in shown)
    assert "    app.py:8 in load_cars" in shown
    terminal.keys("t")
    terminal.shows(lambda shown: re.search(r"app\.py:4 in load_cars +40 ", shown))
    terminal.keys("/")
    terminal.shows(lambda shown: "▊" in shown or "│" in shown)  # the frame of the line
    terminal.keys("nothing")
    terminal.shows(lambda shown: "nothing" in shown and "app.py:4" not in shown)
    terminal.keys("\r")
    terminal.shows(lambda shown: "nothing" not in shown)
    terminal.keys("q")
    assert terminal.ends() == 0
    assert not any(list((twenty.folder / name).iterdir()) for name in left(twenty))
