"""bench/instructions.py counts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import lacking

SCRIPT = Path(__file__).parents[1] / "bench" / "instructions.py"


@pytest.mark.once
def test_the_instructions_of_an_operation_are_counted() -> None:
    """Bare, and how many more whoholds adds."""
    if shutil.which("valgrind") is None:
        lacking("valgrind is not installed")
    done = subprocess.run([sys.executable, SCRIPT, "`cursor.execute`"], capture_output=True, text=True, check=True)
    bare, added = re.findall(r"[\d,]{4,}", done.stdout.splitlines()[-1])
    assert int(bare.replace(",", "")) > 0
    assert int(added.replace(",", "")) > 0
