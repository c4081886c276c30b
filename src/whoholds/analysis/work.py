"""The work for which a handle was opened, where it has a name: a route, a queue's task or job, a view, a named thread.

It must add no cost to the program: it reads what the ledger has anyway, in the ticking thread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from whoholds.analysis.blame import kind_at, library_path, user_index
from whoholds.analysis.frames import frame_at
from whoholds.ledger.opener import opener_of
from whoholds.ledger.origin import function_at
from whoholds.ledger.scope import JUDGED, naming
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

# Who calls the program's functions → what such a function is. The first library frame outside of the function decides.
_CALLERS: Final = (
    ("celery/", "task"),
    ("dramatiq/", "task"),
    ("huey/", "task"),
    ("taskiq/", "task"),
    ("arq/", "job"),
    ("rq/", "job"),
    ("apscheduler/", "job"),
    ("django/core/handlers/", "view"),
    ("django/views/", "view"),
    ("django/core/management/", "command"),
    ("flask/", "view"),
    ("fastapi/", "view"),
    ("starlette/", "view"),
    ("aiohttp/web", "view"),
    ("tornado/web", "view"),
    ("sanic/", "view"),
    ("click/", "command"),
    ("typer/", "command"),
)
_SIGNALS: Final = ("celery/utils/dispatch/", "django/dispatch/", "blinker/")  # what they call is no task and no view
_POOLS: Final = (  # process pools, whose workers call `initializer(…)` and then the jobs
    *("concurrent/futures/process.py", "multiprocessing/pool.py", "billiard/pool.py"),
    *("loky/process_executor.py", "joblib/externals/loky/process_executor.py"),
)
_SERVERS: Final = (  # libraries that start a thread or task for each request or client
    *("uvicorn/", "hypercorn/", "daphne/", "aiohttp/", "granian/", "sanic/", "tornado/"),
    *("werkzeug/", "gunicorn/", "waitress/", "cheroot/", "cherrypy/", "socketserver.py"),
)
_UNNAMED: Final = re.compile(  # names that threads, tasks and greenlets have of themselves
    r"MainThread|Thread-\d+.*|Task-\d+|Dummy-\d+|ThreadPoolExecutor-.*|asyncio_\d+|AnyIO worker thread.*|thread \d+"
    r"|[Gg]reenlet[ -].*|waitress-\d+|.*_\d+|Process-.*|starlette\..*|uvicorn\..*"
)
_NEXT: Final = frozenset(("handler", "call_next", "get_response"))
_OUTER_SPANS: Final = ("SERVER", "CONSUMER")  # kinds of spans that stand for a request or a message


def work_of(handles: Iterable[Handle]) -> str:
    """`GET /users`, `task price_cars`, `view list_cars`: the one work that all of the handles belong to, or ""."""
    name, calls = "", _Calls()
    for number, handle in enumerate(handles):
        own = _name_of(handle, calls)
        if not own or (number and own != name):
            return ""
        name = own
    return name


def _name_of(handle: Handle, calls: _Calls) -> str:
    scope = naming(handle.scope)
    if scope is not None:  # a test's report is below the test's name anyway
        return "" if scope.kind in JUDGED else str(scope.name)
    return _span_name(handle) or _called_function(handle, calls) or _owners_name(handle.owner)


def _span_name(handle: Handle) -> str:
    """The name of OpenTelemetry's span for a request or message, if the handle was opened in that span."""
    opener = opener_of(handle)
    span: Any = opener[1]() if opener is not None and len(opener) == 2 and opener[1] is not None else None  # noqa: PLR2004 - see Opener
    kind, name = getattr(getattr(span, "kind", None), "name", ""), getattr(span, "name", "")
    return name if kind in _OUTER_SPANS and type(name) is str else ""


def _called_function(handle: Handle, calls: _Calls) -> str:
    """`view list_cars`: the function of the program that a framework called, unless that function opened the handle."""
    called = calls.of(handle)
    if called is None or called.at == user_index(handle.origin) or called.by_a_pool:
        return ""
    return f"{called.kind} {function_at(handle.origin, called.at)}"


class Called(NamedTuple):
    """The function of the program that a library called: what it is (`task`), and where its frame is in the origin."""

    kind: str
    at: int
    by_a_pool: bool = False  # a process pool, whose jobs have the name of no work
    in_a_request: bool = False  # it is one only if a server's library started the owner


def caller_of(handle: Handle) -> Called | None:
    """The function that a framework or a process pool called and that opened the handle; None if there is none.

    A receiver of a signal is no such function, nor is what starts a pool's worker.
    """
    return _Calls().of(handle)


class _Calls:
    """What `caller_of` gives for each of many handles. Those that one line opened mostly share a stack, read once."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Called, ...]] = {}  # by id of the origin, which its handle keeps meanwhile

    def of(self, handle: Handle) -> Called | None:
        key = id(handle.origin)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = tuple(_called(handle.origin))
        for called in found:
            if not called.in_a_request or is_a_request(handle.owner):
                return called
        return None


def _called(origin: Origin) -> Iterator[Called]:
    """The functions of the program that libraries called, innermost first, up to the first of which that is certain."""
    called: int | None = user_index(origin) if origin else 0
    for index in range((called or 0) + 2, len(origin), 2):
        code: Any = origin[index]  # a code object at even places
        if not kind_at(origin, index):
            called = called if _is_middleware(code) else index
            continue
        path = library_path(code.co_filename)
        if path.startswith(_SIGNALS):
            called = None
        if called is None:
            continue
        if path in _POOLS:
            if "initializer(" not in frame_at(origin, index).source:
                yield Called("job", called, by_a_pool=True)
            return
        kind = next((kind for folder, kind in _CALLERS if path.startswith(folder)), "")
        if kind:
            yield Called(kind, called)
            return
        if path.startswith(("anyio/", "asgiref/")):
            yield Called("view", called, in_a_request=True)


def _is_middleware(code: Any) -> bool:
    """True if a function of the program's stands around the views, and calls the next: its name is none of a request's.

    Frameworks hand it what to call as `handler` (aiohttp), `call_next` (Starlette) or `get_response` (Django).
    """
    if code.co_name in ("__call__", "dispatch") or "get_response" in code.co_names:
        return True
    return not _NEXT.isdisjoint((*code.co_varnames[: code.co_argcount], *code.co_freevars))


def is_a_request(owner: Owner | None) -> bool:
    """True if a server's library started the owner: it answers a request or serves a client.

    The program's own line may have started the server, as `uvicorn.run(app)` does; what counts is who called last.
    """
    if owner is None or owner.spawn is None:
        return False
    for code in owner.spawn.origin[::2]:
        path = library_path(code.co_filename)  # type: ignore[union-attr]  # code objects at even places
        if not path or path.startswith(_SERVERS):
            return bool(path)
    spawned = owner.spawn.site
    return spawned is not None and library_path(spawned.frame.file).startswith(_SERVERS)


def _owners_name(owner: Owner | None) -> str:
    """`thread mailer`, for a thread, task or greenlet to which the program gave a name."""
    if owner is None or owner.kind == "job":
        return ""
    name = shown_name(owner.name)
    return "" if _UNNAMED.fullmatch(name) else f"{owner.kind} {name}"
