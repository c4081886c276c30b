"""Asks an application for its page, in this process, as a server would: the same question to ASGI and to WSGI."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from whoholds import web

LOCAL = {"host": "localhost:8000", "accept": "*/*"}


@dataclass
class Got:
    """An answer. The names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)


def asgi_scope(headers: dict[str, str], *, client: str | None, method: str, query: str, version: str) -> dict[str, Any]:
    """The scope of a request that a server was sent."""
    return {
        "type": "http",
        "method": method,
        "path": "/debug/whoholds/",
        "root_path": "/debug/whoholds",
        "query_string": query.encode(),
        "http_version": version,
        "client": None if client is None else (client, 50_000),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


async def answer_of(app: Any, scope: dict[str, Any]) -> Got:
    """The answer to this scope."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, body = sent
    return Got(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        body["body"].decode(),
    )


def ask(
    kind: str,
    headers: dict[str, str] | None = None,
    *,
    client: str | None = "127.0.0.1",
    method: str = "GET",
    query: str = "",
    version: str = "1.1",
    allow: Any = None,
    app: Any = None,
) -> Got:
    """The answer of `app`, or of a page that is mounted with `allow`; `kind` is `asgi` or `wsgi`."""
    headers = {**LOCAL, **(headers or {})}
    if kind == "asgi":
        scope = asgi_scope(headers, client=client, method=method, query=query, version=version)
        return asyncio.run(answer_of(app or web.asgi(allow), scope))
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "/debug/whoholds",
        "PATH_INFO": "/",
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": f"HTTP/{version}",
        **({} if client is None else {"REMOTE_ADDR": client}),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    started: list[Any] = []
    body = (app or web.wsgi(allow))(environ, lambda status, given: started.extend((status, given)))
    status, given = started
    return Got(int(status[:3]), {name.lower(): value for name, value in given}, b"".join(body).decode())
