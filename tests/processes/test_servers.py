"""Real servers that are told to end, as a supervisor or Ctrl-C does it: what an endpoint leaked is named.

Each is started with `WHOHOLDS=1`, and by `whoholds run`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.processes.leaks import posix

if TYPE_CHECKING:
    import subprocess

    from tests.programs import Programs, Ran

pytestmark = [posix, pytest.mark.once]

FASTAPI = """
import {library}
from fastapi import FastAPI
app = FastAPI()
kept = []
@app.get("/")
{kind} leak():
    kept.append({library}.connect({database!r}))
    return "ok"
"""
WSGI = """
import {library}
kept = []
def leak():
    kept.append({library}.connect({database!r}))
def app(environ, start):
    leak()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
SERVERS = {
    "uvicorn": (FASTAPI, "uvicorn", "uvicorn app:app --port {port}"),
    "hypercorn": (FASTAPI, "hypercorn", "hypercorn app:app -b 127.0.0.1:{port}"),
    "uvicorn workers": (FASTAPI, "gunicorn", "gunicorn app:app -k uvicorn.workers.UvicornWorker -b 127.0.0.1:{port}"),
    "sync": (WSGI, "gunicorn", "gunicorn app:app -b 127.0.0.1:{port}"),
    # one thread: of two, the one that answers a single request keeps a connection of its own, which is no leak
    "gthread": (WSGI, "gunicorn", "gunicorn app:app -k gthread --threads 1 -b 127.0.0.1:{port}"),
    "gevent": (WSGI, "gevent", "gunicorn app:app -k gevent -b 127.0.0.1:{port}"),
}


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def ask(port: int, times: int) -> None:
    """Ask the server that starts there so often."""
    until = time.monotonic() + 60
    while times:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read()
            times -= 1
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def end(program: Programs, process: subprocess.Popen[str], number: int) -> Ran:
    """Ctrl-C reaches all of a terminal's processes; SIGTERM the one that a supervisor has started."""
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    return program.ends(process, within=60)


@pytest.mark.parametrize("command", ["-m", "-m whoholds run -m"], ids=["environment", "run"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("server", SERVERS)
def test_what_an_endpoint_leaked_is_named_when_its_server_ends(
    program: Programs, server: str, number: int, command: str
) -> None:
    """Four connections, the line, and the number; the exit status is the server's own."""
    source, library, started = SERVERS[server]
    needed(library)
    program.write(source.format(library="sqlite3", database="shop.db", kind="async def"))
    port = free_port()
    process = program.command([sys.executable, *command.split(), *started.format(port=port).split()])
    ask(port, 4)
    ran = end(program, process, number)
    assert ran.findings == [("left-open", "error", 4)], ran.err
    (found,) = ran.of("finding", "left-open")
    assert (found["opened"]["function"], found["count"]) == ("leak", 4)
    assert "leak left open 4 connections at exit" in ran.err
    assert ran.code == (-signal.SIGTERM if (server, number) == ("uvicorn", signal.SIGTERM) else 0)


def test_postgres_connections_of_a_synchronous_endpoint_are_named(program: Programs, postgres: str) -> None:
    """FastAPI runs it in a worker thread; SIGTERM as `docker stop` sends it."""
    needed("psycopg2")
    needed("uvicorn")
    program.write(FASTAPI.format(library="psycopg2", database=postgres, kind="def"))
    port = free_port()
    process = program.command([sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)])
    ask(port, 4)
    ran = end(program, process, signal.SIGTERM)
    assert (ran.code, ran.findings) == (-signal.SIGTERM, [("left-open", "error", 4)]), ran.err


CELERY = """
import celery, sqlite3
app = celery.Celery("shop", broker="filesystem://", task_ignore_result=True)
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
kept = []
@app.task
def leak():
    kept.append(sqlite3.connect("shop.db"))
    open("done", "a").write(".")
"""


@pytest.mark.parametrize("command", ["-m", "-m whoholds run -m"], ids=["environment", "run"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_a_celery_task_leaked_is_named_when_its_worker_ends(program: Programs, number: int, command: str) -> None:
    """The prefork pool, with its queue in a folder."""
    needed("celery")
    program.write(CELERY)
    for folder in ("queue", "control"):
        (program.folder / folder).mkdir()
    ordered = program.ends(
        program.command([sys.executable, "-c", "import app\nfor _ in range(4): app.leak.delay()"], WHOHOLDS=None)
    )
    assert ordered.code == 0, ordered.err
    worker = "celery -A app worker --pool prefork -c 1 --without-gossip --without-mingle -l WARNING"
    process = program.command([sys.executable, *command.split(), *worker.split()])
    done = program.folder / "done"
    until = time.monotonic() + 60
    while (not done.exists() or len(done.read_text()) < 4) and time.monotonic() < until:
        time.sleep(0.05)
    ran = end(program, process, number)
    assert ran.findings == [("left-open", "error", 4)], ran.err
    (found,) = ran.of("finding", "left-open")
    assert found["opened"]["function"] == "leak"
    assert ran.code == (1 if number == signal.SIGINT else 0)  # a child that Ctrl-C reaches: 1 without us too


POOL = """
import multiprocessing, sqlite3, time
kept = []
def leak(number):
    kept.append(sqlite3.connect("shop.db"))
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.map(leak, range(4))
        print("ready", flush=True)
        while True:
            time.sleep(0.1)
"""


@pytest.mark.parametrize("command", ["", "-m whoholds run"], ids=["environment", "run"])
def test_what_a_worker_of_a_pool_leaked_is_named_when_its_group_ends(program: Programs, command: str) -> None:
    """A supervisor that ends a whole group by SIGTERM, and has asked for a look at that."""
    program.write(POOL)
    process = program.command([sys.executable, *command.split(), "app.py"], WHOHOLDS_SIGTERM="1")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)  # a signal that comes just before a wait begins is heard after it: not what is tried here
    os.killpg(process.pid, signal.SIGTERM)
    ran = program.ends(process)
    assert ran.findings == [("left-open", "error", 4)], ran.err
