"""A fault of ours in the program's thread is said where somebody looks afterwards: on stderr, and by `report`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# A hook that fails each time, written with the public kit.
FAILING = """
import whoholds
from whoholds.drivers import kit

def connect():
    return "connected"

def before(*_):
    raise ValueError("not so")

running = whoholds.start(every=3600, outputs=("journal",), journal="faults.jsonl")
watched = kit.around(connect, before=before, method=False)
print(watched(), watched())
"""


def test_a_fault_of_a_hook_is_said_on_stderr_and_by_the_report(tmp_path: Path) -> None:
    """The program hears nothing of it; both name the hook, the exception and the slug."""
    ran = _python(tmp_path, "-c", FAILING)
    assert ran.stdout == "connected connected\n"
    assert "connect" in ran.stderr
    assert "ValueError: not so" in ran.stderr
    assert "[hook-failed]" in ran.stderr
    report = _python(tmp_path, "-m", "whoholds", "report", "faults.jsonl").stdout
    lines = [line for line in report.splitlines() if "[hook-failed]" in line]
    assert len(lines) == 1
    assert "__main__.connect" in lines[0]
    assert "ValueError: not so" in lines[0]


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
