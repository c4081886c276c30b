"""Programs that leak, and what is to be said of them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.programs import Ran

posix = pytest.mark.skipif(os.name != "posix", reason="there are no such signals or forks")

LEAK = """
import sqlite3
kept = []
def load():
    kept.append(sqlite3.connect("shop.db"))
for _ in range(3):
    load()
"""
THREE = [("left-open", "error", 3)]
NAMED = ["whoholds_start"] if sys.version_info >= (3, 15) else []  # what the .start file (PEP 829) has imported
OF_OURS = "Traceback", "Exception ignored", "Fatal Python error", "DeprecationWarning"

# A signal that comes just before a long sleep begins does not end it.
WAIT = "import time\ndef wait():\n    for _ in range(600):\n        time.sleep(0.1)\n"


def quiet(ran: Ran) -> bool:
    """Whether no traceback or interpreter's complaint is on stderr."""
    return not any(complaint in ran.err for complaint in OF_OURS)
