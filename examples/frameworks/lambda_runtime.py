"""AWS Lambda's runtime interface on a port of 127.0.0.1: hands events to one function's process, one after the other.

It is scenery, like run.py. The process under test is Amazon's own runtime client (`awslambdaric`).
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "/2018-06-01/runtime"


class _Runtime(BaseHTTPRequestHandler):
    """`GET …/next` waits for an event; `POST …/response` and `POST …/error` say what became of it."""

    events: Queue[dict[str, Any]]
    answers: Queue[tuple[str, bytes]]

    def do_GET(self) -> None:
        body = json.dumps(self.events.get()).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 60_000))
        self.send_header(
            "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:shop"
        )
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        answer = self.rfile.read(int(self.headers["Content-Length"]))
        self.answers.put((self.path.rpartition("/")[2], answer))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Runtime:
    """One function's events; `address` is the value of `AWS_LAMBDA_RUNTIME_API`."""

    def __init__(self) -> None:
        self._events: Queue[dict[str, Any]] = Queue()
        self._answers: Queue[tuple[str, bytes]] = Queue()
        handler = type("Handler", (_Runtime,), {"events": self._events, "answers": self._answers})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True  # one waits for the next event for ever
        self.address = f"127.0.0.1:{self._server.server_port}"

    def invoke(self, event: dict[str, Any], seconds: float) -> str:
        """Hand over one event and wait for its end: `response` or `error`. Raises queue.Empty after so long."""
        self._events.put(event)
        return self._answers.get(timeout=seconds)[0]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer requests while the block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
