"""A folder with a program in it, and a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import lacking, needed
from tests.programs import Programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    """A folder with a program in it."""
    return Programs(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser, started once for a module."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        lacking("chromium is not installed")
    with needed("playwright.sync_api").sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page from a file. At the end no script has failed, nothing was refused, and nothing was loaded."""
    wrong: list[str] = []
    contexts = []

    def open_page(path: Path, **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, **settings)
        contexts.append(context)
        shown = context.new_page()
        shown.on("pageerror", lambda error: wrong.append(str(error)))
        shown.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        shown.on("request", lambda request: wrong.append(request.url) if request.url[:5] not in _LOCAL else None)
        shown.goto(path.as_uri() if hasattr(path, "as_uri") else path)
        shown.wait_for_selector("html[data-drawn]")
        return shown

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


_LOCAL = ("file:", "data:", "blob:", "about")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a port on which nobody listens."""

    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
            return port

    return find
