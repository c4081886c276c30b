"""For ASGI applications: each request and websocket is a scope, named by its route.

`app = ScopeMiddleware(app)`, or in Starlette and FastAPI `app.add_middleware(ScopeMiddleware)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.scopes.units import begin, end, folded, route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    App = Callable[[MutableMapping[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]


class ScopeMiddleware:
    """The application, with a scope around each of its requests."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer; a lifespan is no unit of work."""
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
    """FastAPI names the route; Starlette the parameters, from which it is put together."""
    named = getattr(scope.get("route"), "path", None)
    if isinstance(named, str):
        return route(named)
    parameters = scope.get("path_params")
    if not parameters:
        return folded(scope["path"])
    names = {str(value): name for name, value in parameters.items()}
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in scope["path"].split("/"))
