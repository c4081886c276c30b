"""The ready scopes: what a request or job leaves out is named with its route, and never while it runs."""

from __future__ import annotations

import asyncio
import gc
import io
import sqlite3
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from tests.needs import needed
from whoholds import startup
from whoholds.reporting.first_line import message
from whoholds.scopes import Scope, current, entered
from whoholds.scopes.units import Unit, begin, end, folded, route

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Finding
    from whoholds.watching.watch import Watch


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Nothing has to settle here, and what is still out at the end was said already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with startup.watch(every=1000, outputs=()) as watching:
            watching.ledger.settle_s = 0
            yield watching


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "shop.db")
    yield made
    made.close()


class Shop:
    """An application's database, of which some of its functions forget to close a connection."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.kept: list[sqlite3.Connection] = []

    def forget(self) -> str:
        self.kept.append(sqlite3.connect(self.file, check_same_thread=False))
        return "forgotten"

    def ask(self) -> str:
        with closing(sqlite3.connect(self.file)) as connection:
            return str(connection.execute("SELECT 1").fetchone())

    def close(self) -> None:
        while self.kept:
            self.kept.pop().close()


def left(watch: Watch) -> list[Finding]:
    watch.tick()
    return [one for one in watch.findings if one.rule == "left-open"]


def test_what_a_request_keeps_is_named_with_its_route(watch: Watch, shop: Shop) -> None:
    """In the message and in the finding's scope; counted over all requests of the route."""
    for number in range(3):
        unit = begin(f"GET /users/{number}")
        assert current() is unit
        shop.forget()
        end(unit, "GET /users/{id}")
        assert not isinstance(current(), Unit)
        (finding,) = left(watch)
    assert (finding.scope, finding.count, finding.severity) == ("GET /users/{id}", 3, "error")
    assert "at the end of request GET /users/{id}" in message(finding)


def test_what_a_request_closes_is_clean(watch: Watch, shop: Shop) -> None:
    """And what it closes a moment after its end too: servers and frameworks do."""
    for _ in range(3):
        unit = begin("GET /")
        shop.ask()
        shop.forget()
        end(unit)
        shop.close()
    assert not left(watch)


def test_a_request_is_not_judged_before_it_has_settled(watch: Watch, shop: Shop) -> None:
    """Its end alone says nothing; the look after that does, and the last look waits for nothing."""
    watch.ledger.settle_s = 1000
    for _ in range(2):
        unit = begin("GET /")
        shop.forget()
        end(unit)
    assert not left(watch)
    watch.ledger.settle_s = 0
    assert [one.count for one in left(watch)] == [2]


def test_the_first_of_its_line_may_be_meant_to_stay(watch: Watch, shop: Shop) -> None:
    """A global that the first request makes lazily is an info; it is never printed."""
    unit = begin("GET /")
    shop.forget()
    end(unit)
    assert [one.severity for one in left(watch)] == ["info"]


def test_the_end_of_a_request_waits_for_nobody_and_collects_nothing(watch: Watch, shop: Shop) -> None:
    """Also while somebody looks: a look takes the lock that no request may wait for."""
    collections = []
    gc.disable()  # what is counted are collections that are asked for
    gc.callbacks.append(lambda phase, _: collections.append(phase))
    try:
        with watch._lock:
            unit = begin("GET /")
            shop.forget()
            end(unit)
    finally:
        gc.callbacks.pop()
        gc.enable()
    assert not collections


def test_what_works_on_after_the_answer_is_no_leak(watch: Watch, shop: Shop) -> None:
    """A thread or task that the request started holds what it needs; once it has ended it is a leak."""
    opened, done = threading.Barrier(2), threading.Event()

    def work() -> None:
        shop.forget()
        shop.forget()
        opened.wait(20)
        done.wait(20)

    unit = begin("POST /mails")
    thread = threading.Thread(target=work)
    thread.start()
    opened.wait(20)
    end(unit)
    assert not left(watch)
    done.set()
    thread.join()
    shop.close()

    def short() -> None:
        shop.forget()

    for _ in range(2):
        unit = begin("POST /mails")
        thread = threading.Thread(target=short)
        thread.start()
        thread.join()
        end(unit)
    assert [(one.scope, one.count) for one in left(watch)] == [("POST /mails", 2)]


def test_a_job_that_is_over_has_given_up_its_right(watch: Watch, shop: Shop) -> None:
    """Its worker lives on; what the job of a request opened and left is the request's."""
    with ThreadPoolExecutor(1) as executor:
        for _ in range(2):
            unit = begin("GET /")
            executor.submit(shop.forget).result()
            end(unit)
        watch.tick()
    assert [(one.scope, one.count) for one in left(watch)] == [("GET /", 2)]


def test_a_test_around_it_judges_by_itself(watch: Watch, shop: Shop) -> None:
    """A request that a test makes is part of the test."""
    with entered(Scope("tests/test_cars.py::test_load", "test")):
        for _ in range(2):
            unit = begin("GET /")
            assert isinstance(unit, Unit)
            shop.forget()
            end(unit)
    assert not left(watch)


def test_without_a_watch_a_unit_costs_little_and_does_nothing() -> None:
    """The middleware may stay in where nobody watches."""
    unit = begin("GET /")
    end(unit, "GET /else")
    assert (unit.name, current()) == ("GET /else", None)


def test_a_server_that_never_closes_its_answers() -> None:
    """Each scope refers to the one before it, and the chain does not grow."""
    units = [begin("GET /") for _ in range(100)]
    for unit in reversed(units):
        end(unit)
    assert max(unit.depth for unit in units) == Unit.MAX_DEPTH
    entered_at_last = current()
    while isinstance(entered_at_last, Unit):
        end(entered_at_last)
        entered_at_last = current()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/users/<int:id>/cars", "/users/{id}/cars"),
        ("/users/<id>", "/users/{id}"),
        ("/users/{id}", "/users/{id}"),
        ("", ""),
    ],
)
def test_routes_have_one_form(text: str, shown: str) -> None:
    """Whatever the framework."""
    assert route(text) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/users/17/cars/4", "/users/{}/cars/{}"),
        ("/files/8f14e45f-ceea-467f-a8f0-5d1c7d9b3c11", "/files/{}"),
        ("/files/507f1f77bcf86cd799439011", "/files/{}"),
        ("/v2/cars", "/v2/cars"),
        ("/", "/"),
    ],
)
def test_paths_without_a_route_are_folded(path: str, shown: str) -> None:
    """Not a name for each id."""
    assert folded(path) == shown


# --- ASGI ---------------------------------------------------------------------------------------------------


def ask_asgi(app: Any, *paths: str) -> list[int]:
    httpx = needed("httpx")

    async def main() -> list[int]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return [(await client.get(path)).status_code for path in paths]

    return asyncio.run(main())


def test_fastapi(watch: Watch, shop: Shop) -> None:
    """Coroutines and functions in worker threads; a dependency that yields and closes is clean."""
    fastapi = needed("fastapi")
    from whoholds.scopes.asgi import ScopeMiddleware

    app = fastapi.FastAPI()
    app.add_middleware(ScopeMiddleware)

    def session() -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(shop.file, check_same_thread=False)) as connection:
            yield connection

    @app.get("/users/{user}/cars")
    def cars(user: int) -> str:
        return f"{user} {shop.forget()}"

    @app.get("/users/{user}")
    async def show(user: int) -> str:
        return f"{user} {shop.forget()}"

    clean = fastapi.Depends(session)

    @app.get("/clean")
    def ask(connection: Any = clean) -> str:
        return str(connection.execute("SELECT 1").fetchone())

    paths = ("/users/1/cars", "/users/2/cars", "/users/1", "/users/2", "/clean", "/clean")
    watch.ledger.settle_s = 1000  # a look that comes meanwhile judges nobody
    assert ask_asgi(app, *paths) == [200] * 6
    watch.ledger.settle_s = 0
    named = {one.scope: one.count for one in left(watch)}
    assert named == {"GET /users/{user}/cars": 2, "GET /users/{user}": 2}


def test_what_a_worker_thread_opens_for_a_request_is_the_requests(watch: Watch, shop: Shop) -> None:
    """It is judged at the request's end, also where the task that awaited the worker goes on to the next request."""
    in_worker = needed("anyio.to_thread").run_sync

    async def main() -> None:
        for _ in range(3):
            unit = begin("GET /")
            await in_worker(shop.forget)
            end(unit)
            watch.tick()

    asyncio.run(main())
    assert [(one.severity, one.count) for one in watch.findings] == [("error", 3)]


def test_starlette(watch: Watch, shop: Shop) -> None:
    """It names no route: its parameters do. An exception goes on to the server."""
    needed("starlette")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from whoholds.scopes.asgi import ScopeMiddleware

    async def show(_: Any) -> PlainTextResponse:
        return PlainTextResponse(shop.forget())

    async def fail(_: Any) -> PlainTextResponse:
        shop.forget()
        raise KeyError("no such user")

    app = ScopeMiddleware(Starlette(routes=[Route("/users/{user}", show), Route("/fail", fail)]))  # type: ignore[arg-type]
    assert ask_asgi(app, "/users/anna", "/users/bert", "/fail", "/fail") == [200, 200, 500, 500]
    assert {one.scope for one in left(watch)} == {"GET /users/{user}", "GET /fail"}


# --- WSGI ---------------------------------------------------------------------------------------------------


def ask_wsgi(app: Any, path: str) -> bytes:
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    body = app(environ, lambda _status, _headers, _exc=None: lambda _: None)
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def test_flask(watch: Watch, shop: Shop) -> None:
    """The rule of the view is the name; what is opened while the answer streams belongs to it too."""
    flask = needed("flask")
    from whoholds.scopes.wsgi import ScopeMiddleware

    app = flask.Flask("shop")
    app.wsgi_app = ScopeMiddleware(app.wsgi_app)

    @app.get("/users/<int:user>")
    def show(user: int) -> str:
        return f"{user} {shop.forget()}"

    @app.get("/report/<name>")
    def report(name: str) -> Any:
        def lines() -> Iterator[str]:
            yield name
            yield shop.forget()

        return flask.Response(lines())

    @app.get("/clean")
    def ask() -> str:
        return shop.ask()

    client = app.test_client()
    for path in ("/users/1", "/users/2", "/report/a", "/report/b", "/clean", "/clean"):
        with client.get(path) as answer:
            assert answer.data
    assert {one.scope: one.count for one in left(watch)} == {"GET /users/{user}": 2, "GET /report/{name}": 2}


def test_a_plain_wsgi_application(watch: Watch, shop: Shop) -> None:
    """A list, a generator, a file for the server to send, an exception: each as without us."""
    from whoholds.scopes.wsgi import ScopeMiddleware

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        shop.forget()
        path = environ["PATH_INFO"]
        if path == "/fail":
            raise KeyError(path)
        start_response("200 OK", [])
        if path == "/file":
            environ["wsgi.file_wrapper"] = FileWrapper
            return FileWrapper(io.BytesIO(b"file"))
        return iter([b"1", b"2"]) if path == "/list" else (part for part in (b"1", b"2"))

    app = ScopeMiddleware(application)
    assert [ask_wsgi(app, path) for path in ("/list", "/generator", "/file")] == [b"12", b"12", b"file"]
    assert isinstance(app({"PATH_INFO": "/file"}, lambda *_: None), FileWrapper)
    with suppress(KeyError):
        ask_wsgi(app, "/fail")
        pytest.fail("it raises")
    assert {one.scope for one in left(watch)} <= {"GET /list", "GET /generator", "GET /file", "GET /fail"}
    assert sum(one.count for one in left(watch)) == 5
    assert not isinstance(current(), Unit)


# --- Django, Celery, Click ----------------------------------------------------------------------------------


def django_urls(shop: Shop) -> tuple[Any, ...]:
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    def show(_request: Any, user: int) -> HttpResponse:
        return HttpResponse(f"{user} {shop.forget()}")

    async def show_async(_request: Any, user: int) -> HttpResponse:
        return HttpResponse(f"{user} {shop.forget()}")

    def stream(_request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([shop.forget()]))

    def ask(_request: Any) -> HttpResponse:
        return HttpResponse(shop.ask())

    return (
        path("users/<int:user>/", show),
        path("async/<int:user>/", show_async),
        path("stream/", stream),
        path("clean/", ask),
    )


@pytest.fixture
def django_settings(shop: Shop) -> Iterator[None]:
    needed("django")
    import types

    import django.conf
    from django.test.utils import override_settings

    if not django.conf.settings.configured:
        django.conf.settings.configure(USE_TZ=True, INSTALLED_APPS=[])
    django.setup()
    urls = types.ModuleType("shop_urls")
    urls.urlpatterns = django_urls(shop)  # type: ignore[attr-defined]
    middleware = ["whoholds.scopes.django.ScopeMiddleware"]
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=middleware, ALLOWED_HOSTS=["*"], DEBUG=False):
        yield


@pytest.mark.usefixtures("django_settings")
def test_django(watch: Watch) -> None:
    """Synchronous chain: the route is the name, streams end with their close."""
    from django.core.handlers.wsgi import WSGIHandler

    app = WSGIHandler()
    paths = ("/users/1/", "/users/2/", "/stream/", "/stream/", "/clean/", "/async/1/", "/async/2/")
    for path in paths:
        assert ask_wsgi(app, path)
    named = {one.scope: one.count for one in left(watch)}
    assert named == {"GET /users/{user}/": 2, "GET /stream/": 2, "GET /async/{user}/": 2}
    assert not isinstance(current(), Unit)


@pytest.mark.usefixtures("django_settings")
def test_django_asynchronous(watch: Watch) -> None:
    """The same under ASGI, where synchronous views run in a thread of asgiref's."""
    from django.core.handlers.asgi import ASGIHandler

    paths = ("/async/1/", "/async/2/", "/users/1/", "/users/2/", "/clean/")
    assert ask_asgi(ASGIHandler(), *paths) == [200] * 5
    assert {one.scope: one.count for one in left(watch)} == {"GET /async/{user}/": 2, "GET /users/{user}/": 2}


def test_celery(watch: Watch, shop: Shop) -> None:
    """Each task is a scope with its name; one that fails too."""
    celery = needed("celery")
    from whoholds.scopes.celery import connect, disconnect

    app = celery.Celery("shop", broker="memory://", set_as_current=False)

    @app.task(name="shop.load")
    def load() -> str:
        return shop.forget()

    @app.task(name="shop.fail")
    def fail() -> str:
        shop.forget()
        raise KeyError("no such car")

    @app.task(name="shop.ask")
    def ask() -> str:
        return shop.ask()

    connect()
    connect()
    try:
        for task in (load, load, fail, fail, ask, ask):
            task.apply()
    finally:
        disconnect()
    load.apply()
    assert {one.scope: one.count for one in left(watch)} == {"shop.load": 2, "shop.fail": 2}
    assert "at the end of task shop.load" in message(left(watch)[0])


def test_click(watch: Watch, shop: Shop) -> None:
    """A command is a scope named by its path; arguments and what it returns go through."""
    click = needed("click")
    from click.testing import CliRunner

    from whoholds.scopes.click import scoped

    @click.group(name="shop")
    def cli() -> None:
        pass

    @cli.command()
    @click.argument("number", type=int)
    @scoped
    def load(number: int) -> None:
        for _ in range(number):
            shop.forget()
        click.echo(f"loaded {number}")

    result = CliRunner().invoke(cli, ["load", "2"])
    assert (result.exit_code, result.output) == (0, "loaded 2\n")
    (finding,) = left(watch)
    assert (finding.scope, finding.count) == ("shop load", 2)
    assert "at the end of command shop load" in message(finding)
    scoped(lambda: None)()
