"""The name of a connection: what it says, and what is left of it where there is no room."""

from __future__ import annotations

import sys

import pytest

from whoholds.analysis.frames import shown_below
from whoholds.ledger.origin import from_lines
from whoholds.watching.tags import MOST, program, tag


@pytest.fixture(autouse=True)
def _in_srv(monkeypatch: pytest.MonkeyPatch) -> None:
    from whoholds.analysis import frames

    monkeypatch.setattr(sys, "argv", ["/srv/shop.py", "--fast"])
    monkeypatch.setattr(frames, "_home", [])
    shown_below("/srv")


@pytest.mark.parametrize(
    ("file", "function", "expected"),
    [
        ("/srv/shop/cars.py", "load_cars", "shop.py: shop/cars.py:42 load_cars"),
        ("/srv/a/very/long/way/down/to/the/line/that/connects/cars.py", "load", None),
        (f"/srv/{'deep/' * 20}cars.py", "load_cars", None),
        ("/srv/cars.py", "load_" * 20, None),
        (f"/srv/{'x' * 90}.py", "load_cars", None),
        (f"/srv/{'x' * 90}.py", "load_" * 20, None),
        ("/srv/café.py", "ladé", "shop.py: caf?.py:42 lad?"),
        ("<stdin>", "<module>", "shop.py: <stdin>:42 <module>"),
    ],
)
def test_it_keeps_the_line_whatever_the_length(file: str, function: str, expected: str | None) -> None:
    """63 bytes are what PostgreSQL keeps; a folder is missed less than the function, and the line is never cut."""
    name = tag(from_lines([(file, 42, function)]))
    assert len(name.encode()) <= MOST
    assert ".py:42 l" in name or file == "<stdin>"
    if expected is not None:
        assert name == expected


def test_a_long_program_gives_way_to_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning of the program's name stays."""
    monkeypatch.setattr(sys, "argv", ["/srv/" + "nightly-import-" * 9])
    name = tag(from_lines([("/srv/cars.py", 42, "load_cars")]))
    assert name == "nightly-import-nightly-import-nightly-imp: cars.py:42 load_cars"
    assert len(name) == MOST


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("/srv/shop.py", "shop.py"),
        ("/usr/bin/gunicorn", "gunicorn"),
        ("/srv/shop/__main__.py", "shop"),
        ("-c", "python"),
        ("-m", "python"),
        ("", "python"),
    ],
)
def test_the_programs_name(monkeypatch: pytest.MonkeyPatch, first: str, expected: str) -> None:
    monkeypatch.setattr(sys, "argv", [first])
    assert program() == expected
    monkeypatch.setattr(sys, "argv", [])
    assert program() == "python"
