"""Journals and baselines: never through a link, never waiting, for nobody else's eyes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.worlds import Program
from whoholds.outputs.journal import JournalOutput
from whoholds.reporting.files import expanded, open_for_append, open_for_reading, write_whole
from whoholds.settings.limits import Limits
from whoholds.testing import baseline

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither FIFOs nor modes")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def link(path: Path) -> None:
    path.symlink_to(path.with_name("target"))
    path.with_name("target").write_text("precious")


def hard_link(path: Path) -> None:
    path.with_name("target").write_text("precious")
    path.hardlink_to(path.with_name("target"))


KINDS = {
    "a symbolic link": link,
    "hard links": hard_link,
    "a FIFO": os.mkfifo if hasattr(os, "mkfifo") else None,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opens", [open_for_append, lambda path: write_whole(path, b"x")], ids=["append", "whole"])
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, kind: str, opens: object) -> None:
    """At once, with what it is and what is taken; what it leads to is left alone."""
    path = tmp_path / "run.jsonl"
    KINDS[kind](path)
    with pytest.raises(OSError, match=f"{kind}.*takes a regular file of this user's"):
        opens(path)
    target = tmp_path / "target"
    assert not target.exists() or target.read_text() == "precious"


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/full"])
def test_a_device_is_refused(device: str) -> None:
    """Whatever it would take."""
    with pytest.raises(OSError, match="is a device; it takes a regular file"):
        open_for_append(Path(device))
    with pytest.raises(OSError, match="is a device; it takes a regular file"):
        open_for_reading(Path(device))


def test_a_fifo_with_a_reader_is_refused_too(tmp_path: Path) -> None:
    """It would open, and then hold only 64 kB."""
    os.mkfifo(tmp_path / "run.jsonl")
    reader = os.open(tmp_path / "run.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="is a FIFO"):
        open_for_append(tmp_path / "run.jsonl")
    os.close(reader)


def test_a_file_of_ours_is_made_private(tmp_path: Path) -> None:
    """Also where it was there before, and open to all."""
    path = tmp_path / "run.jsonl"
    path.write_text("{}\n")
    path.chmod(0o666)
    os.close(open_for_append(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "{}\n"


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """Whoever it belongs to may read it, and change its mode back."""
    path = tmp_path / "run.jsonl"
    path.touch()
    os.chown(path, 4711, -1)
    with pytest.raises(OSError, match="belongs to user 4711"):
        open_for_append(path)


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the journal's path and the baseline's; a user that is not there stays as it is written."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert expanded("~/x") == tmp_path / "x"
    assert expanded("~nobody-of-that-name/x") == tmp_path / "~nobody-of-that-name" / "x"
    output = JournalOutput(Limits().with_settings(journal="~/logs/run-{pid}.jsonl"))
    Program(output).exits()
    assert (tmp_path / "logs" / f"run-{os.getpid()}.jsonl").exists()


def test_a_relative_journal_is_in_the_folder_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the program goes, and also where that folder is gone later."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    program = Program(JournalOutput(Limits().with_settings(journal="run.jsonl")))
    monkeypatch.chdir(tmp_path / "there")
    (tmp_path / "there").rmdir()
    program.opens()
    program.exits()
    assert '"type":"end"' in (tmp_path / "run.jsonl").read_text()


ROTATES = """
import json, os, sys
from pathlib import Path
from whoholds.reporting.journal import Writer
path = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(4711)  # root may do all
writer = Writer(path, most=100)
for number in (1, 2, 3):
    writer.write([{"n": number, "pad": "x" * 60}])
print(writer.dropped, [json.loads(line)["n"] for line in path.read_text().splitlines()])
"""


def test_where_it_cannot_be_rotated_it_is_full() -> None:
    """As where the folder is not ours: it drops, counts, and does not raise."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # one that another user may go into
        path = Path(folder) / "run.jsonl"
        path.touch()
        if IS_ROOT:
            os.chown(path, 4711, -1)
        Path(folder).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", ROTATES, str(path)], capture_output=True, text=True, timeout=30, check=False
        )
        Path(folder).chmod(0o755)
    assert (done.stdout, done.stderr) == ("2 [1]\n", "")


PROGRAM = """
import sqlite3
def leak(): return sqlite3.connect("shop.db")
kept = [leak() for _ in range(3)]
print("done")
"""


@pytest.mark.parametrize("kind", ["a symbolic link", "a FIFO"])
def test_the_programs_exit_does_not_wait(tmp_path: Path, kind: str) -> None:
    """The journal is switched off with one line that says why; the program ends as ever."""
    path = tmp_path / "run.jsonl"
    KINDS[kind](path)
    env = {**os.environ, "WHOHOLDS": "log,journal", "WHOHOLDS_JOURNAL": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr.count(f"run.jsonl is {kind}; it takes a regular file of this user's") == 1
    assert "left-open" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["a symbolic link", "a FIFO"])
def test_whoholds_run_refuses_it_beforehand(tmp_path: Path, kind: str) -> None:
    """As a wrong command line: the program does not run."""
    path = tmp_path / "run.jsonl"
    KINDS[kind](path)
    (tmp_path / "app.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "whoholds", "run", "--journal", str(path), "app.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"run.jsonl is {kind}; it takes a regular file" in done.stderr


@pytest.mark.parametrize("content", ['{"version": 1, "findings": [{"fingerprint": [1], "rule": "x", "count": 1}]}'])
@pytest.mark.parametrize(
    "more", ["", "[" * 200_000, "9" * 5000, '{"version": 1, "findings": {}}', '{"version": 1}', "\0"]
)
def test_a_wrong_baseline_is_named(tmp_path: Path, content: str, more: str) -> None:
    """Whatever is in it."""
    path = tmp_path / "base.json"
    path.write_text(more or content)
    with pytest.raises(baseline.WrongBaselineError, match="base.json"):
        baseline.load(path)


def test_a_baseline_is_private_and_no_link(tmp_path: Path) -> None:
    """Written over whole, also where it was longer."""
    path = tmp_path / "base.json"
    path.write_text("x" * 1000)
    path.chmod(0o644)
    baseline.write(path, [])
    assert baseline.load(path) == {}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(baseline.WrongBaselineError, match="is a FIFO"):
        baseline.load(tmp_path / "fifo")
