"""What the page says, in each of its forms, and that making it touches nobody."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sqlite3
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

import whoholds
from tests.needs import needed
from tests.picture.reading import column
from tests.programs import Programs
from tests.web.asking import LOCAL, Got, answer_of, asgi_scope, ask
from whoholds import web
from whoholds.web import recent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds import Watch
    from whoholds.analysis.finding import Look

HTML = "text/html"


@pytest.fixture
def held(watched: Watch, tmp_path: Path) -> Iterator[list[sqlite3.Connection]]:
    """Three connections of one line and one of another, which are held while the test runs; and one that was closed."""
    web.wsgi()
    kept = [sqlite3.connect(tmp_path / "shop.db") for _ in range(3)]
    kept.append(sqlite3.connect(tmp_path / "shop.db"))
    kept[0].execute("SELECT 'sesame'")
    with closing(sqlite3.connect(tmp_path / "shop.db")):
        pass
    yield kept
    for connection in kept:
        connection.close()


def data_in(got: Got) -> dict[str, Any]:
    """The data of the picture in a page."""
    import json

    _, _, rest = got.text.partition('<script type="application/json" id="data">')
    data: dict[str, Any] = json.loads(rest.partition("</script>")[0])
    return data


def test_the_answer_comes_first(kind: str, held: list[sqlite3.Connection]) -> None:
    """In the heading: how many are held, and which line holds most; in text it is the first line."""
    heading = re.search(r'<h2 id="now-heading">(.*?)</h2>', ask(kind, {"accept": HTML}).text)
    assert heading is not None
    said = re.sub(r"<.*?>", "", heading[1])
    assert re.fullmatch(r"4 connections are held now, 3 of them opened at .*test_page\.py:\d+ in .*", said)
    first = ask(kind).text.splitlines()[0]
    assert re.fullmatch(r"whoholds: .* holds 4 connections, 3 of them opened at .*test_page\.py:\d+ in .*", first)


def test_all_forms_are_one_description(kind: str, held: list[sqlite3.Connection]) -> None:
    """The JSON is the description, the text is its text."""
    from whoholds.reporting.held import description_text

    described = ask(kind, query="format=json").json
    assert (described["type"], described["held"]) == ("holders", 4)
    assert [group["count"] for group in described["databases"][0]["groups"]] == [3, 1]
    head = description_text(described).splitlines()[:4]
    assert re.sub(r"\d+\.\d s", "", "\n".join(ask(kind).text.splitlines()[:4])) == re.sub(
        r"\d+\.\d s", "", "\n".join(head)
    )


def test_the_picture_has_what_is_open_and_what_has_ended(kind: str, held: list[sqlite3.Connection]) -> None:
    """Each handle once, from the mount on; a literal of a statement is not in it."""
    got = ask(kind, {"accept": HTML})
    data = data_in(got)
    assert sorted(column(data, "how")) == ["closed", "open", "open", "open", "open"]
    began, until = data["live"]
    assert began < until
    assert "sesame" not in got.text
    assert str(os.getpid()) in data["title"]
    held[3].close()
    assert sorted(column(data_in(ask(kind, {"accept": HTML})), "how")) == ["closed", "closed", "open", "open", "open"]


def test_findings_are_on_the_page(kind: str, watched: Watch, tmp_path: Path) -> None:
    """With their bars."""
    whoholds.start(too_many=3)
    web.wsgi()
    kept = [sqlite3.connect(tmp_path / "shop.db") for _ in range(5)]
    data = data_in(ask(kind, {"accept": HTML}))
    (finding,) = data["findings"]
    assert (data["strings"][finding["rule"]], len(finding["bars"])) == ("too-many-at-once", 5)
    assert "too-many-at-once" in ask(kind).text
    for connection in kept:
        connection.close()


def test_nothing_is_held(kind: str, watched: Watch) -> None:
    """The page says so."""
    assert "No connection is held now." in ask(kind, {"accept": HTML}).text
    assert "holds no connection now" in ask(kind).text
    assert ask(kind, query="format=json").json["held"] == 0


def test_a_name_of_the_program_becomes_no_markup(kind: str, watched: Watch, tmp_path: Path) -> None:
    """A thread may be named by what a user sends."""
    web.wsgi()
    kept: list[sqlite3.Connection] = []
    name = "</script><script>alert(1)</script><img src=x>"
    thread = threading.Thread(
        target=lambda: kept.append(sqlite3.connect(tmp_path / "shop.db", check_same_thread=False)), name=name
    )
    thread.start()
    thread.join()
    page = ask(kind, {"accept": HTML}).text
    assert "<img src" not in page
    assert "<script>alert" not in page
    assert "&lt;img src=x&gt;" in page
    kept[0].close()


def test_no_secret_is_on_it(kind: str, watched: Watch, tmp_path: Path) -> None:
    """In none of its forms: not in a source line, a name, a statement or the name of a database."""
    web.wsgi()
    kept: list[sqlite3.Connection] = []

    def load() -> None:
        kept.append(sqlite3.connect("file:shop.db?mode=memory&key=sesame", uri=True, check_same_thread=False))
        kept[0].execute("SELECT 'sesame'")
        sqlite3.connect("file:shop.db?mode=memory&key=sesame", uri=True).close()

    thread = threading.Thread(target=load, name="postgresql://app:sesame@db/shop")
    thread.start()
    thread.join()
    for form in ("html", "text", "json"):
        got = ask(kind, query=f"format={form}")
        assert "in load" in re.sub("<.*?>", "", got.text) or form == "json"
        assert "sesame" not in got.text
    kept[0].close()


def test_the_thread_that_shows_it_is_at_no_line(watched: Watch, tmp_path: Path) -> None:
    """A worker that holds a connection and answers with the page is not said to be at the line that dispatched it."""
    web.wsgi()
    with closing(sqlite3.connect(tmp_path / "shop.db")):
        (group,) = ask("wsgi", query="format=json").json["databases"][0]["groups"]
        assert (group["now"], group["states"]) == ([], {"idle": 1})
        (group,) = whoholds.holders().databases[0]["groups"]
        assert len(group["now"]) == 1


# --- not switched on, and failing ---------------------------------------------------------------------------------------


def test_a_page_of_a_process_that_is_not_watched_says_what_to_set(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each form, and with status 200: the page works."""
    monkeypatch.delenv("WHOHOLDS", raising=False)
    sentence = "whoholds is not switched on in this process. Set WHOHOLDS=1"
    assert ask(kind).text.startswith(sentence)
    assert sentence in ask(kind, {"accept": HTML}).text
    assert ask(kind, query="format=json").json["type"] == "off"
    assert ask(kind, query="format=json").json["reason"].startswith(sentence)


WRONG = """
from whoholds import web
page = web.wsgi()
environ = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"}
print(b"".join(page(environ, lambda status, headers: None)).decode())
"""


def test_a_page_of_a_process_with_a_wrong_setting_says_so(tmp_path: Path) -> None:
    """And not that WHOHOLDS must be set, for it is."""
    ran = Programs(tmp_path).run(WRONG, WHOHOLDS_TOO_MANY="few")
    assert ran.out.startswith("WHOHOLDS is set, but this process is not watched: a setting is wrong")
    assert "WHOHOLDS_TOO_MANY" in ran.err


def test_a_fault_of_ours_is_an_answer(held: list[sqlite3.Connection]) -> None:
    """Whichever function of ours raises while the page is made: the server gets an answer, and no exception."""
    if sys.gettrace() is not None:
        pytest.skip("a tracer runs, such as that of coverage")
    tried: set[str] = set()
    got: list[int] = []
    while raised := _raise_in_the_next(tried, _mounted_anew()):
        got.append(raised.status)
    assert set(got) == {200, 500}
    assert len(got) > 60
    assert ask("wsgi", {"accept": HTML}).status == 200
    assert any("a fault of whoholds in whoholds.web" in reason for reason in whoholds.start().failed)


def _mounted_anew() -> Any:
    """A page; the watch has switched off its own part of an earlier one, if that has raised."""
    recent.forget()
    return web.wsgi()


def test_a_page_without_its_picture_has_the_answer(watched: Watch) -> None:
    """Where the part that keeps it has failed."""
    page = web.wsgi()
    ask("wsgi", app=page)
    watched.outputs.clear()  # as the watch does with an output that raises
    got = ask("wsgi", {"accept": HTML}, app=page)
    assert "There is no picture" in got.text
    assert "No connection is held now." in got.text


def _raise_in_the_next(tried: set[str], page: Any) -> Got | None:
    """The answer while the first function of `web/` or `picture/` that was not tried raises; None if all were tried."""
    raised: list[str] = []

    def trace(frame: Any, event: str, _: object) -> None:
        code = frame.f_code
        name = f"{code.co_filename}:{code.co_name}"
        del frame  # a signal's handler is known by the frame that it was given
        if not raised and name not in tried and re.search(r"whoholds/(picture/\w+|web/(page|now|recent))\.py", name):
            tried.add(name)
            raised.append(name)
            raise RuntimeError(f"in {name}")

    sys.settrace(trace)
    try:
        got = ask("wsgi", {"accept": HTML}, app=page)
    finally:
        sys.settrace(None)
    return got if raised else None


# --- it disturbs nobody -------------------------------------------------------------------------------------------------


def test_the_loop_serves_others_meanwhile(watched: Watch) -> None:
    """The page waits for a look that is under way, and the event loop does not wait for the page."""
    looking, go_on = threading.Event(), threading.Event()

    def slow(_: Look) -> None:
        looking.set()
        go_on.wait(20)

    watched.outputs.append(slow)
    look = threading.Thread(target=watched.tick)
    look.start()
    looking.wait(20)
    app = web.asgi()

    async def served() -> tuple[bool, Got]:
        scope = asgi_scope(dict(LOCAL), client="127.0.0.1", method="GET", query="", version="1.1")
        page = asyncio.ensure_future(answer_of(app, scope))
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        waits = not page.done()
        go_on.set()
        return waits, await page

    waited, got = asyncio.run(served())
    look.join()
    assert waited
    assert got.status == 200


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent
import whoholds
from whoholds import web
from whoholds.hooks.threads import pause

others = []
def slow(look):
    for _ in range(500):
        if others:
            return
        pause(0.01)  # of this very thread
    print("the other greenlet stood still")

watch = whoholds.start(outputs=(), every=3600)
watch.outputs.append(slow)
page = web.wsgi()
environ = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"}
asked = gevent.spawn(lambda: b"".join(page(environ, lambda status, headers: None)).decode())
gevent.spawn_later(0.05, others.append, 1)
print("holds no connection now" in asked.get())
whoholds.stop()
"""


def test_other_greenlets_go_on_meanwhile(tmp_path: Path) -> None:
    """Under gevent, a thread makes the page."""
    needed("gevent")
    ran = Programs(tmp_path).run(GREENLETS, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    assert ran.out == "True\n", ran.err


DROPPED_AND_FAST = """
from gevent import monkey
monkey.patch_all()
import gevent
from whoholds import web
from whoholds.hooks.threads import RealThread, pause
from whoholds.web import on_wsgi

class Fast(RealThread):
    def start(self):
        super().start()
        self.join(20)

environ = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"}
def ask():
    with gevent.Timeout(10, False):
        return b"".join(web.wsgi()(environ, lambda status, headers: None)).decode()

def drop():
    with gevent.Timeout(0.01, False):
        on_wsgi._beside_greenlets(lambda: pause(0.1))
    gevent.sleep(0.3)

on_wsgi.RealThread = Fast
print(str(gevent.spawn(ask).get()).partition(".")[0])
on_wsgi.RealThread = RealThread
gevent.spawn(drop).join()
"""


def test_a_greenlet_gets_an_answer_that_is_there_at_once(tmp_path: Path) -> None:
    """Before the greenlet waits for it; and an answer for which no greenlet waits any more is no failure."""
    needed("gevent")
    ran = Programs(tmp_path).run(DROPPED_AND_FAST, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    assert (ran.out, ran.err) == ("whoholds is not switched on in this process\n", "")


def test_it_keeps_to_the_standard(watched: Watch) -> None:
    """The standard library's checker of WSGI applications finds no fault: with a page, a refusal, and HEAD."""
    for method, client in (("GET", "127.0.0.1"), ("HEAD", "127.0.0.1"), ("GET", "10.0.0.5")):
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "REMOTE_ADDR": client, "HTTP_HOST": "localhost"}
        environ |= {"SERVER_PROTOCOL": "HTTP/1.1", "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        body = validator(web.wsgi())(environ, lambda status, headers, failure=None: lambda text: None)
        assert b"".join(body) or method == "HEAD"
        body.close()


def test_a_request_that_is_dropped_disturbs_nobody(held: list[sqlite3.Connection]) -> None:
    """The client has gone before the answer was ready: no exception, no warning."""
    app = web.asgi()
    scope = asgi_scope(dict(LOCAL), client="127.0.0.1", method="GET", query="", version="1.1")

    async def dropped() -> Got:
        page = asyncio.ensure_future(answer_of(app, scope))
        await asyncio.sleep(0)
        page.cancel()
        return await answer_of(app, scope)

    assert asyncio.run(dropped()).status == 200


def test_a_websocket_is_refused_and_a_lifespan_is_lived() -> None:
    """Whatever else a server may ask of an ASGI application."""
    sent: list[dict[str, Any]] = []
    asked = [{"type": "websocket.connect"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> dict[str, Any]:
        return asked.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        await web.asgi()({"type": "websocket"}, receive, send)
        await web.asgi()({"type": "lifespan"}, receive, send)

    asyncio.run(run())
    types = [message["type"] for message in sent]
    assert types == ["websocket.close", "lifespan.startup.complete", "lifespan.shutdown.complete"]


PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect("shop.db")
connection.close()
print(sorted(name for name in sys.modules if name.startswith(("whoholds.web", "whoholds.picture"))))
from whoholds import web
web.wsgi()
print(sorted(name for name in sys.modules if name.startswith("whoholds.picture")))
import whoholds
print([output.name for output in whoholds.current().outputs if getattr(output, "name", "") == "page"])
"""


def test_a_watched_program_imports_nothing_of_it(tmp_path: Path) -> None:
    """Until it mounts the page; and until somebody asks, nothing of the picture."""
    ran = Programs(tmp_path).run(PROGRAM)
    assert ran.out.splitlines() == ["[]", "[]", "['page']"], ran.err
    assert ran.clean


OFF = """
import sys
before = set(sys.modules)
from whoholds import web
web.wsgi()
print(sorted(name for name in set(sys.modules) - before if name.startswith(("whoholds.", "asyncio", "wrapt"))))
import sqlite3, whoholds
watch = whoholds.start()
page = web.wsgi()
print([output.name for output in watch.outputs if getattr(output, "name", "") == "page"])
"""


def test_where_whoholds_is_off_a_mount_imports_next_to_nothing(tmp_path: Path) -> None:
    """Neither the watch nor the picture nor asyncio."""
    ran = Programs(tmp_path).run(OFF, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    imported, names = ran.out.splitlines()
    light = {"switch", "hooks", "hooks.threads", "ledger", "ledger.cpython", "ledger.faults", "text", "text.visible"}
    light |= {"watching", "watching.running", "web", "web.access", "web.answering", "web.exchange", "web.on_wsgi"}
    assert set(ast.literal_eval(imported)) == {f"whoholds.{name}" for name in light}
    assert names == "['page']"


def test_a_watch_that_starts_after_the_mount_is_kept_from_the_first_request_on(watched: Watch) -> None:
    """Where neither the environment nor the program had switched it on before."""
    whoholds.stop()
    page = web.wsgi()
    watch = whoholds.start(outputs=(), every=3600)
    assert not watch.outputs
    data_in(ask("wsgi", {"accept": HTML}, app=page))
    assert len(watch.outputs) == 1


MOUNTED_FIRST = """
from whoholds import web
web.wsgi()
import whoholds
print(whoholds.current() is not None, [output.name for output in whoholds.current().outputs if getattr(output, "name", "") == "page"])
"""


def test_a_mount_starts_the_watch_that_the_environment_asks_for(tmp_path: Path) -> None:
    """Though no database library was imported yet: what ends from now on is drawn."""
    ran = Programs(tmp_path).run(MOUNTED_FIRST)
    assert ran.out == "True ['page']\n", ran.err
    assert ran.clean


FORKED = """
import os, sqlite3
from whoholds import web
page = web.wsgi()
def ask():
    environ = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1",
               "HTTP_HOST": "localhost", "QUERY_STRING": "format=html"}
    return b"".join(page(environ, lambda status, headers: None)).decode()
for _ in range(3):
    sqlite3.connect("parent.db").close()
ask()
if os.fork() == 0:
    sqlite3.connect("child.db").close()
    shown = ask()
    print("child.db" in shown, "parent.db" in shown, flush=True)
    os._exit(0)
os.wait()
shown = ask()
print("child.db" in shown, "parent.db" in shown)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_worker_shows_its_own(tmp_path: Path) -> None:
    """A server that loads the application before it forks: what the parent kept is not the child's."""
    ran = Programs(tmp_path).run(FORKED)
    assert ran.out.splitlines() == ["True False", "False True"], ran.err
