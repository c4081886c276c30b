"""For WSGI applications: each request is a scope, named by its route.

`app = ScopeMiddleware(app)`, in Flask `app.wsgi_app = ScopeMiddleware(app.wsgi_app)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.scopes.units import begin, end, folded, route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from whoholds.scopes.units import Unit

    App = Callable[[dict[str, Any], Any], Iterable[bytes]]


class ScopeMiddleware:
    """The application, with a scope around each of its requests, up to the close of its answer."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer; the scope goes on while the server reads what was answered."""
        unit = begin(_name(environ))

        def start(*args: Any, **kwargs: Any) -> Any:
            unit.name = _name(environ)  # later Flask takes back what it said of the request
            return start_response(*args, **kwargs)

        try:
            body = self.app(environ, start)
        except BaseException:
            end(unit)
            raise
        if not hasattr(body, "close") or _is_file(body, environ):
            end(unit)  # no code of the application's runs any more
            return body
        return _Body(body, unit)


class _Body:
    """An answer that ends its scope when the server closes it."""

    def __init__(self, body: Any, unit: Unit) -> None:
        self._body = body
        self._unit = unit

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def close(self) -> None:
        """Close the application's answer, and with it the scope."""
        try:
            self._body.close()
        finally:
            end(self._unit)


def _is_file(body: Any, environ: dict[str, Any]) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _name(environ: dict[str, Any]) -> str:
    """Werkzeug, and with it Flask, leaves the request with its rule in the environment."""
    rule = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    path = route(rule) if isinstance(rule, str) else folded(environ.get("PATH_INFO", "/"))
    return f"{environ.get('REQUEST_METHOD', 'GET')} {path}"
