"""`whoholds run` and `whoholds report` write over nothing that whoholds has not written, and say so before a program runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes.leaks import LEAK, posix, quiet

if TYPE_CHECKING:
    from tests.programs import Programs

PRECIOUS = "print('precious')\n"


@pytest.mark.once
@pytest.mark.parametrize("option", ["--journal", "--html", "--perfetto", "--sarif", "--gitlab", "--baseline"])
@pytest.mark.parametrize("name", ["app.py", "package.json"])
def test_run_writes_over_no_file_of_others(program: Programs, option: str, name: str) -> None:
    """The program itself, or a file of another kind: the message names the option, and nothing is run or touched."""
    program.write("print('ran')")
    (program.folder / "package.json").write_text('{"name": "shop", "version": "1.0.0"}\n')
    before = (program.folder / name).read_bytes()
    update = ["--update-baseline"] if option == "--baseline" else []
    ran = program.whoholds("run", option, name, *update, "app.py")
    assert (ran.code, ran.out) == (2, "")
    assert f"whoholds run: error: {option} {name}: " in ran.err
    assert "usage: whoholds run [options] script" in ran.err
    assert (program.folder / name).read_bytes() == before


def test_run_writes_over_its_own_files(program: Programs) -> None:
    """Those of the last run, and empty ones."""
    program.write(LEAK)
    files = {
        "--journal": "a.jsonl",
        "--html": "b",
        "--perfetto": "c",
        "--sarif": "d",
        "--gitlab": "e",
        "--baseline": "f",
    }
    options = [word for pair in files.items() for word in pair]
    for name in files.values():
        (program.folder / name).touch()
    for _ in range(2):
        ran = program.whoholds("run", *options, "--update-baseline", "app.py")
        assert ran.code == 0, ran.err
    ran = program.whoholds("run", "--html", "g", "--sarif", "./g", "app.py")
    assert (ran.code, "--sarif ./g: that is what --html names" in ran.err) == (2, True)


def test_a_run_takes_no_journal_but_its_own(program: Programs) -> None:
    """`{host}` is this host alone, and beside a journal that is rotated nothing is removed that is no journal."""
    program.write(LEAK)
    (program.folder / "other.log").write_text(PRECIOUS)
    ran = program.whoholds("run", "--fail", "--journal", "{host}.log", "app.py")
    assert (ran.code, "cut or damaged" in ran.err) == (3, False)
    (program.folder / "run.jsonl.1").write_text(PRECIOUS)
    ran = program.whoholds("run", "--journal", "run.jsonl", "app.py")
    assert (ran.code, "run.jsonl.1 is not a journal" in ran.err) == (2, True)
    assert [(program.folder / name).read_text() for name in ("other.log", "run.jsonl.1")] == [PRECIOUS] * 2


def test_the_variable_names_no_file_of_others(program: Programs) -> None:
    """A wrong value like any other: the program runs on unwatched, and nothing is added to the file."""
    (program.folder / "victim.py").write_text(PRECIOUS)
    ran = program.run(f"{LEAK}print('done')", WHOHOLDS_JOURNAL="victim.py")
    assert (ran.code, ran.out) == (0, "done\n")
    assert ran.err.startswith(
        "whoholds: not watching: WHOHOLDS_JOURNAL=victim.py: it takes the path of a journal or of a new file ("
    )
    assert ran.err.count("\n") == 1
    assert (program.folder / "victim.py").read_text() == PRECIOUS
    assert program.whoholds("run", "app.py", WHOHOLDS_JOURNAL="victim.py").code == 2


def test_report_writes_over_no_input(program: Programs) -> None:
    """Nor over any other file."""
    program.write(LEAK)
    assert program.whoholds("run", "--journal", "run.jsonl", "app.py").code == 0
    (program.folder / "victim.py").write_text(PRECIOUS)
    for option, name in (("--html", "run.jsonl"), ("--sarif", "victim.py"), ("--gitlab", "victim.py")):
        before = (program.folder / name).read_bytes()
        ran = program.whoholds("report", "run.jsonl", option, name)
        assert (ran.code, ran.err.startswith(f"whoholds: {option} {name}: ")) == (2, True)
        assert (program.folder / name).read_bytes() == before


@pytest.mark.once
@posix
@pytest.mark.parametrize("path", ["/proc/known.json", "/dev/full", "app.py/known.json"])
def test_a_baseline_that_cannot_be_written_is_named_before_the_program_runs(program: Programs, path: str) -> None:
    """One clear line, of `whoholds run` and of pytest."""
    program.write("print('ran')")
    ran = program.whoholds("run", "--baseline", path, "--update-baseline", "app.py")
    assert (ran.code, ran.out, quiet(ran)) == (2, "", True)
    assert f"--baseline {path}: it takes the path of a file that can be written (" in ran.err
    program.write("def test_nothing(): pass", "test_it.py")
    options = ("--whoholds", f"--whoholds-baseline={path}", "--whoholds-update-baseline")
    ran = program.ends(
        program.command([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options], WHOHOLDS=None)
    )
    assert ran.code == 4
    assert "ERROR: whoholds: --whoholds-baseline takes the path of a file that can be written, got " in ran.err


@pytest.mark.once
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_baseline_that_cannot_be_written_at_the_end_is_one_line(program: Programs) -> None:
    """The program has put something else there meanwhile: its tests' results, or its findings, are shown all the same."""
    spoils = "import os\ndef test_it(): os.symlink('/dev/full', 'known.json')\n"
    program.write(f"{LEAK}{spoils}test_it()")
    ran = program.whoholds("run", "--baseline", "known.json", "--update-baseline", "app.py")
    assert (ran.code, quiet(ran)) == (3, True)
    assert "whoholds: --baseline known.json: not written (" in ran.err
    assert "1 finding (1 error)" in ran.err
    (program.folder / "known.json").unlink()
    program.write(spoils, "test_it.py")
    options = ("--whoholds", "--whoholds-baseline=known.json", "--whoholds-update-baseline")
    ran = program.ends(
        program.command([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options], WHOHOLDS=None)
    )
    assert "baseline written: nowhere: " in ran.out
    assert "1 passed" in ran.out
    assert ran.code == 1


def test_known_findings_are_said_to_be_known(program: Programs) -> None:
    """The program's own report shows them as errors, and the exit code is 0."""
    program.write(LEAK)
    options = ("run", "--baseline", "known.json")
    assert program.whoholds(*options, "--update-baseline", "app.py").code == 0
    ran = program.whoholds(*options, "app.py")
    assert (ran.code, "whoholds: all findings are in the baseline known.json\n" in ran.err) == (0, True)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run"], "whoholds run: error: the following arguments are required: target\n"),
        (["run", "--fail"], "whoholds run: error: the following arguments are required: target\n"),
        (["run", ""], "whoholds run: error: '': no such script"),
        (
            ["run", "--baseline", "", "app.py"],
            "whoholds run: error: argument --baseline: takes the path of a file, got nothing",
        ),
        (["report", ""], "whoholds report: error: argument journal: takes the path of a file, got nothing"),
    ],
)
def test_a_wrong_command_line_is_answered_by_its_command(program: Programs, command: list[str], said: str) -> None:
    """With the usage of that command."""
    ran = program.whoholds(*command)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.startswith(f"usage: whoholds {command[0]} ")


@posix
def test_report_reads_standard_input_and_waits_for_no_pipe(program: Programs) -> None:
    """`-` is standard input; into the FIFO nobody writes."""
    program.write(LEAK)
    assert program.whoholds("run", "--journal", "run.jsonl", "app.py").code == 0
    command = [program.python, "-m", "whoholds", "report", "-"]
    journal = (program.folder / "run.jsonl").read_bytes()
    done = subprocess.run(command, input=journal, capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"left open 3 connections" in done.stdout) == (0, True)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.startswith("whoholds: standard input: ")) == (2, True)
    os.mkfifo(program.folder / "fifo")
    ran = program.whoholds("report", "fifo")
    assert (ran.code, ran.err.startswith("whoholds: fifo: not a line of a journal in it")) == (2, True)


@pytest.mark.parametrize("option", ["--whoholds-baseline", "--whoholds-html"])
def test_pytest_takes_no_empty_path(program: Programs, option: str) -> None:
    """As of a variable of CI that is not set: without this, every leak would pass."""
    program.write("def test_nothing(): pass", "test_it.py")
    ran = program.ends(
        program.command([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{option}="], WHOHOLDS=None)
    )
    assert ran.code == 4
    assert f"ERROR: whoholds: {option} takes the path of a file, got nothing" in ran.err
