"""Every relative link of the documentation leads to a file that exists, and to a heading that is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for page in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def _anchors(page: Path) -> frozenset[str]:
    """The names by which GitHub links to the page's headings: `-1`, `-2` for those that come again."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", _prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        again = 1
        name = slug
        while name in anchors:
            name, again = f"{slug}-{again}", again + 1
        anchors.add(name)
    return frozenset(anchors)


def _dead(page: Path, text: str) -> list[str]:
    dead = []
    for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """To a file or folder of the repository, and where it names an anchor, to a heading of that page."""
    assert _dead(page, _prose(page)) == []


def test_a_dead_link_is_seen() -> None:
    """A missing file, a missing heading there and a missing heading here; an address elsewhere is not followed."""
    page = ROOT / "docs" / "findings.md"
    links = (
        "none.md",
        "settings.md#none",
        "#none",
        "settings.md",
        "#left-open",
        "../tests/cases",
        "https://example.org/x",
    )
    assert _dead(page, " ".join(f"[x]({link})" for link in links)) == ["none.md", "settings.md#none", "#none"]


def test_the_pages_are_there() -> None:
    """The README, the pages of docs/ and those of the examples are all among what is looked at."""
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"README.md", "docs/findings.md", "examples/README.md", "examples/observability/README.md"} <= names
