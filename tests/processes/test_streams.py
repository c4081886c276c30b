"""A stdout or stderr that is closed, full or gone changes no exit code, of a watched program or of a command."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes.leaks import LEAK

if TYPE_CHECKING:
    from tests.programs import Programs

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")

GONE = ["2>/dev/full", "2>&-", ">&-", ">/dev/full 2>&1", "<&- >&- 2>&-"]


def code_of(program: Programs, words: str, **settings: str) -> int:
    """The exit code of Python with these words of a shell."""
    environ = program.environ(**{"WHOHOLDS": None, "WHOHOLDS_JOURNAL": None, **settings})
    line = ["sh", "-c", f"exec {program.python} {words}"]
    return subprocess.run(
        line, cwd=program.folder, env=environ, capture_output=True, timeout=60, check=False
    ).returncode


@pytest.mark.once
@pytest.mark.parametrize("streams", GONE)
def test_run_keeps_the_exit_code(program: Programs, streams: str) -> None:
    """That of the program, and 3 for what was found."""
    program.write(LEAK)
    assert code_of(program, f"-m whoholds run -c 'import sys; sys.exit(7)' {streams}") == 7
    assert code_of(program, f"-m whoholds run --fail --github app.py {streams}") == 3
    assert code_of(program, f"-m whoholds run --fail nowhere.py {streams}") == 2


def test_run_keeps_the_exit_code_where_nobody_reads_its_words(program: Programs) -> None:
    """A log collector that has ended: writing to it is an error."""
    program.write(LEAK)
    reads = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reads.wait()
    command = [program.python, "-m", "whoholds", "run", "--fail", "app.py"]
    environ = program.environ(WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    ran = subprocess.run(command, cwd=program.folder, env=environ, stderr=reads.stdin, timeout=60, check=False)
    assert ran.returncode == 3
    reads.stdin.close()


@pytest.mark.parametrize("streams", GONE)
def test_a_watched_program_keeps_its_exit_code(program: Programs, streams: str) -> None:
    """What cannot be said on stderr stays in no buffer of the program's, which would make the code 120."""
    program.write(LEAK)
    assert code_of(program, f"app.py {streams}", WHOHOLDS="1") == 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("doctor >&-", 1),
        ("report nowhere.jsonl 2>/dev/full", 2),
        ("completion bash >&-", 0),
        ("dump 1999999999 >&- 2>/dev/full", 1),
        ("nonsense 2>/dev/full", 2),
        ("--help >/dev/full", 2),
    ],
)
def test_every_command_keeps_its_exit_code(program: Programs, command: str, code: int) -> None:
    """Only of what was to be printed on stdout is it said that it could not be."""
    assert code_of(program, f"-m whoholds {command}") == code


def test_the_doctor_says_by_its_code_what_nobody_reads(program: Programs) -> None:
    """`whoholds doctor | head -1` in a shell that looks at every code of a pipe."""
    doctor = program.command([program.python, "-m", "whoholds", "doctor"], WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    doctor.stdout.close()
    assert doctor.wait(60) == 1
    assert doctor.stderr.read() == ""
    doctor.stderr.close()
