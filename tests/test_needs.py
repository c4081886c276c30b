"""What cannot be installed on a Python is said in one place, and pyproject.toml leaves out the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.needs import LEFT_OUT

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent


def test_pyproject_leaves_out_what_the_tests_may_lack() -> None:
    """Each by its marker, with the same Python; docs/libraries.md names them too."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    left_out = re.findall(r"\"([\w.-]+)[^\"]*; python_version < '3\.(1[4-9])'\"", text)
    assert {name.replace("-", "_"): (3, int(minor)) for name, minor in left_out} == LEFT_OUT
    page = (ROOT / "docs" / "libraries.md").read_text(encoding="utf-8")
    assert [name for name, _ in left_out if f"`{name}`" not in page] == []
