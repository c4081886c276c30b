"""A suite written by a test and run by a pytest of its own, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Suite = Callable[..., pytest.RunResult]

APP = """
import sqlite3, threading

kept = []

def connect(name="cars.db"):
    return sqlite3.connect(name, check_same_thread=False)

def leak():
    kept.append(connect())

def fan_out(many):
    threads = [threading.Thread(target=work) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

barrier = threading.Barrier(3)

def work():
    connection = connect()
    barrier.wait()
    connection.close()
"""
# Loaded only where a test asks for them: what others do to a run is shown one by one.
OTHERS = (
    "randomly",
    "xdist",
    "cov",
    "timeout",
    "asyncio",
    "anyio",
    "django",
    "hypothesispytest",
    "cacheprovider",
)


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Call it with the suite's text and options; `with_` names plug-ins that are loaded too."""
    for name in ("WHOHOLDS", "WHOHOLDS_JOURNAL", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name, raising=False)

    def run(
        text: str, *options: str, with_: tuple[str, ...] = (), ini: str = "", conftest: str = ""
    ) -> pytest.RunResult:
        pytester.makepyfile(app=APP, test_cars=f"import pytest\nfrom app import *\n{text}")
        pytester.makeini(f"[pytest]\n{ini}")
        if conftest:
            pytester.makeconftest(conftest)
        without = [part for name in OTHERS if name not in with_ for part in ("-p", f"no:{name}")]
        return pytester.runpytest_subprocess(*without, *options)

    return run


def said(result: pytest.RunResult, *patterns: str) -> None:
    """Each pattern is matched by a line, in this order."""
    result.stdout.fnmatch_lines([f"*{pattern}*" for pattern in patterns])
