"""The recipes of docs/web.md, as they stand there, with the servers that they name."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.web.serving import asked, served

if TYPE_CHECKING:
    from tests.programs import Programs

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs POSIX")]
DOCS = Path(__file__).parents[2] / "docs" / "web.md"
SETTINGS = 'SECRET_KEY = "x"\nROOT_URLCONF = "shop.urls"\nALLOWED_HOSTS = ["localhost"]\n'
URLS = """
import sqlite3
from django.http import HttpResponse
from django.urls import path
kept = []
def leak(request):
    kept.append(sqlite3.connect("shop.db"))
    return HttpResponse("ok")
urlpatterns = [path("", leak)]
"""
FLASK = """
import sqlite3
kept = []
@app.get("/")
def leak():
    kept.append(sqlite3.connect("shop.db"))
    return "ok"
"""
RECIPES = {
    "FastAPI and Starlette": ("fastapi", {"app.py": "{recipe}" + FLASK}),
    "Flask": ("flask", {"app.py": "{recipe}" + FLASK}),
    "Django": ("django", {"shop/wsgi.py": "{recipe}", "shop/settings.py": SETTINGS, "shop/urls.py": URLS}),
}


def recipe(heading: str) -> tuple[str, list[str]]:
    """The code below a heading, and the command."""
    _, _, section = DOCS.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    code, command = re.findall(r"```(?:python|sh)\n(.*?)```", section, re.DOTALL)[:2]
    assert command.startswith("WHOHOLDS=1 ")
    return code, command.split()[1:]


@pytest.mark.parametrize("heading", RECIPES)
def test_a_recipe_works(program: Programs, heading: str) -> None:
    """The application answers as before, and the page names the line that holds its connection."""
    library, files = RECIPES[heading]
    needed(library)
    code, command = recipe(heading)
    for name, source in files.items():
        (program.folder / name).parent.mkdir(exist_ok=True)
        program.write(source.replace("{recipe}", code), name)
    with served(program, command) as port:
        asked(port, "/")
        status, text = asked(port, "/debug/whoholds/")
        assert status == 200
        assert re.match(r"whoholds: .* holds 1 connection, opened at (app|shop/urls)\.py:\d+ in leak\n", text), text
        status, refused = asked(port, "/debug/whoholds/", {"X-Forwarded-For": "203.0.113.9"})
        assert (status, "A proxy forwarded this request" in refused) == (403, True)


def test_the_predicate_of_the_page_works() -> None:
    """The token opens the page, and nothing else does."""
    import os

    from tests.web.asking import ask

    code = DOCS.read_text(encoding="utf-8").partition("none of the rules above applies beside it:\n\n```python\n")[2]
    code = code.partition("```")[0]
    os.environ["DEBUG_TOKEN"] = "sesame"
    try:
        names: dict[str, object] = {}
        exec(f"from whoholds import web\n{code}", names)
    finally:
        del os.environ["DEBUG_TOKEN"]
    assert ask("wsgi", {"x-debug-token": "sesame"}, client="10.0.0.5", app=names["page"]).status == 200
    assert ask("wsgi", {"x-debug-token": "wrong"}, app=names["page"]).status == 403
    assert ask("wsgi", app=names["page"]).status == 403
