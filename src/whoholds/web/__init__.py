"""A page in the application: who holds what now, to mount at a path of the program's choice, such as /debug/whoholds.

Only a program that imports this package has the page. The page only reads: it has no form and no cookie, and there is
nothing in it that changes anything. Where whoholds is not switched on, next to nothing is imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from whoholds.switch import is_on
from whoholds.watching.running import current

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import Any

    from whoholds.web.on_asgi import AsgiApp
    from whoholds.web.on_wsgi import WsgiApp

__all__ = ["asgi", "wsgi"]


def asgi(allow: Callable[[MutableMapping[str, Any]], bool] | None = None) -> AsgiApp:
    """An ASGI application that answers every request with the page, as HTML, text or JSON.

    Mount it: `app.mount("/debug/whoholds", whoholds.web.asgi())` in FastAPI and Starlette. `allow(scope)` says who may
    see the page; it must return True or False. Without it, only clients on this machine may, whom no proxy forwards.
    """
    from whoholds.web import on_asgi

    _keep()
    return on_asgi.application(allow)


def wsgi(allow: Callable[[dict[str, Any]], bool] | None = None) -> WsgiApp:
    """A WSGI application that answers every request with the page, as HTML, text or JSON.

    Mount it: `DispatcherMiddleware(app.wsgi_app, {"/debug/whoholds": whoholds.web.wsgi()})` in Flask. `allow(environ)`
    says who may see the page; it must return True or False. Without it, only clients on this machine may, whom no proxy
    forwards.
    """
    from whoholds.web import on_wsgi

    _keep()
    return on_wsgi.application(allow)


def _keep() -> None:
    """Keep from now on what the picture shows, if this process is watched or will be."""
    if current() is not None or is_on(os.environ.get("WHOHOLDS", "")):
        from whoholds.web import recent

        recent.keep()
