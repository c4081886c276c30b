"""What a test needs and this machine lacks: a reason to skip it, and where `CI` is set a failure."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import Any, NoReturn

import pytest


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
