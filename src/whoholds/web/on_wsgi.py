"""The page as a WSGI application. A worker of the server calls it, and makes the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from whoholds.watching.stacks import onlookers
from whoholds.web.answering import answer
from whoholds.web.exchange import Answer, Request

Environ: TypeAlias = dict[str, Any]
WsgiApp: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def application(allow: Callable[[Environ], bool] | None) -> WsgiApp:
    """The application."""

    def page(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        make = answer(request_of(environ), allow, environ, "wsgi")
        made = make if isinstance(make, Answer) else make()
        start_response(f"{made.status.value} {made.status.phrase}", list(made.headers))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else made.body]

    onlookers.add(page.__code__)
    return page


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
