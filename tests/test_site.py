"""The documentation builds as a site without a warning; its pages ask no other host for anything and have no dead link."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.needs import lacking

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
LOADS = {  # attributes with which a page loads something, rather than leading somewhere
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}
_IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")


class _Page(HTMLParser):
    """What a page loads, where it leads, and the names that can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get(LOADS.get(tag, "")):
            self.loads.append(str(given[LOADS[tag]]))
        if tag == "a" and given.get("href"):
            self.leads.append(str(given["href"]))
        self.names.update(str(given[key]) for key in ("id", "name") if given.get(key))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; any warning fails the build."""
    folder = tmp_path_factory.mktemp("site")
    # not with --quiet, under which MkDocs counts no warning
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if "No module named mkdocs" in run.stderr:
        lacking("needs mkdocs: pip install '.[docs]'")
    assert run.returncode == 0, run.stderr
    return folder


@cache
def _page(file: Path) -> _Page:
    return _Page(file.read_text(encoding="utf-8"))


def _foreign(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    """No script, style, picture or font, neither by a page nor by a style sheet."""
    foreign = {
        f"{file.name}: {address}" for file in site.rglob("*.html") for address in _page(file).loads if _foreign(address)
    }
    for file in [*site.rglob("*.css"), *site.rglob("*.html")]:
        foreign |= {f"{file.name}: {address}" for address in _IN_STYLE.findall(file.read_text(encoding="utf-8"))}
    assert foreign == set()


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    """To a file of the site, and where it names an anchor, to an element of that page."""
    dead = []
    for file in site.rglob("*.html"):
        for address in _page(file).leads + _page(file).loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or (file.name == "404.html"):  # whose links begin at the site's root
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            named = target.suffix != ".html" or not parts.fragment or unquote(parts.fragment) in _page(target).names
            if not target.exists() or not named:
                dead.append(f"{file.relative_to(site)}: {address}")
    assert dead == []


def test_the_pages_include_the_programs(site: Path) -> None:
    """A cookbook page has the bug, the report and the fix with its changed lines marked; a page from outside is there."""
    page = (site / "cookbook" / "django.html").read_text(encoding="utf-8")
    for name in ("django_bug.py", "django_bug.txt", "django_cure.py"):
        assert f"examples/frameworks/{name}</span>" in page
    assert 'class="hll"' in page
    assert "owner-gone" in page
    assert "Two commands" in (site / "index.html").read_text(encoding="utf-8")


def test_no_included_file_is_left_as_a_link() -> None:
    """A line that is nothing but a link to a file beside the pages is in the form that the site replaces."""
    for page in (ROOT / "docs").rglob("*.md"):
        for link in re.findall(r"^\[[^\]]+\]\(([^)]+)\)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert (page.parent / link).suffix in {".py", ".txt", ".toml", ".yml", ".sh"}, f"{page.name}: {link}"
