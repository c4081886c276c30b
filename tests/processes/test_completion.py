"""`whoholds completion`: what real shells complete with its scripts."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.needs import lacking
from tests.processes.leaks import posix
from whoholds.analysis.rules import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.programs import Programs

pytestmark = [posix, pytest.mark.once]


@pytest.fixture
def script(program: Programs, shell: str) -> Path:
    """Give the path of the script for the shell, beside some files."""
    if shutil.which(shell) is None:
        lacking(f"{shell} is not installed")
    for name in ("app one.py", "run.jsonl"):
        program.write("", name)
    (program.folder / "runs").mkdir()
    ran = program.whoholds("completion", shell)
    assert (ran.code, ran.err) == (0, "")
    return program.write(ran.out, f"completion.{shell}")


def said(program: Programs, *command: str) -> list[str]:
    """Give the lines that the shell prints."""
    done = subprocess.run(command, cwd=program.folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


IN_BASH = [
    ("", {"run", "report", "server", "doctor", "completion", "--help", "--version"}, {"runs"}),
    ("rep", {"report"}, {"run"}),
    ("report --r", {"--rule"}, {"--json", "report"}),
    ("report --rule ", set(RULES), {"run.jsonl"}),
    ("report --rule=left", {"left-open"}, {"growing"}),
    ("report --color=", {"auto", "always", "never"}, {"run.jsonl"}),
    ("report ru", {"run.jsonl", "runs"}, {"--rule"}),
    ("run --journal ru", {"run.jsonl"}, {"--fail"}),
    ("run app", {"app one.py"}, {"run.jsonl"}),
    ("run --color never app.py --f", set(), {"--fail"}),
    ("run --fail --j", {"--journal"}, {"--fail"}),
    ("completion ", {"bash", "zsh", "fish"}, {"run.jsonl"}),
    ("doctor ", set(), {"run.jsonl"}),
]


@pytest.mark.parametrize("shell", ["bash"])
@pytest.mark.parametrize(("typed", "offered", "not_offered"), IN_BASH, ids=[typed for typed, *_ in IN_BASH])
def test_bash_completes(program: Programs, script: Path, typed: str, offered: set[str], not_offered: set[str]) -> None:
    """Commands, options, their values, files with blanks; nothing of ours for the program's own arguments."""
    words = typed.replace("=", " = ").split(" ")
    function = 'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _whoholds; printf "%s\\n" "${COMPREPLY[@]}"'
    words = [word for number, word in enumerate(words) if word or number == len(words) - 1]
    got = said(program, "bash", "-uc", f'source {script}; COMP_WORDS=(whoholds "$@"); {function}', "bash", *words)
    assert offered <= set(got)
    assert not not_offered & set(got)


@pytest.mark.parametrize("shell", ["bash"])
def test_bash_completes_when_tab_is_pressed(program: Programs, script: Path) -> None:
    """In an interactive shell on a pseudo-terminal, with the line that the help says to put into ~/.bashrc."""
    import pty  # noqa: PLC0415 - there is none on Windows

    controller, terminal = pty.openpty()
    environ = {**program.environ(), "PS1": "$ ", "TERM": "dumb", "INPUTRC": "/dev/null"}
    command = ["bash", "--norc", "--noprofile", "-i"]
    process = subprocess.Popen(
        command,
        cwd=program.folder,
        env=environ,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)

    answers = select.poll()  # select.select takes no descriptor above 1023
    answers.register(controller, select.POLLIN)

    def types(text: str, expected: str) -> None:
        os.write(controller, text.encode())
        got = ""
        while expected not in got:
            assert answers.poll(20_000), got
            got += os.read(controller, 65536).decode()

    try:
        types(f'eval "$(cat {script})" && echo re"ady"\n', "ready")
        types("whoholds rep\t", "whoholds report ")
        types("--ru\t", "--rule ")
        types("left\t", "left-open ")
    finally:
        process.kill()
        process.wait(30)
        os.close(controller)


@pytest.mark.parametrize("shell", ["zsh"])
def test_zsh_takes_the_script(program: Programs, script: Path) -> None:
    """By `eval` after compinit, and as a file of `$fpath`."""
    assert said(
        program, "zsh", "-fc", f"autoload -U compinit; compinit -D; source {script}; print $_comps[whoholds]"
    ) == ["_whoholds"]
    (program.folder / "runs" / "_whoholds").write_text(script.read_text())
    fpath = "fpath=($PWD/runs $fpath); autoload -U compinit; compinit -uD; print $_comps[whoholds]"
    assert said(program, "zsh", "-fc", fpath) == ["_whoholds"]


@pytest.mark.parametrize("shell", ["fish"])
@pytest.mark.parametrize(("typed", "offered", "not_offered"), IN_BASH[1:8], ids=[typed for typed, *_ in IN_BASH[1:8]])
def test_fish_completes(program: Programs, script: Path, typed: str, offered: set[str], not_offered: set[str]) -> None:
    """As bash does; it prints a value after its option as `--rule=left-open`."""
    lines = said(program, "fish", "--no-config", "-c", f"source {script}; complete -C 'whoholds {typed}'")
    got = {line.partition("\t")[0].rpartition("=")[2].rstrip("/") for line in lines}
    assert offered <= got
    assert not not_offered & got
