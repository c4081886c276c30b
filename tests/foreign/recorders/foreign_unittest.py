"""Run unittest tests by name and record each outcome: `python -m foreign_unittest NAME…`.

A name is what `unittest` takes; one with a colon, `package.module:function`, is a function that gives
the suite.
"""

# ruff: noqa: N802 (the names are unittest's)

from __future__ import annotations

import importlib
import sys
import unittest
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foreign_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    Exc = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Recording(unittest.TextTestResult):
    """A result that writes each test's outcome down; the worst of a test and its sub-tests counts."""

    _running: str | None = None
    _outcome: tuple[str, str] | None = None

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        # mysql-connector's tests change their id while they run
        self._running, self._outcome = test.id(), None
        foreign_lines.begin(test.id())

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if self._running is not None:  # 3.12.1 does not start a test that it skips
            foreign_lines.end(self._running, *(self._outcome or ("passed", "")))
        self._running = None

    def addFailure(self, test: unittest.TestCase, err: Exc) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", self.failures[-1][1])

    def addError(self, test: unittest.TestCase, err: Exc) -> None:
        super().addError(test, err)
        self._note(test, "error", self.errors[-1][1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Exc | None) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None and err[0] is not None:
            failed = issubclass(err[0], test.failureException)
            kept = self.failures if failed else self.errors
            self._note(test, "failed" if failed else "error", kept[-1][1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Exc) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "xfailed", "")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "xpassed", "")

    def _note(self, test: unittest.TestCase, outcome: str, text: str) -> None:
        """Keep the first bad outcome; one outside a test, in setUpClass say, is written at once."""
        if self._running is None:
            foreign_lines.end(test.id(), outcome, text)
        elif self._outcome is None or self._outcome[0] == "skipped":
            self._outcome = (outcome, text)


def tests_of(suite: unittest.TestSuite) -> Iterator[Any]:
    """Give every single test in a suite, however deep."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_of(each)
        else:
            yield each


def load(name: str) -> unittest.TestSuite:
    """Load what a name stands for."""
    module, colon, function = name.partition(":")
    if colon:
        return unittest.TestSuite(getattr(importlib.import_module(module), function)())
    return unittest.defaultTestLoader.loadTestsFromName(name)


def main(names: list[str]) -> int:
    """Run them, and give the exit code."""
    sys.path.insert(0, str(Path.cwd()))
    foreign_lines.watch_hooks()
    warnings.simplefilter("default")
    warnings.showwarning = foreign_lines.show
    loaded = unittest.TestSuite(load(name) for name in names)
    suite = unittest.TestSuite(test for test in tests_of(loaded) if foreign_lines.wanted(test.id()))
    result = unittest.TextTestRunner(verbosity=1, resultclass=Recording).run(suite)
    foreign_lines.done()
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
