"""Scopes for Django: each request is a scope, named by its route.

Put the middleware first, so that it is around all others: `MIDDLEWARE = ["whoholds.scopes.django.ScopeMiddleware", …]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from whoholds.scopes.units import begin, end, folded, route

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.scopes.units import Unit


class ScopeMiddleware:
    """A Django middleware, synchronous or asynchronous, with a scope around each request until its response closes."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._asynchronous = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """The response, or, if Django is asynchronous, a coroutine that returns it. The request's thread calls this."""
        if self._asynchronous:
            return self._answer(request)
        unit = begin(f"{request.method} {request.path}")
        try:
            response = self.get_response(request)
        except BaseException:
            end(unit, _name(request))
            raise
        return _ending_with(response, unit, request)

    async def _answer(self, request: Any) -> Any:
        unit = begin(f"{request.method} {request.path}")
        try:
            response = await self.get_response(request)
        except BaseException:
            end(unit, _name(request))
            raise
        return _ending_with(response, unit, request)


def _ending_with(response: Any, unit: Unit, request: Any) -> Any:
    """The response, set up to end the scope when it is closed.

    Django closes its old connections a moment after that, and before the next tick judges the scope.
    """
    name = _name(request)
    closers = getattr(response, "_resource_closers", None)
    if closers is None:
        end(unit, name)
    else:
        closers.append(lambda: end(unit, name))
    return response


def _name(request: Any) -> str:
    pattern = getattr(request.resolver_match, "route", None)
    return f"{request.method} {'/' + route(pattern) if isinstance(pattern, str) else folded(request.path)}"
