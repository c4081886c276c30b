"""Settings, options and ini keys that cannot be: one short line that names what it got and takes, and the program runs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from whoholds.analysis.frames import Frame
from whoholds.settings.limits import Limits
from whoholds.settings.matching import WrongSetting, matches

if TYPE_CHECKING:
    from pathlib import Path

WRONG = [
    ("WHOHOLDS_MAX_HANDLES", str(10**22), "a whole number, 1 or more, 1000000000 at most"),
    ("WHOHOLDS_MAX_HANDLES", "9" * 5000, "a whole number, 1 or more"),
    ("WHOHOLDS_EVERY", "1e12", "a number greater than 0, such as 1 or 0.5, 1000000000 at most"),
    ("WHOHOLDS_REPEAT", "inf", "at most"),
    ("WHOHOLDS_HELD_TOO_LONG", "1e300", "a number and"),
    ("WHOHOLDS_SPANS", "x" * 100_000, "one of off, connections, queries"),
    ("WHOHOLDS_IGNORE", "y" * 100_000, "rule@path-glob"),
    ("WHOHOLDS_TO_MANY", "5", "did you mean WHOHOLDS_TOO_MANY?"),
    ("WHOHOLDS_EVERY", "\x1b[2J", "a number"),
    ("WHOHOLDS_EVERY", "postgresql://u:PW@h", "a number"),
    ("WHOHOLDS_IGNORE", "@/dev/zero", "no regular file"),
    ("WHOHOLDS_IGNORE", "@fifo", "no regular file"),
    ("WHOHOLDS_IGNORE", "@binary", "in UTF-8"),
    ("WHOHOLDS_IGNORE", "@nowhere", "No such file"),
    ("WHOHOLDS_IGNORE", "@.", "no regular file"),
    ("WHOHOLDS_IGNORE", "@huge", "1000000 bytes at most"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files that are no rules."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "huge").write_bytes(b"#" * 1_000_001)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="no FIFOs, no /dev/zero")
@pytest.mark.parametrize(("variable", "value", "takes"), WRONG, ids=range(len(WRONG)))
@pytest.mark.usefixtures("here")
def test_a_wrong_setting_is_one_short_line(variable: str, value: str, takes: str) -> None:
    """By the name of its variable, without secrets and control characters."""
    with pytest.raises(WrongSetting) as caught:
        Limits.from_environment({variable: value})
    said = str(caught.value)
    assert said.startswith(f"{variable}=")
    assert takes in said
    assert "PW" not in said
    assert len(said) < 500
    assert said.isprintable()


def test_a_wrong_setting_in_code_is_one_short_line() -> None:
    """Numbers of thousands of digits, too, which Python cannot even write."""
    for value in (10**22, 10**6000, 1e12, "x" * 100_000):
        with pytest.raises(WrongSetting) as caught:
            Limits().with_settings(every=value)
        assert len(str(caught.value)) < 500


@pytest.mark.skipif(os.name == "nt", reason="no FIFOs, no /dev/zero")
@pytest.mark.parametrize(("variable", "value"), [one[:2] for one in WRONG if len(one[1]) < 10_000][:12])
def test_the_program_runs(here: Path, variable: str, value: str) -> None:
    """As it would without: the line is on stderr, once."""
    env = {**os.environ, "WHOHOLDS": "1", variable: value}
    program = "import sqlite3; sqlite3.connect(':memory:').close(); print('done')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=here, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert len(done.stderr.splitlines()) == 1
    assert f"{variable}=" in done.stderr


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        (r"jobs\*.py", r"C:\shop\jobs\nightly.py"),
        (r"jobs\nightly.py:load", r"C:\shop\jobs\nightly.py"),
        (r"C:\shop\jobs\*.py", r"C:\shop\jobs\nightly.py"),
        (r"C:\shop\jobs\*.py:load", r"C:\shop\jobs\nightly.py"),
        ("jobs/*.py", r"C:\shop\jobs\nightly.py"),
        (r"jobs\*.py", "/srv/shop/jobs/nightly.py"),
    ],
)
def test_a_pattern_as_windows_writes_it(pattern: str, file: str) -> None:
    """What a finding shows can be copied into a rule."""
    frame = Frame(file, 5, "load", "")
    assert matches(frame, pattern)
    assert not matches(frame, pattern.replace("jobs", "jobz"))


OPTIONS = [
    (["--whoholds=bogus"], "--whoholds takes nothing, =report, =error or =off, got =bogus"),
    (["--whoholds", "error"], "write --whoholds=error"),
    (["--whoholds-max-open", ""], "--whoholds-max-open takes a number, 0 or more, got ''"),
    (["--whoholds-max-open", "9" * 5000], "--whoholds-max-open takes a number, 0 or more, got '9999"),
    (["--whoholds-max-open", "²"], "takes a number"),
    (["--whoholds", "-o", "whoholds_every=1e12"], "1000000000 at most"),
    (["--whoholds", "-c", "unknown.ini"], "there is no such key (did you mean whoholds_too_many?)"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS, ids=range(len(OPTIONS)))
def test_a_wrong_option_of_pytests(tmp_path: Path, options: list[str], said: str) -> None:
    """A usage error in one line; no traceback."""
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    (tmp_path / "unknown.ini").write_text("[pytest]\nwhoholds_to_many = 5\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", *options, "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    shown = done.stdout + done.stderr
    assert done.returncode == 4, shown
    assert said in shown
    assert "INTERNALERROR" not in shown
    assert max(map(len, shown.splitlines())) < 600
