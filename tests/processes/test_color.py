"""Colour in a real terminal, and in nothing else: what a pseudo-terminal, a pipe, a log and a journal get."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes.leaks import LEAK, posix
from whoholds.text.paint import painted

if TYPE_CHECKING:
    from tests.programs import Programs

pytestmark = pytest.mark.once

pytestmark = posix
ESCAPE = re.compile(r"\x1b\[[\d;]*m|\x1b\]8;[^\x1b]*\x1b\\")
QUIET = {"TERM": "xterm-256color", "NO_COLOR": None, "FORCE_COLOR": None}


def shown(program: Programs, *command: str, **settings: Any) -> str:
    """Give what a terminal gets from the program `app.py`, or from our command: stdout and stderr."""
    import pty  # noqa: PLC0415 - there is none on Windows

    controller, terminal = pty.openpty()
    ours = command and {"WHOHOLDS": None, "WHOHOLDS_JOURNAL": None}
    process = subprocess.Popen(
        [program.python, "-m", "whoholds", *command] if command else [program.python, "app.py"],
        cwd=program.folder,
        env=program.environ(**{**QUIET, **(ours or {}), **settings}),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    said = b""
    while True:
        try:
            data = os.read(controller, 65536)
        except OSError:  # Linux ends a pseudo-terminal so
            break
        if not data:
            break
        said += data
    os.close(controller)
    assert process.wait(30) == 0
    return said.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    """Give the text without escape sequences, times and process ids."""
    return re.sub(r"\[\d{4}-[^]]*\]|\d+\.\d s", "", ESCAPE.sub("", text))


def test_a_terminal_gets_colour(program: Programs) -> None:
    """Rule, places, source and counts; without the escapes it is the text that a pipe gets."""
    ran = program.run(LEAK, **QUIET)
    said = shown(program)
    assert "\x1b" not in ran.err
    assert plain(said) == plain(ran.err)
    first = said.splitlines()[0]
    assert first.startswith("whoholds: \x1b[1;31mleft-open\x1b[0m: \x1b[36mapp.py:5\x1b[0m in load left open 3")
    assert re.search(r"\x1b\[1m3\x1b\[0m  \x1b\[2mopened\x1b\[0m   \x1b\[36mapp.py:5\x1b\[0m in load", said)
    assert "\x1b[32mkept.append(sqlite3.connect(" in said
    assert "(\x1b[1;31m1 error\x1b[0m)" in said


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_stays_plain_where_that_is_asked_for(program: Programs, setting: dict[str, str]) -> None:
    """NO_COLOR, also beside FORCE_COLOR; a terminal that has none."""
    program.write(LEAK)
    assert "\x1b" not in shown(program, **setting)
    program.whoholds("run", "--journal", "run.jsonl", "app.py")
    assert "\x1b" not in shown(program, "report", "run.jsonl", **setting)
    assert "\x1b" not in program.whoholds("report", "run.jsonl", NO_COLOR="1", FORCE_COLOR="1").out


def test_nothing_but_a_terminal_gets_colour_from_a_watched_program(program: Programs) -> None:
    """Not a pipe, though CI sets FORCE_COLOR for its own; no log that logging writes to the terminal; no journal."""
    ran = program.run(LEAK, FORCE_COLOR="1", TERM="xterm")
    assert "left open 3" in ran.err
    assert "\x1b" not in ran.err
    program.write("import logging\nlogging.basicConfig()\n" + LEAK)
    said = shown(program)
    assert "whoholds: left-open: app.py:7 in load left open 3" in said
    assert "\x1b" not in said
    assert all("\\u001b" not in path.read_text() for path in program.folder.glob("*.jsonl"))


def test_a_stream_of_the_programs_own_class_stays_plain(program: Programs) -> None:
    """It may write to a log what it passes to the terminal."""
    program.write(
        "import sys\nclass Tee:\n    def __init__(self, stream): self.stream = stream\n"
        "    def __getattr__(self, name): return getattr(self.stream, name)\nsys.stderr = Tee(sys.stderr)\n" + LEAK
    )
    assert "\x1b" not in shown(program)


def test_the_commands_have_colour_in_a_terminal_or_when_they_are_told(program: Programs) -> None:
    """`run`, `report` and `doctor`: a terminal, a pipe, FORCE_COLOR, and --color; `--json` has none."""
    program.write(LEAK)
    said = shown(program, "run", "--journal", "run.jsonl", "app.py")
    assert said.count("\x1b[1;31m") >= 2  # the program's finding, and the last lines of `run`
    for arguments in (["report", "run.jsonl"], ["doctor"]):
        options = {"WHOHOLDS": "1", **QUIET}
        assert "\x1b[" in shown(program, *arguments, **options)
        assert "\x1b[" not in shown(program, *arguments, "--color", "never", **options)
        assert "\x1b[" not in program.whoholds(*arguments, **options).out
        assert "\x1b[" in program.whoholds(*arguments, "--color=always", **options).out
        assert "\x1b[" in program.whoholds(*arguments, **{**options, "FORCE_COLOR": "1"}).out
    assert "\x1b[1;31mleft-open" in program.whoholds("run", "--color=always", "app.py", **QUIET).err
    assert "\x1b" not in shown(program, "run", "--color=never", "app.py")
    assert "\x1b" not in shown(program, "report", "--json", "--color=always", "run.jsonl")


def test_a_place_is_a_link_in_kitty_only(program: Programs) -> None:
    """kitty finds no links by itself, and goes to the line; other terminals make a link of `app.py:5`."""
    program.write(LEAK)
    path = re.escape(str(program.folder / "app.py"))
    assert re.search(rf"\x1b\]8;;file://[^/]+{path}#5\x1b\\", shown(program, TERM="xterm-kitty"))
    assert "\x1b]8" not in shown(program)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("whoholds: growing: Cell In[3], line 2 in f", "whoholds: <1>growing<0>: <36>Cell In[3], line 2<0> in f"),
        ("    … 12 library frames", "<2>    … 12 library frames<0>"),
        ("    OperationalError: too many", "<31>    OperationalError: too many<0>"),
        ("    C:\\shop\\a.py:3 in <module>", "    <36>C:\\shop\\a.py:3<0> in <module>"),
        ("  Bound it (ThreadPoolExecutor(max_workers=…)),", "  Bound it (ThreadPoolExecutor(max_workers=…)),"),
        ("whoholds: clean: 0 connections opened", "whoholds: <32>clean<0>: 0 connections opened"),
        ("    30  opened   a.py:3 in f  x = y()", "    <1>30<0>  <2>opened<0>   <36>a.py:3<0> in f  <32>x = y()<0>"),
        ("        waiting  for 3.0 s", "        <2>waiting<0>  for 3.0 s"),
        (f"  left at a.py:3 {'a' * 3000}", f"  left at a.py:3 {'a' * 3000}"),
        ("  left at a.py:3, b.py:4(c.py:5)", "  left at <36>a.py:3<0>, <36>b.py:4<0>(<36>c.py:5<0>)"),
        ("        last statement: SELECT", "        last statement: SELECT"),
        ("  Also owner-gone: left at line 7.", "  Also <1>owner-gone<0>: left at <36>line 7<0>."),
        (
            "whoholds: 2 findings (1 error, 1 warning): x\nwhoholds: worst: growing: x",
            "whoholds: 2 findings (<31>1 error<0>, <33>1 warning<0>): x\nwhoholds: worst: <31>growing<0>: x",
        ),
        ("", ""),
    ],
)
def test_a_line_in_colour(line: str, expected: str) -> None:
    """What is not recognised stays as it is."""
    assert re.sub(r"\x1b\[(?:1;)?(\d+)m", r"<\1>", painted(line)) == expected
