"""Runs the programs of `examples/scopes` under their real servers, and reads the routes in their journals."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

HERE = Path(__file__).resolve().parents[2] / "examples" / "scopes"
SECONDS = 30.0
QUIET = ("--log-level", "warning")


@pytest.mark.parametrize(
    ("needs", "program", "server", "stop"),
    [
        ("fastapi uvicorn", "fastapi_app:app", ("uvicorn", *QUIET, "--port", "{port}"), signal.SIGINT),
        ("flask gunicorn", "flask_app:app", ("gunicorn", *QUIET, "--bind", "127.0.0.1:{port}"), signal.SIGTERM),
        (
            "django gunicorn",
            "django_app:application",
            ("gunicorn", *QUIET, "--bind", "127.0.0.1:{port}"),
            signal.SIGTERM,
        ),
    ],
)
def test_a_server_names_the_route(
    needs: str, program: str, server: tuple[str, ...], stop: signal.Signals, tmp_path: Path
) -> None:
    """Three requests to the view that forgets, three to the one that does not."""
    skip_without(needs)
    port = free_port()
    module, *options = (part.format(port=port) for part in server)
    with running(tmp_path, module, *options, program, stop=stop):
        wait_for(port)
        for number in range(3):
            for path in (f"/users/{number}", f"/users/{number}/cars"):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS) as answer:
                    assert answer.status == 200
    check(left_open(tmp_path), "GET /users/{user}/cars", "request")


def test_a_celery_worker_names_the_task(tmp_path: Path) -> None:
    """The tasks come through a real broker, a folder of files, to a real worker."""
    skip_without("celery")
    options = ("--quiet", "--app", "celery_app", "worker", "--pool", "solo", "--loglevel", "error")
    alone = ("--without-mingle", "--without-gossip", "--without-heartbeat")
    with running(tmp_path, "celery", *options, *alone):
        send = "import celery_app as a; s = [t.delay(n) for n in range(3) for t in (a.user, a.cars)]"
        done = f"{send}; [one.get(timeout=20, interval=0.05) for one in s]"
        bare = environment(tmp_path, on=False)
        subprocess.run([sys.executable, "-c", done], cwd=HERE, env=bare, check=True, timeout=SECONDS)
    check(left_open(tmp_path), "garage.cars", "task")


@pytest.mark.parametrize(("command", "count"), [("load", 3), ("users", 0)])
def test_a_command_names_itself(command: str, count: int, tmp_path: Path) -> None:
    """The program ends at once after it: the last look waits for nothing."""
    skip_without("click")
    program = [sys.executable, HERE / "click_app.py", command]
    done = subprocess.run(
        program, cwd=HERE, env=environment(tmp_path), check=True, timeout=SECONDS, capture_output=True, text=True
    )
    assert len(done.stdout.splitlines()) == 3
    found = left_open(tmp_path)
    if count:
        check(found, "garage load", "command")
    else:
        assert not found


def check(found: list[dict[str, Any]], scope: str, kind: str) -> None:
    """One finding, with the scope in its field and in its message, at the line that forgets."""
    (finding,) = found
    assert (finding["scope"], finding["count"], finding["severity"]) == (scope, 3, "error")
    assert f"at the end of {kind} {scope}" in finding["message"]
    assert (Path(finding["opened"]["file"]).name, finding["opened"]["function"]) == ("garage.py", "cars_of")


def left_open(folder: Path) -> list[dict[str, Any]]:
    """Give the last telling of each such finding."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for journal in sorted(folder.glob("*.jsonl")):
        for entry in map(json.loads, journal.read_text(encoding="utf-8").splitlines()):
            if entry["type"] == "finding" and entry["rule"] == "left-open":
                last[journal.name, entry["id"]] = entry
    return list(last.values())


def skip_without(names: str) -> None:
    for name in names.split():
        if importlib.util.find_spec(name) is None:
            lacking(f"needs {name}")


def environment(folder: Path, *, on: bool = True) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "OTEL_", "COV_"))}
    kept |= {"GARAGE": str(folder / "garage.db"), "GARAGE_QUEUE": str(folder / "queue")}
    (folder / "queue").mkdir(exist_ok=True)
    watched = {"WHOHOLDS": "journal", "WHOHOLDS_JOURNAL": str(folder / "{pid}.jsonl"), "WHOHOLDS_EVERY": "0.2"}
    return kept | watched if on else kept


@contextmanager
def running(folder: Path, module: str, *arguments: str, stop: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """Run `python -m module` while the block lasts, and let it see a tick before it is stopped."""
    command = [sys.executable, "-m", module, *arguments]
    server = subprocess.Popen(command, cwd=HERE, env=environment(folder), start_new_session=True)
    try:
        yield
        time.sleep(1)
        server.send_signal(stop)
        server.wait(timeout=SECONDS)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"no server on port {port}")
