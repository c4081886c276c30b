"""The page as a WSGI application. A worker of the server makes the answer; under gevent, a thread does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from whoholds.hooks.threads import RealThread
from whoholds.web.answering import answer
from whoholds.web.exchange import Answer, Request

Environ: TypeAlias = dict[str, Any]
WsgiApp: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def application(allow: Callable[[Environ], bool] | None) -> WsgiApp:
    """The application."""

    def page(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        make = answer(request_of(environ), allow, environ, "wsgi")
        reply = make if isinstance(make, Answer) else _beside_greenlets(make)
        start_response(f"{reply.status.value} {reply.status.phrase}", list(reply.headers))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]

    return page


def _beside_greenlets(make: Callable[[], Answer]) -> Answer:
    """The answer that `make` returns: under gevent in a thread, so that the thread's other greenlets go on."""
    gevent = sys.modules.get("gevent")
    if gevent is None or not isinstance(gevent.getcurrent(), gevent.Greenlet):
        return make()
    answers: list[Answer] = []
    hub = gevent.get_hub()
    ready = hub.loop.async_()
    waiter = gevent.hub.Waiter(hub)

    def run() -> None:
        answers.append(make())
        try:
            ready.send()
        except Exception:  # noqa: BLE001, S110 - the request was dropped, and `ready` is closed
            pass

    ready.start(waiter.switch, None)  # before the thread: libev forgets what was sent earlier
    try:
        try:
            RealThread(run).start()
        except RuntimeError:  # there can be no threads
            return make()
        waiter.get()
    finally:
        ready.stop()
        ready.close()
    return answers[0]


def request_of(environ: Environ) -> Request:
    """The request of a WSGI environment."""
    named = {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")}
    return Request(
        environ["REQUEST_METHOD"],
        environ.get("REMOTE_ADDR") or "",
        environ.get("SERVER_PROTOCOL", "").rpartition("/")[2],
        tuple((name.lower().replace("_", "-"), str(value)) for name, value in named.items()),
        environ.get("QUERY_STRING", ""),
    )
