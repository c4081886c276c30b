"""Scopes for WSGI applications: each request is a scope, named by its route.

Use `app = ScopeMiddleware(app)`, or in Flask `app.wsgi_app = ScopeMiddleware(app.wsgi_app)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.scopes.units import begin, end, folded, route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from whoholds.scopes.units import Unit

    App = Callable[[dict[str, Any], Any], Iterable[bytes]]


class ScopeMiddleware:
    """A WSGI application that runs `app` with a scope around each request, until its response is closed."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The response of `app`. The thread of the request calls this; the scope lasts until the response is closed."""
        unit = begin(_name(environ))

        def start(*args: Any, **kwargs: Any) -> Any:
            unit.name = _name(environ)  # read now, because Flask later removes the request from the environment
            return start_response(*args, **kwargs)

        try:
            body = self.app(environ, start)
        except BaseException:
            end(unit)
            raise
        if not hasattr(body, "close") or _is_file(body, environ):
            end(unit)  # no code of the application runs after this
            return body
        return _Body(body, unit)


class _Body:
    """A response that ends its scope when the server closes it."""

    def __init__(self, body: Any, unit: Unit) -> None:
        self._body = body
        self._unit = unit

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def close(self) -> None:
        """Close the application's response, then end the scope."""
        try:
            self._body.close()
        finally:
            end(self._unit)


def _is_file(body: Any, environ: dict[str, Any]) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _name(environ: dict[str, Any]) -> str:
    """`GET /cars/{id}`: the method, and the route, which Werkzeug (and Flask) leave with the request in `environ`."""
    rule = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    path = route(rule) if isinstance(rule, str) else folded(environ.get("PATH_INFO", "/"))
    return f"{environ.get('REQUEST_METHOD', 'GET')} {path}"
