"""What a test needs and this machine lacks: a reason to skip it, and where `CI` is set a failure."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import Any, NoReturn

import pytest

from whoholds.ledger.cpython import has_gil

foreign_stacks = pytest.mark.skipif(not has_gil(), reason="without the GIL no other thread's stack may be read")
own_deallocation = pytest.mark.skipif(
    not has_gil(), reason="without the GIL an object that another thread lets go is freed by the thread that made it"
)


def lacking(reason: object) -> NoReturn:
    """Skip the test, or fail it in CI, saying what is missing."""
    if os.environ.get("CI"):
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


def needed(name: str) -> Any:
    """Give the module of that name; without it the test is skipped, and fails in CI."""
    if not os.environ.get("CI"):
        return pytest.importorskip(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as importorskip does
        return import_module(name)
