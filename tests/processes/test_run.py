"""`whoholds run`, `whoholds report` and `whoholds doctor` as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.processes.leaks import LEAK, WAIT, posix, quiet
from whoholds.commands.doctor import reads_pth

if TYPE_CHECKING:
    from pathlib import Path

    from tests.programs import Programs


CLEAN = "whoholds: clean: 0 connections opened\n"


def test_run_ends_with_one_line_even_where_all_is_clean(program: Programs) -> None:
    """The program's own output stays on stdout."""
    program.write("import sys; print('hello', sys.argv[1:])")
    ran = program.whoholds("run", "app.py", "-x", "--fail", "a b")
    assert (ran.code, ran.out, ran.err) == (0, "hello ['-x', '--fail', 'a b']\n", CLEAN)


def test_run_finds_what_the_environment_would(program: Programs) -> None:
    """The text while it runs, the line and the busiest lines at its end."""
    program.write(LEAK)
    ran = program.whoholds("run", "app.py")
    assert ran.code == 0
    assert "left open 3 connections" in ran.err
    last = ran.err.splitlines()[-3:]
    assert last[0].startswith("whoholds: 1 finding (1 error): 3 connections opened, at most 3 at once to ")
    assert last[1] == "whoholds:   app.py:5 in load opened 3"
    assert last[2].startswith("whoholds: worst: left-open: app.py:5 in load left open 3 connections at exit")


def test_run_takes_a_module(program: Programs) -> None:
    """As `python -m` does."""
    (program.folder / "shop").mkdir()
    program.write(LEAK + "import sys; print(sys.argv[1:])", "shop/__main__.py")
    ran = program.whoholds("run", "-m", "shop", "now")
    assert (ran.code, ran.out) == (0, "['now']\n")
    assert "left open 3 connections" in ran.err


def test_run_takes_code(program: Programs) -> None:
    """As `python -c` does."""
    ran = program.whoholds("run", "-c", LEAK + "import sys; print(sys.argv)", "now")
    assert (ran.code, ran.out) == (0, "['-c', 'now']\n")
    assert "left open 3 connections" in ran.err


def test_run_finds_a_console_script_on_the_path(program: Programs) -> None:
    """`whoholds run uvicorn shop:app`; what is no Python script is refused, and so is what is not there."""
    script = program.folder / "bin" / "serve"
    script.parent.mkdir()
    script.touch(0o755)
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    for first in (
        f"#!{sys.executable}",
        f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''",
        "#!/usr/bin/env python3",
    ):
        script.write_text(f"{first}\n{LEAK}import sys; print(sys.argv[1:])\n")
        ran = program.whoholds("run", "serve", "shop:app", PATH=path)
        assert (ran.code, ran.out) == (0, "['shop:app']\n")
        assert "left open 3 connections" in ran.err
    for wrong in ("sh", "nothing-of-that-name"):
        ran = program.whoholds("run", wrong, PATH=path)
        assert ran.code == 2
        assert f"{wrong}: no such script, and no Python console script of that name on the PATH" in ran.err


def test_the_command_alone_teaches(program: Programs) -> None:
    """Examples, and where the settings are listed."""
    ran = program.whoholds()
    assert ran.code == 0
    assert "whoholds run uvicorn shop:app" in ran.out
    assert program.whoholds("-V").out.startswith("whoholds ")


@pytest.mark.parametrize(
    ("ending", "code"),
    [("sys.exit(7)", 7), ("sys.exit('no')", 1), ("raise LookupError", 1), ("os._exit(9)", 9), ("", 0)],
)
def test_run_keeps_the_programs_exit_code(program: Programs, ending: str, code: int) -> None:
    """Whatever was found."""
    program.write(f"{LEAK}\nimport os, sys\n{ending}")
    assert program.whoholds("run", "app.py").code == code


@pytest.mark.parametrize(("source", "ending", "code"), [(LEAK, "", 3), (LEAK, "raise SystemExit(5)", 5), ("", "", 0)])
def test_run_fail_turns_errors_into_3(program: Programs, source: str, ending: str, code: int) -> None:
    """A failure of the program's own stays its own."""
    program.write(f"{source}\n{ending}")
    assert program.whoholds("run", "--fail", "app.py").code == code


def test_run_fail_is_for_errors_only(program: Programs) -> None:
    """A warning fails nothing."""
    program.write(
        "import gc, sqlite3\nclass A: pass\na = A(); a.a, a.c = a, sqlite3.connect('x.db')\ndel a\ngc.collect()"
    )
    ran = program.whoholds("run", "--fail", "app.py")
    assert ran.code == 0
    assert "1 warning" in ran.err


@posix
@pytest.mark.parametrize(
    ("number", "name"),
    [(getattr(signal, name, 0), name) for name in ("SIGTERM", "SIGKILL", "SIGUSR1")]
    + ([(signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}")] if hasattr(signal, "SIGRTMIN") else []),
)
def test_run_dies_of_the_signal_that_its_program_died_of(program: Programs, number: int, name: str) -> None:
    """So that whoever waits sees it; and leaves nothing behind in the temporary folder."""
    program.write(f"{LEAK}\nimport os\nos.kill(os.getpid(), {int(number)})")
    scratch = program.folder / "tmp"
    scratch.mkdir()
    ran = program.whoholds("run", "app.py", TMPDIR=scratch)
    assert ran.code == -number
    assert "left open 3 connections" in ran.err
    assert f"whoholds: nothing is known: {name}" not in ran.err
    assert list(scratch.iterdir()) == []


@posix
def test_run_calls_nothing_clean_that_was_killed(program: Programs) -> None:
    """What it held when it was last looked at stands in its journal."""
    program.write(
        "import os, sqlite3, subprocess, time\nkept = sqlite3.connect('x.db')\ntime.sleep(0.5)\n"
        "subprocess.run(['kill', '-9', str(os.getpid())])\ntime.sleep(60)"
    )
    ran = program.whoholds("run", "--journal", "run.jsonl", "app.py", WHOHOLDS_EVERY="0.02")
    first, second, third = ran.err.splitlines()
    assert ran.code == -9
    assert first.startswith("whoholds: no findings so far; the end is not known: at least 1 connection opened")
    assert re.fullmatch(
        r"whoholds: no end in the journal of process \d+: still running, killed, or .* it held 1:", second
    )
    assert third == "whoholds:   app.py:2 in <module> holds 1, to x.db"
    told = program.whoholds("report", "run.jsonl")
    assert (told.code, told.out.splitlines()) == (0, [first, second, third])


@posix
def test_run_passes_a_signal_on(program: Programs) -> None:
    """A supervisor stops `whoholds run`: the program's own handler runs, and its exit code is kept."""
    program.write(
        f"import os, signal, sys\n{WAIT}"
        "def end(*_):\n    os.write(1, b'ended\\n')\n    sys.exit(11)\n"
        "signal.signal(signal.SIGTERM, end)\nos.write(1, b'ready\\n')\nwait()"
    )
    command = [program.python, "-m", "whoholds", "run", "app.py"]
    process = program.command(command, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    ran = program.ends(process)
    assert (ran.code, ran.out, ran.err) == (11, "ended\n", CLEAN)


@posix
def test_run_leaves_ctrl_c_to_the_program(program: Programs) -> None:
    """The terminal sends it to both: the program's handling of it decides, and the last line is said."""
    program.write(
        f"{WAIT}try:\n    print('ready', flush=True)\n    wait()\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n    raise SystemExit(4)"
    )
    command = [program.python, "-m", "whoholds", "run", "app.py"]
    process = program.command(command, WHOHOLDS=None, WHOHOLDS_JOURNAL=None)
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    ran = program.ends(process)
    assert (ran.code, ran.out, ran.err) == (4, "interrupted\n", CLEAN)


@posix
def test_run_leaves_ignored_what_was_ignored(program: Programs) -> None:
    """`nohup whoholds run …`: the program inherits that SIGHUP is ignored; other signals are its own to handle."""
    program.write("import signal; print(*(signal.getsignal(one).name for one in (signal.SIGHUP, signal.SIGTERM)))")
    shell = f"trap '' HUP; exec {program.python} -m whoholds run app.py"
    ran = program.ends(program.command(["sh", "-c", shell], WHOHOLDS=None, WHOHOLDS_JOURNAL=None))
    assert (ran.code, ran.out) == (0, "SIG_IGN SIG_DFL\n")


@pytest.mark.parametrize(("journal", "why"), [(".", "Is a directory"), ("app.py/run.jsonl", "")])
def test_run_refuses_a_journal_that_cannot_be_written(program: Programs, journal: str, why: str) -> None:
    """The verdict is read from it: without one a run that leaks would end as clean, and pass `--fail`."""
    program.write(LEAK)
    ran = program.whoholds("run", "--fail", "--journal", journal, "app.py")
    assert (ran.code, ran.out) == (2, "")
    assert f"--journal {journal}: it takes the path of a file that can be written ({why}" in ran.err
    ran = program.whoholds("run", "app.py", WHOHOLDS_JOURNAL=journal)
    assert f"WHOHOLDS_JOURNAL {journal}: it takes the path" in ran.err


def test_run_names_a_script_that_is_missing(program: Programs) -> None:
    """With what to write for a module; exit code 2, as for any wrong command line."""
    ran = program.whoholds("run", "nowhere.py")
    assert ran.code == 2
    assert "nowhere.py: no such script" in ran.err


def test_run_keeps_one_journal_of_the_run(program: Programs) -> None:
    """Those of earlier runs go, also what was rotated; those of all its processes come together."""
    program.write(LEAK)
    (program.folder / "old.txt").write_text("")
    for name in ("kept.log", "kept.log.1"):
        (program.folder / name).write_text('{"type":"finding","id":"x","severity":"error","rule":"a-past-rule"}\n')
    ran = program.whoholds("run", "--journal", "kept.log", "app.py")
    assert "1 finding (1 error): 3 connections" in ran.err
    told = program.whoholds("report", "kept.log")
    assert told.code == 0
    assert "left open 3 connections" in told.out
    assert "a-past-rule" not in told.out


@pytest.mark.parametrize("pattern", ["runs/{pid}/a.log", "a[1]-{pid}.log", "{host}.log"])
def test_run_finds_its_journals_wherever_they_are_put(program: Programs, pattern: str) -> None:
    """A folder for each process, brackets in the name."""
    program.write(LEAK)
    ran = program.whoholds("run", "--fail", "--journal", pattern, "app.py")
    assert (ran.code, "1 finding (1 error)" in ran.err) == (3, True)


def test_run_against_a_baseline(program: Programs) -> None:
    """Known ones pass, more of them and new ones fail, fewer is said; --update-baseline writes it."""
    program.write(LEAK)
    written = program.whoholds("run", "--baseline", "known.json", "--update-baseline", "app.py")
    assert (written.code, (program.folder / "known.json").exists()) == (0, True)
    assert program.whoholds("run", "--baseline", "known.json", "app.py").code == 0
    program.write(LEAK.replace("range(3)", "range(5)"))
    grown = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (grown.code, "grown from 3 to 5" in grown.err) == (3, True)
    program.write(LEAK.replace("load", "fetch"))
    new = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (new.code, "new, not in the baseline" in new.err, "gone: " in new.err) == (3, True, True)
    program.write("print('clean')")
    fewer = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (fewer.code, "gone: left-open" in fewer.err) == (0, True)


HABIT = """
import sqlite3, sys, time
def load():
    return sqlite3.connect("shop.db")
held = [load() for _ in range(int(sys.argv[1]))]
time.sleep(0.3)
for connection in held:
    connection.close()
"""


def test_run_learns_what_lines_are_used_to_and_keeps_it_in_the_baseline(program: Programs) -> None:
    """A line with five times as many as in earlier runs is reported, where learning is asked for."""
    program.write(HABIT)
    learning = {"WHOHOLDS_LEARN": "1", "WHOHOLDS_EVERY": "0.05"}
    run = ("run", "--baseline", "known.json")
    for count in ("1", "2"):
        written = program.whoholds(*run, "--update-baseline", "app.py", count, **learning)
        assert written.code == 0, written.err
    (habit,) = json.loads((program.folder / "known.json").read_text())["habits"]
    assert (habit["opened"], habit["most"], habit["holds"]) == ("app.py in load", 2, 3)
    unusual = program.whoholds(*run, "app.py", "10", **learning)
    assert unusual.code == 3, unusual.err
    assert "opened 10 connections at once, usually 2, to" in unusual.err
    assert program.whoholds(*run, "app.py", "10").code == 0
    (program.folder / "other.txt").write_text("no habits")
    ran = program.whoholds("run", "app.py", "1", WHOHOLDS_LEARN="other.txt")
    assert "WHOHOLDS_LEARN=other.txt: " in ran.err
    assert "[habits-not-read]" in ran.err


@pytest.mark.parametrize("content", [None, "no json", '{"version": 99}', '{"version": 1, "findings": [{}]}'])
def test_a_baseline_that_cannot_be_is_named_before_the_program_runs(program: Programs, content: str | None) -> None:
    """One clear line and exit code 2; nothing was run for nothing."""
    program.write("print('ran')")
    if content is not None:
        (program.folder / "known.json").write_text(content)
    ran = program.whoholds("run", "--baseline", "known.json", "app.py")
    assert (ran.code, ran.out) == (2, "")
    assert "baseline known.json: " in ran.err
    assert "--update-baseline" in ran.err
    assert quiet(ran)


@posix
@posix
def test_an_executable_that_may_not_be_read_is_no_python_script(tmp_path: Path) -> None:
    """As sudo on many systems: it can be run, and reading its first lines is refused."""
    secret = tmp_path / "bin" / "secret"
    secret.parent.mkdir()
    secret.write_text("#!/usr/bin/env python3\n")
    secret.chmod(0o311)
    ask = "if os.geteuid() == 0: os.seteuid(65534)\nprint(script_of('secret'))"  # root may read whatever it likes
    code = f"import os\nfrom whoholds.commands.program import script_of\n{ask}"
    tmp_path.chmod(0o755)
    env = {**os.environ, "PATH": "bin"}  # a path from here, for the folders above are the test's user's alone
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_whoever_reads_the_doctor_may_have_read_enough() -> None:
    """`whoholds doctor | head -1` ends without a word of Python's."""
    command = f"{sys.executable} -m whoholds doctor | true"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_pth_file_counts_only_where_python_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a folder on PYTHONPATH, where `pip install --target` puts it."""
    for name in ("vendor", "site-packages"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "whoholds.pth").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "vendor")])
    assert not reads_pth()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site-packages")])
    assert reads_pth()


def test_doctor_says_whether_it_is_active_and_why_not(program: Programs) -> None:
    """Exit code 0 where it is, 1 where it is not."""
    ran = program.whoholds("doctor")
    assert ran.code == 1
    assert "active here: no\n  because WHOHOLDS is unset: set WHOHOLDS=1" in ran.out
    ran = program.whoholds("doctor", WHOHOLDS="1", WHOHOLDS_TOO_MANY="7")
    assert ran.code == 0
    assert "active here: yes" in ran.out
    assert [line.split() for line in ran.out.splitlines() if "TOO_MANY" in line] == [
        ["WHOHOLDS_TOO_MANY", "7", "(environment)"]
    ]
    assert ["sqlite3", "with", "Python"] in [line.split() for line in ran.out.splitlines()]
    ran = program.whoholds("doctor", WHOHOLDS="1", WHOHOLDS_EVERY="often")
    assert (ran.code, "WHOHOLDS_EVERY=often: it takes" in ran.out) == (1, True)
