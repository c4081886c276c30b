"""`docs/testing.md` shows what really comes: its first example is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.inner import OTHERS

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_first_example_fails_as_the_page_says(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word by word, but for folders and seconds."""
    shop, test_shop, shown = re.findall(
        r"^```(?:python)?\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )[:3]
    (pytester.path / "shop.py").write_text(shop)
    (pytester.path / "test_shop.py").write_text(test_shop)
    for name in ("WHOHOLDS", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    without = [part for name in OTHERS for part in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess(*without, "--whoholds=error")
    printed = result.stdout.str()
    assert _plain(printed[printed.index("collected ") :]) == _plain(shown)


def _plain(text: str) -> list[str]:
    text = re.sub(r"sqlite:/\S*/shop\.db", "sqlite:///shop.db", text)
    text = re.sub(r"[\d.]+ (m?s)\b|[\d.]+s\b", r"N \1", text)
    lines = [re.sub(r"=+", "=", line).rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("FAILED")]
