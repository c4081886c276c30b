"""Starts the fleet: processes of six programs, on several hosts as the server sees it, and says what is true of them.

The hosts are addresses 127.0.0.x, from which pg8000 and PyMySQL can connect.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from tests import servers
from tests.needs import needed
from tests.programs import FOREIGN
from whoholds.servers.state import IDLE, IDLE_IN_TRANSACTION, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "programs"
PROGRAMS = ("prices", "shop", "carts", "report", "worker", "nightly")
SELLING, TOGETHER = 3, 4  # of shop.py: connections that wait, and processes that wait for one row
START_S = 120

Line = tuple[str, str | None]  # program and opening line


class Truth(NamedTuple):
    """What is true of the fleet. `lines` counts the connections of each line by state, `hosts` those of each host."""

    lines: dict[Line, Counter[str]]
    hosts: dict[Line, Counter[str]]
    blocked: dict[str, list[int]]  # how many each connection of a line blocks, the most first

    @property
    def connections(self) -> int:
        return sum(states.total() for states in self.lines.values())

    @property
    def waiting(self) -> int:
        return sum(sum(many) for many in self.blocked.values())


class Server(NamedTuple):
    """A server to run the fleet on: what is asked, by whom, and the question that counts who waits for a lock."""

    dsn: str
    library: str
    arguments: dict[str, Any]
    source: str  # the argument that chooses the host
    name: str  # the argument that names a connection
    waiting: str
    asking: dict[str, Any]  # the arguments of whoever may see all

    def on(self, host: str) -> dict[str, Any]:
        """The arguments to connect from a host."""
        return {**self.arguments, self.source: [host, 0] if self.source == "source_address" else host}


@contextmanager
def postgresql(max_connections: int) -> Iterator[Server]:
    """Give a PostgreSQL with so many connections, and a table to wait for."""
    with ExitStack() as end:
        rules = end.enter_context(tempfile.NamedTemporaryFile("w", suffix=".conf"))
        rules.write("host all all 127.0.0.0/8 trust\n")  # its own file of rules knows one host only
        rules.flush()
        Path(rules.name).chmod(0o644)
        dsn = end.enter_context(servers.postgres(max_connections=max_connections, settings={"hba_file": rules.name}))
        parts = urlsplit(dsn)
        arguments = {"host": parts.hostname, "port": parts.port, "user": parts.username, "database": parts.path[1:]}
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        server = Server(dsn, "pg8000.dbapi", arguments, "source_address", "application_name", waiting, arguments)
        yield _with_table(server)


@contextmanager
def mariadb(max_connections: int) -> Iterator[Server]:
    """The same of MariaDB, with the attributes of connections."""
    with servers.mariadb(max_connections=max_connections, settings={"performance_schema": "ON"}) as arguments:
        dsn = f"mysql://root@{arguments['host']}:{arguments['port']}/{arguments['database']}"
        waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        server = Server(
            dsn, "pymysql", dict(arguments), "bind_address", "program_name", waiting, {**arguments, "user": "root"}
        )
        yield _with_table(server)


def _with_table(server: Server) -> Server:
    connection = needed(server.library).connect(**server.asking)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE cars (id integer PRIMARY KEY, price integer)")
    cursor.execute(f"INSERT INTO cars VALUES {', '.join(f'({number}, 1)' for number in range(100))}")
    connection.commit()
    connection.close()
    return server


@contextmanager
def fleet(server: Server, processes: int, each: int, hosts: int) -> Iterator[Truth]:
    """Run so many processes with so many connections `each`, and give what is true of them once all are where they stay."""
    base = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    tagged = {"WHOHOLDS": "1", "WHOHOLDS_TAG": "1", "WHOHOLDS_VERBOSE": "0"}
    started: list[tuple[str, str]] = []
    numbers = sorted(range(processes), key=lambda number: number % len(PROGRAMS))
    with ExitStack() as end:
        errors = end.enter_context(tempfile.TemporaryFile())
        for together in (numbers[: -(-processes // len(PROGRAMS))], numbers[-(-processes // len(PROGRAMS)) :]):
            running = []  # at first those that change the rows for which others wait
            for number in together:
                program, host = PROGRAMS[number % len(PROGRAMS)], f"127.0.0.{2 + number % hosts}"
                told = {"library": server.library, "arguments": server.on(host), "name": server.name}
                told["ordinal"] = number // len(PROGRAMS)
                environment = {**base, **(tagged if program != "nightly" else {}), "FLEET": json.dumps(told)}
                process = end.enter_context(
                    subprocess.Popen(
                        [sys.executable, f"{program}.py", str(each)],
                        cwd=FOLDER,
                        env=environment,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=errors,  # with findings: this fleet leaks
                    )
                )
                end.callback(process.kill)
                running.append(process)
                started.append((program, host))
            for process in running:
                assert process.stdout is not None
                if process.stdout.readline() != b"open\n":
                    errors.seek(0)
                    message = f"{process.args} did not come up:\n{errors.read().decode(errors='replace')}"
                    raise RuntimeError(message)
        truth = _truth(started, each)
        _until_all_wait(server, truth)
        yield truth


def _until_all_wait(server: Server, truth: Truth) -> None:
    """Return when as many wait for a lock as the programs say."""
    until = time.monotonic() + START_S
    with closing(needed(server.library).connect(**server.asking)) as connection:
        while True:
            cursor = connection.cursor()
            cursor.execute(server.waiting)
            (waiting,) = cursor.fetchone()
            connection.rollback()
            if waiting == truth.waiting:
                return
            assert time.monotonic() < until, f"{waiting} wait, not {truth.waiting}"


def line_of(program: str, function: str) -> Line:
    """The line of the program that connects in this function, as the server shows it."""
    inside = False
    for number, text in enumerate((FOLDER / f"{program}.py").read_text(encoding="utf-8").splitlines(), 1):
        if text.startswith("def "):
            inside = re.match(rf"def {function}\b", text) is not None
        if inside and "library.connect(" in text:
            return f"{program}.py", f"{program}.py:{number} in {function}"
    raise LookupError(function)


def _truth(started: list[tuple[str, str]], each: int) -> Truth:
    """What the programs do, in figures."""
    lines: dict[Line, Counter[str]] = {}
    hosts: dict[Line, Counter[str]] = {}

    def add(line: Line, host: str, **states: int) -> None:
        lines.setdefault(line, Counter()).update(states)
        hosts.setdefault(line, Counter())[host] += sum(states.values())

    sales = len(range(0, each, 3))
    for program, host in started:
        if program == "prices":
            add(line_of(program, "change_price"), host, **{IDLE_IN_TRANSACTION: 1})
            add(line_of(program, "watch_exchange"), host, **{IDLE: each - 1})
        elif program == "shop":
            add(line_of(program, "work"), host, **{RUNNING: SELLING, IDLE: each - SELLING})
        elif program == "report":
            add(line_of(program, "read_sales"), host, **{IDLE_IN_TRANSACTION: sales})
            add(line_of(program, "read_stock"), host, **{IDLE_IN_TRANSACTION: each - sales})
        elif program == "nightly":
            add(("nightly", None), host, **{IDLE: each})
        else:
            add(line_of(program, "load_cart" if program == "carts" else "work"), host, **{IDLE: each})
    shops = sum(program == "shop" for program, _ in started)
    rows = [SELLING * len(range(first, min(first + TOGETHER, shops))) for first in range(0, shops, TOGETHER)]
    return Truth(lines, hosts, {line_of("prices", "change_price")[1] or "": rows})
