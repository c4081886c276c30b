"""A part of the damaged journals, and what `report` does where it cannot write. All: `python -m tests.hostile.journals`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.hostile.journals import faults, measure, write_journal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no /dev/full, no getrusage")
REPORT = [sys.executable, "-m", "whoholds", "report"]


def test_no_damage_gives_a_traceback(tmp_path: Path) -> None:
    """Each run damages another way: the seed is the day."""
    seed = time.strftime("%Y-%m-%d")
    assert (seed, dict(faults(tmp_path, 400, seed))) == (seed, {})


def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    """Fifty megabytes, with 2 000 findings, take less than ten more than one; everything is counted."""
    small, large = tmp_path / "small.jsonl", tmp_path / "large.jsonl"
    write_journal(small, 1)
    count = write_journal(large, 50)
    _, grown_small, _ = measure(small)
    code, grown, headline = measure(large)
    assert code == 0
    assert f"{count} connections opened" in headline
    assert grown - grown_small < 10_000


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal that says more than a pipe holds, in characters that ASCII has not."""
    path = tmp_path / "run.jsonl"
    write_journal(path, 1)
    path.write_text(path.read_text().replace("left-open: x", "left-open: 5 × x"))
    return path


def test_a_closed_pipe(journal: Path) -> None:
    """Whoever reads has read enough: no word on stderr."""
    program = subprocess.Popen([*REPORT, str(journal)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.stdout.read(10)
    program.stdout.close()
    assert (program.stderr.read(), program.wait(30)) == (b"", 0)
    program.stderr.close()


def test_no_stdout_at_all(journal: Path) -> None:
    """As under a service that closed it."""
    command = f"exec {sys.executable} -m whoholds report {journal} >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, timeout=30, check=False)
    assert (done.stderr, done.returncode) == (b"", 2)


@pytest.mark.parametrize("command", ["report {journal}", "doctor"])
def test_every_command_says_that_the_disk_is_full(journal: Path, command: str) -> None:
    """Not only the one that prints much."""
    line = f"{sys.executable} -m whoholds {command.format(journal=journal)} > /dev/full"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stderr, done.returncode) == ("whoholds: stdout: No space left on device\n", 2)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1251", "utf-8", "utf-16"])
def test_a_terminal_that_lacks_characters(journal: Path, encoding: str) -> None:
    """They are written as escapes; nothing is lost."""
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([*REPORT, str(journal)], env=env, capture_output=True, timeout=30, check=False)
    assert (done.stderr, done.returncode) == (b"", 0)
    shown = done.stdout.decode(encoding)
    assert "left-open: 5 × x" in shown or "left-open: 5 \\xd7 x" in shown


def test_what_comes_from_a_pipe_is_read(journal: Path) -> None:
    """`whoholds report <(zcat run.jsonl.gz)`."""
    command = f"cat {journal} | {sys.executable} -m whoholds report /dev/stdin"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "connections opened" in done.stdout
