"""Runs a web server of a program, and asks it over HTTP."""

from __future__ import annotations

import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.programs import Programs


@contextmanager
def served(program: Programs, command: list[str], **settings: object) -> Iterator[int]:
    """The port of `uvicorn …` or `gunicorn …`, run in the program's folder with WHOHOLDS=1, while the block lasts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    where = ["--port", str(port)] if command[0] == "uvicorn" else ["-b", f"127.0.0.1:{port}"]
    process = program.command([sys.executable, "-m", *command, *where], **settings)
    try:
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None, process.communicate()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        ran = program.ends(process, within=60)
        assert "Traceback" not in ran.err, ran.err


def asked(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and text of what the server answers."""
    request = urllib.request.Request(f"http://localhost:{port}{path}", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
