"""A watch of this process, and the two kinds of application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import whoholds
from tests.programs import Programs
from whoholds.web import recent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds import Watch


@pytest.fixture(params=["asgi", "wsgi"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of application that is asked."""
    kind: str = request.param
    return kind


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    """A folder with a program in it."""
    return Programs(tmp_path)


@pytest.fixture(autouse=True)
def _unmounted() -> Iterator[None]:
    """Nothing is kept for a page after a test."""
    yield
    recent.forget()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A watch of this process, without other outputs."""
    monkeypatch.delenv("WHOHOLDS", raising=False)
    watch = whoholds.start(outputs=(), every=3600)
    yield watch
    whoholds.stop()
