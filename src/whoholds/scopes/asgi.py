"""Scopes for ASGI applications: each request and each websocket is a scope, named by its route.

Use `app = ScopeMiddleware(app)`, or in Starlette and FastAPI `app.add_middleware(ScopeMiddleware)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.scopes.units import begin, end, folded, route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    App = Callable[[MutableMapping[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]


class ScopeMiddleware:
    """An ASGI application that runs `app` with a scope around each of its requests and websockets."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Let `app` answer in a scope. The server's event loop calls this. A lifespan gets no scope."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        method = scope.get("method", "WEBSOCKET")
        unit = begin(f"{method} {scope['path']}")
        try:
            await self.app(scope, receive, send)
        finally:
            end(unit, f"{method} {_route_of(scope)}")


def _route_of(scope: MutableMapping[str, Any]) -> str:
    """The route, such as `/cars/{id}`, from FastAPI; with Starlette, composed from the path and its parameters.

    If there are neither a route nor parameters, the path with its ids replaced by `{}`.
    """
    named = getattr(scope.get("route"), "path", None)
    if isinstance(named, str):
        return route(named)
    parameters = scope.get("path_params")
    if not parameters:
        return folded(scope["path"])
    names = {str(value): name for name, value in parameters.items()}
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in scope["path"].split("/"))
