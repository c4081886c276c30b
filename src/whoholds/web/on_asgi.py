"""The page as an ASGI application. The server's event loop calls it; a thread of whoholds makes the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from whoholds.hooks.threads import RealThread
from whoholds.web.answering import answer
from whoholds.web.exchange import Answer, Request

Scope: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def application(allow: Callable[[Scope], bool] | None) -> AsgiApp:
    """The application. It refuses websockets, and answers a server that asks it for its lifespan."""

    async def page(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] == "http":
            reply = await _in_a_thread(answer(request_of(scope), allow, scope, "asgi"))
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers]
            await send({"type": "http.response.start", "status": int(reply.status), "headers": headers})
            body = b"" if scope["method"] == "HEAD" else reply.body
            await send({"type": "http.response.body", "body": body})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _live(receive, send)

    return page


def request_of(scope: Scope) -> Request:
    """The request of an ASGI scope."""
    return Request(
        scope["method"],
        (scope.get("client") or ("",))[0] or "",
        scope.get("http_version", ""),
        tuple(
            (name.decode("latin-1").lower().replace("_", "-"), value.decode("latin-1"))
            for name, value in scope["headers"]
        ),
        scope.get("query_string", b"").decode("latin-1"),
    )


async def _in_a_thread(make: Answer | Callable[[], Answer]) -> Answer:
    """The answer that `make` returns in a thread, so that the loop serves others.

    It is a thread of whoholds: those of the loop's executor may all wait for a connection, when the page is asked why.
    """
    if isinstance(make, Answer):
        return make
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a loop of trio's
        return make()
    future: asyncio.Future[Answer] = loop.create_future()

    def give(reply: Answer) -> None:
        if not future.done():  # else the server has dropped the request
            future.set_result(reply)

    def run() -> None:
        reply = make()
        try:
            loop.call_soon_threadsafe(give, reply)
        except RuntimeError:  # the loop has been closed
            pass

    try:
        RealThread(run).start()
    except RuntimeError:  # there can be no threads
        return make()
    return await future


async def _live(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer the lifespan messages of a server that serves nothing but this page."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
