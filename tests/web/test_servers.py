"""The page in a real browser, as real servers serve it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from tests.picture.conftest import browser  # noqa: F401 - a fixture
from tests.web.serving import asked, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.programs import Programs

pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs POSIX"),
]
PAGE = "/debug/whoholds/"
APP = """
import sqlite3, threading
from whoholds import web

kept = []
def load_cars():
    kept.append(sqlite3.connect("shop.db", check_same_thread=False))

def build_report():
    for number in range(25):
        thread = threading.Thread(target=load_cars, name=f"<b>user {number}</b>")
        thread.start()
        thread.join()

build_report()
with_one = sqlite3.connect("stock.db")
with_one.execute("SELECT 'sesame'")
"""
ASGI = "from fastapi import FastAPI\napp = FastAPI()\napp.mount('/debug/whoholds', web.asgi())\n"
WSGI = "app = web.wsgi()\n"
SERVERS = {
    "uvicorn": (ASGI, "uvicorn app:app"),
    "gunicorn": (WSGI, "gunicorn app:app"),
    "gunicorn with uvicorn's workers": (ASGI, "gunicorn app:app -k uvicorn.workers.UvicornWorker"),
    "gunicorn with gevent": (WSGI, "gunicorn app:app -k gevent"),
}


@pytest.fixture
def shown(browser: Any) -> Iterator[Callable[..., Any]]:  # noqa: F811 - the fixture
    """Opens the page at a port. At the end no script has failed, nothing was refused, and nothing else was loaded."""
    wrong: list[str] = []
    contexts = []

    def open_page(port: int, *, drawn: bool = True, **settings: Any) -> Any:
        settings = {"viewport": {"width": 1400, "height": 1000}, **settings}
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        address = f"http://localhost:{port}{PAGE}"
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("request", lambda request: wrong.append(request.url) if request.url != address else None)
        page.goto(address)
        page.wait_for_selector("html[data-drawn]" if drawn else "h1")
        return page

    yield open_page
    for context in contexts:
        assert context.cookies() == []
        context.close()
    assert wrong == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_browser_shows_the_answer(program: Programs, shown: Callable[..., Any], server: str) -> None:
    """With its picture; curl gets the text; what a proxy forwards is refused."""
    source, command = SERVERS[server]
    needed(command.split()[0])
    program.write(APP + source)
    with served(program, command.split()) as port:
        status, text = asked(port, PAGE)
        assert status == 200
        assert re.match(r"whoholds: .* holds 26 connections, 25 of them opened at app\.py:7 in load_cars\n", text)
        assert asked(port, PAGE, {"Forwarded": "for=203.0.113.9"})[0] == 403
        assert asked(port, PAGE, {"Host": "evil.example"})[0] == 403
        page = shown(port)
        heading = "26 connections are held now, 25 of them opened at app.py:7 in load_cars"
        assert page.inner_text("#now-heading") == heading
        assert page.inner_text("#now .count >> nth=0") == "25"
        assert (
            page.get_by_role("treeitem", name=re.compile(r"app\.py:7 in load_cars 25 opened, at most 25")).count() == 1
        )
        assert "too-many-at-once" in page.inner_text("#findings")
        page.get_by_text("The holders one by one").first.click()
        assert "<b>user 0</b>" in page.inner_text("#now details[open]")
        assert page.evaluate("document.querySelectorAll('#now td b').length") == 0
        assert "sesame" not in page.content()


def test_whoever_cannot_see_it_can_use_it(program: Programs, browser: Any, shown: Callable[..., Any]) -> None:  # noqa: F811 - the fixture
    """axe-core finds no fault, light and dark, at a desk and on a telephone; and there is nothing to scroll sideways."""
    axe = needed("axe_playwright_python.sync_playwright").Axe()
    program.write(APP + ASGI)
    with served(program, ["uvicorn", "app:app"]) as port:
        for theme, width in (("light", 1400), ("dark", 1400), ("light", 390)):
            size = {"width": width, "height": 900}
            page = shown(port, color_scheme=theme, bypass_csp=True, viewport=size)
            page.get_by_text("The holders one by one").first.click()
            faults = axe.run(page).response["violations"]
            assert [(fault["id"], [node["html"][:200] for node in fault["nodes"]]) for fault in faults] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(f"http://localhost:{port}{PAGE}")
        assert "25 of them opened at app.py:7" in page.inner_text("#now")
        assert page.get_by_role("link", name="As text").first.is_visible()
        context.close()


def test_a_quiet_process_has_a_short_page(program: Programs, shown: Callable[..., Any]) -> None:
    """Where nothing was opened, or whoholds is not switched on: a sentence, no empty lists, and nothing fails."""
    program.write("from whoholds import web\n" + ASGI)
    with served(program, ["uvicorn", "app:app"]) as port:
        page = shown(port)
        assert page.inner_text("#now-heading") == "No connection is held now."
        assert page.inner_text("#findings p") == "whoholds has found nothing so far."
        assert [page.is_visible(f"#{name}") for name in ("curve", "lines", "table")] == [True, False, False]
    with served(program, ["uvicorn", "app:app"], WHOHOLDS=None) as port:
        page = shown(port, drawn=False)
        assert page.inner_text("h1").startswith("whoholds is not switched on in this process. Set WHOHOLDS=1")


def test_the_policy_refuses_a_script_that_got_in(program: Programs, browser: Any) -> None:  # noqa: F811 - the fixture
    """By the header, which a text that became markup cannot take back; and no page may embed it."""
    program.write(APP + ASGI)
    with served(program, ["uvicorn", "app:app"]) as port:
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"http://localhost:{port}{PAGE}")
        page.evaluate(
            """() => {
              document.querySelector('meta[http-equiv]').remove();
              const script = document.createElement('script');
              script.textContent = 'window.pwned = 1';
              document.body.append(script);
            }"""
        )
        assert page.evaluate("window.pwned") is None
        assert any("Content Security Policy" in text for text in said)
        page.set_content(f"<iframe src='http://localhost:{port}{PAGE}'></iframe>")
        page.wait_for_load_state()
        assert page.frames[-1].query_selector("#now") is None
        page.close()
