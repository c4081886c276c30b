"""Runs a program of this folder as in earnest: its real server, a fresh shop, a few requests, a clean stop.

    python examples/frameworks/run.py fastapi_bug

It is scenery, like shop_database.py: the programs know nothing of it.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))  # for shop_database, which the examples beside this folder use too
from lambda_runtime import Runtime  # noqa: E402 (beside this file)
from shop_database import USERS, free_port, shop_database  # noqa: E402  (needs the line above)

REQUESTS = 12
SECONDS = 30.0


def _uvicorn(program: str) -> None:
    """Stop it with SIGINT: uvicorn shuts down on SIGTERM too, but then dies of it without any `atexit`."""
    port = free_port()
    with _running("uvicorn", f"{program}:app", "--port", str(port), "--log-level", "warning", stop=signal.SIGINT):
        _request_cars(port)


def _gunicorn(program: str, *options: str) -> None:
    port = free_port()
    with _running("gunicorn", *_bound_to(port), *options, f"{program}:app"):
        _request_cars(port)


def _bound_to(port: int) -> tuple[str, ...]:
    return ("--bind", f"127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket")


def _django(program: str) -> None:
    port = free_port()
    with _running("gunicorn", *_bound_to(port), "--config", "python:gunicorn_settings", program):
        _request(port, ["/dashboard"] * 2)
        time.sleep(1)  # a server is not stopped at once: time to see what outlives the threads


def _celery(program: str) -> None:
    """The jobs are there before the worker: a broker of files could be read while one is being written."""
    sys.path.append(str(HERE))
    from celery import Celery

    sender = Celery(set_as_current=False)
    sender.config_from_object("celery_settings")
    alone = ("--without-mingle", "--without-gossip", "--without-heartbeat")
    worker = ("worker", "--pool", "prefork", "--concurrency", "1", "--loglevel", "error", *alone)
    jobs = [sender.send_task("shop.value_of_cars", [user]) for user in USERS[:REQUESTS]]
    with _running("celery", "--quiet", "--app", program, *worker):
        totals = [job.get(timeout=SECONDS, interval=0.05) for job in jobs]
    print(f"{len(totals)} jobs done")


def _lambda(program: str) -> None:
    """Send a few events to one warm process; the token changes with each, as if a quarter of an hour had passed."""
    runtime = Runtime()
    os.environ["AWS_LAMBDA_RUNTIME_API"] = runtime.address
    ends: Counter[str] = Counter()
    with runtime.running(), _running("awslambdaric", f"{program}.handler") as function:
        for user in USERS[:4]:
            ends[runtime.invoke({"user": user, "token": f"token {user}"}, SECONDS)] += 1
            function.send_signal(signal.SIGSTOP)  # the platform stops a function that waits for an event
            time.sleep(0.2)
            function.send_signal(signal.SIGCONT)
        time.sleep(1)  # a function is not ended at once
    print()  # the runtime client ends no line
    print(", ".join(f"{count} times {end}" for end, count in sorted(ends.items())))


def _notebook(program: str) -> None:
    """Run the cells of the script, which begin at `# %%`, in a real kernel, and print what it shows below each."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    cells = (HERE / f"{program}.py").read_text(encoding="utf-8").split("# %%\n")[1:]
    notebook = new_notebook(cells=[new_code_cell(cell.strip()) for cell in cells])
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", allow_errors=True).execute()
    for cell in notebook.cells:
        for output in cell.outputs:
            print(output.get("text", output.get("evalue", "")).rstrip())


def _script(program: str) -> None:
    subprocess.run([sys.executable, HERE / f"{program}.py"], cwd=HERE, check=True, timeout=SECONDS)


PROGRAMS: dict[str, Callable[[str], None]] = {
    "fastapi": _uvicorn,
    "flask": _gunicorn,
    "flask_pool": _gunicorn,
    "preload": lambda program: _gunicorn(program, "--preload", "--workers", "2"),
    "django": _django,
    "celery": _celery,
    "click": _script,
    "executor": _script,
    "asyncpg": _script,
    "asyncpg_pool": _script,
    "upload": _script,
    "psycopg": _script,
    "psycopg_pool": _script,
    "notebook": _notebook,
    "lambda": _lambda,
}


@contextmanager
def _running(module: str, *arguments: str, stop: signal.Signals = signal.SIGTERM) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m module` while the block lasts; if it does not stop, its process group is killed."""
    server = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=HERE, start_new_session=True)
    try:
        yield server
        server.send_signal(stop)
        server.wait(timeout=SECONDS)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _request_cars(port: int) -> None:
    _request(port, [f"/users/{user}/cars" for user in USERS[:REQUESTS]])


def _request(port: int, paths: list[str]) -> None:
    """Ask for the paths, one after the other, and print how often each status came."""
    _wait_for(port)
    statuses = Counter(_status(f"http://127.0.0.1:{port}{path}") for path in paths)
    print(", ".join(f"{count} requests answered {status}" for status, count in sorted(statuses.items())))


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    message = f"no server on port {port} after {SECONDS:.0f} s"
    raise TimeoutError(message)


@contextmanager
def _shop() -> Iterator[None]:
    """Set the variables that tell the programs where their data are: a server, a file, a folder of jobs."""
    with shop_database() as url, tempfile.TemporaryDirectory(prefix="shop-") as folder:
        file, queue = Path(folder) / "shop.sqlite3", Path(folder)
        cars = [(number, 1 + number % len(USERS), 1000 + number * 37 % 9000) for number in range(1, 1001)]
        with closing(sqlite3.connect(file)) as shop, shop:
            shop.execute("CREATE TABLE cars (id INTEGER PRIMARY KEY, owner_id INTEGER, price INTEGER)")
            shop.executemany("INSERT INTO cars VALUES (?, ?, ?)", cars)
        for part in ("jobs", "control", "results"):
            (queue / part).mkdir()
        os.environ.update(SHOP_URL=url, SHOP_FILE=str(file), SHOP_QUEUE=folder)
        yield


def main(program: str) -> None:
    """Run one program of `PROGRAMS`, as `<name>_bug` or `<name>_cure`."""
    with _shop():
        PROGRAMS[program.rpartition("_")[0]](program)


if __name__ == "__main__":
    names = [f"{name}_{kind}" for name in PROGRAMS for kind in ("bug", "cure")]
    if sys.argv[1:] not in [[name] for name in names]:
        sys.exit(f"run.py takes one of: {', '.join(names)}; got: {' '.join(sys.argv[1:]) or 'nothing'}")
    main(sys.argv[1])
