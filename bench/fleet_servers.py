"""`python bench/fleet_servers.py`: what the questions of `whoholds server` cost a server with 100, 600 and 2000 connections.

Real servers, real connections with names of 160 lines; all figures are medians. docs/fleet.md has the output.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pymysql

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.fleet import name_of
from tests import servers

from whoholds.servers import postgres
from whoholds.servers.asking import asked
from whoholds.servers.target import target_of
from whoholds.servers.views import views_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTIONS = (100, 600, 2_000)
WAITING = 60
ROUNDS = 20
VIEW = "SELECT * FROM whoholds_slots"


def main() -> None:
    print(f"| PostgreSQL: connections | waiting | the query, ms | the view, ms | the whole look, ms |\n|{'---|' * 5}")
    for many in CONNECTIONS:
        postgresql(many)
    print(f"\n| MariaDB: connections | the view, ms | the whole look, ms |\n|{'---|' * 3}")
    for many in CONNECTIONS:
        mariadb(many)


def postgresql(many: int) -> None:
    """Two rows: without and with connections that wait for a lock."""
    with ExitStack() as end:
        dsn = end.enter_context(servers.postgres(max_connections=many + 100))
        asking = end.enter_context(closing(psycopg2.connect(dsn)))
        asking.autocommit = True
        cursor = asking.cursor()
        cursor.execute(f"{views_of('postgresql')}; CREATE TABLE cars (id, price) AS SELECT 1, 1")
        names = map(name_of, range(many))
        held = [end.enter_context(closing(psycopg2.connect(dsn, application_name=name))) for name in names]
        look = end.enter_context(asked(target_of(dsn)))
        for waiting in (0, WAITING):
            with queue(held, waiting, cursor):
                times = [explained(cursor, sql) for sql in (postgres.SESSIONS, VIEW)] + [timed(look)]
            print(f"| {many:,} | {waiting} | {' | '.join(f'{one:.1f}' for one in times)} |", flush=True)


@contextmanager
def queue(held: list[Any], waiting: int, cursor: Any) -> Iterator[None]:
    """So many of the connections wait for a row that another has changed."""
    threads = []
    if waiting:
        held[0].cursor().execute("UPDATE cars SET price = 2")
    for connection in held[1 : waiting + 1]:
        threads.append(threading.Thread(target=change, args=(connection,)))
        threads[-1].start()
    seen = -1
    while seen != waiting:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        (seen,) = cursor.fetchone()
    yield
    for connection in held[1 : waiting + 1]:
        connection.cancel()
    for thread in threads:
        thread.join()
    held[0].rollback()


def change(connection: Any) -> None:
    """Wait for the row until the statement is cancelled."""
    with suppress(psycopg2.Error):
        connection.cursor().execute("UPDATE cars SET price = 3")
    connection.rollback()


def mariadb(many: int) -> None:
    """One row."""
    with ExitStack() as end:
        arguments = end.enter_context(
            servers.mariadb(max_connections=many + 100, settings={"performance_schema": "ON"})
        )
        for number in range(many):
            end.enter_context(closing(pymysql.connect(**arguments, program_name=name_of(number))))
        asking = end.enter_context(closing(pymysql.connect(**{**arguments, "user": "root"})))
        cursor = asking.cursor()
        for statement in filter(str.strip, views_of("mysql").split(";\n")):
            cursor.execute(statement)
        look = end.enter_context(asked(target_of(f"mysql://root@127.0.0.1:{arguments['port']}/test")))
        print(f"| {many:,} | {timed(cursor.execute, VIEW):.1f} | {timed(look):.1f} |", flush=True)


def explained(cursor: Any, sql: str) -> float:
    """The milliseconds that PostgreSQL itself needs to plan and to run this."""
    times = []
    for _ in range(ROUNDS):
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}")
        (plan,) = cursor.fetchone()[0]
        times.append(plan["Planning Time"] + plan["Execution Time"])
    return statistics.median(times)


def timed(call: Callable[..., Any], *arguments: str) -> float:
    """The milliseconds that a call takes, with the way to the server and back."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call(*arguments)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
