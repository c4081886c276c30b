"""The name of the work for which a connection was opened stands in the first line, as real frameworks have it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

# Each helper opens on a line of its own, and is called twice in what the framework calls.
PROGRAM = """
import asyncio, sqlite3, threading
import celery, click, django.conf, fastapi, flask
from click.testing import CliRunner
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
kept = []

def for_flask(): kept.append(sqlite3.connect("a.db"))
def for_celery(): kept.append(sqlite3.connect("a.db"))
def for_fastapi(): kept.append(sqlite3.connect("a.db", check_same_thread=False))
def for_django(): kept.append(sqlite3.connect("a.db"))
def for_middleware(): kept.append(sqlite3.connect("a.db"))
def for_click(): kept.append(sqlite3.connect("a.db"))
def for_otel(): kept.append(sqlite3.connect("a.db"))
def for_thread(): kept.append(sqlite3.connect("a.db", check_same_thread=False))
def for_task(): kept.append(sqlite3.connect("a.db"))
def for_signals(): kept.append(sqlite3.connect("a.db"))
def for_nothing(): kept.append(sqlite3.connect("a.db"))

import celery.signals, django.core.signals
def receiver(*_, **__):
    for_signals(), for_signals()
celery.signals.task_prerun.connect(receiver), django.core.signals.request_started.connect(receiver)

web = flask.Flask("shop")
flask.request_started.connect(receiver, web)
@web.route("/cars")
def list_cars():
    for_flask(), for_flask()
    return "ok"
web.test_client().get("/cars")

queue = celery.Celery("shop", broker="memory://")
@queue.task
def price_cars():
    for_celery(), for_celery()
price_cars.apply().get()

api = fastapi.FastAPI()
@api.get("/users/{user}")
async def show_user(user):
    for_fastapi(), for_fastapi()
    return user
async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}
async def send(message):
    pass
scope = {"type": "http", "method": "GET", "path": "/users/7", "raw_path": b"/users/7", "root_path": "", "scheme": "http",
         "query_string": b"", "headers": [], "client": ("t", 1), "server": ("t", 2), "http_version": "1.1", "asgi": {}}
asyncio.run(api(scope, receive, send))

django.conf.settings.configure(ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], DATABASES={}, MIDDLEWARE=["__main__.Users"])
django.setup()
from django.http import HttpResponse
from django.test import RequestFactory
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path
def show_shop(request):
    for_django(), for_django()
    return HttpResponse("ok")
class Users:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        for_middleware(), for_middleware()
        return self.get_response(request)
urlpatterns = [path("shop/", show_shop)]
WSGIHandler()(RequestFactory().get("/shop/").environ, lambda *_: None)

@click.command()
def nightly():
    for_click(), for_click()
assert CliRunner().invoke(nightly).exit_code == 0

trace.set_tracer_provider(TracerProvider())
span = trace.get_tracer("shop").start_span("GET /prices/{car}", kind=trace.SpanKind.SERVER)
with trace.use_span(span):
    for_otel(), for_otel()

thread = threading.Thread(target=lambda: (for_thread(), for_thread()), name="mailer")
thread.start(), thread.join()

async def tasks():
    async def work():
        for_task(), for_task()
    await asyncio.create_task(work(), name="nightly report")
asyncio.run(tasks())

for_nothing(), for_nothing()
"""
WORK = {
    "for_flask": "view list_cars",
    "for_celery": "task price_cars",
    "for_fastapi": "view show_user",
    "for_django": "view show_shop",
    "for_middleware": "",  # it stands around all views
    "for_click": "command nightly",
    "for_otel": "GET /prices/{car}",
    "for_thread": "thread mailer",
    "for_task": "task nightly report",
    "for_signals": "",  # a receiver is no view and no task
    "for_nothing": "",
}


def test_the_work_stands_in_the_first_line_and_in_the_report(tmp_path: Path) -> None:
    """Without a middleware of ours: a view, a task of Celery's, a command, a span's route, a named thread or task."""
    ran = Programs(tmp_path).run(PROGRAM, within=90, WHOHOLDS_TOO_MANY=1000)
    assert ran.code == 0, ran.err
    records = {record["opened"]["function"]: record for record in ran.of("finding", "left-open")}
    assert set(records) == set(WORK), ran.err
    for function, work in WORK.items():
        record = records[function]
        shown = re.search(r" \((.*)\), to a\.db$", record["message"])
        assert (shown[1] if shown else "") == work
        assert ("        for      " in record["report"]) == bool(work), record["report"]
        assert f"        for      {work}\n" in record["report"] or not work
