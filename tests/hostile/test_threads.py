"""A part of `python -m tests.hostile.threads`: whatever threads do at once, every sum is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.once
@pytest.mark.timeout(300)
def test_what_threads_open_is_what_ended_and_what_is_open() -> None:
    """Each end is told once and as it was, nothing is dropped, and the GIL is as it was."""
    command = [sys.executable, "-m", "tests.hostile.threads", "--threads", "8", "--operations", "4000"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "plain: 4000 operations by 8 threads" in ran.stdout
    assert "sqlite3: 400 operations by 8 threads" in ran.stdout
