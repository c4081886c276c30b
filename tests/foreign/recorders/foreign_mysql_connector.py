"""Run mysql-connector-python's own script, `unittests.py`, with our result and our choice of tests."""

from __future__ import annotations

import sys
import unittest
import warnings
from pathlib import Path
from typing import Any

import foreign_lines
import unittests
from foreign_unittest import Recording, tests_of


class Runner(unittest.TextTestRunner):
    """Stand in for the script's own runner."""

    def __init__(self, **_options: Any) -> None:
        super().__init__(verbosity=1, resultclass=Recording)

    def run(self, test: Any) -> Any:
        """Run what is wanted of a suite."""
        result = super().run(unittest.TestSuite(each for each in tests_of(test) if foreign_lines.wanted(each.id())))
        foreign_lines.done()
        return result


if __name__ == "__main__":
    foreign_lines.watch_hooks()
    warnings.simplefilter("default")
    warnings.showwarning = foreign_lines.show
    sys.path.remove(str(Path("lib").resolve()))  # the library is the installed one, which has its C extension
    unittests.BasicTestRunner = Runner
    unittests.main()
