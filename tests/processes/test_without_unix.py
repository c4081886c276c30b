"""Without what Windows lacks (`lacking.py` says what): the main jobs are done, and a command that cannot says so.

Nothing here has run on Windows or macOS: docs/platforms.md says what was simulated.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import lacking
from tests.programs import Programs, Ran

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.name != "posix", reason="here nothing need be simulated"),
]
WITHIN_S = 120
LEAKS = """
import multiprocessing, sqlite3, threading
kept = []
def load():
    for _ in range(3):
        kept.append(sqlite3.connect("shop.db"))
def main():
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    process = multiprocessing.Process(target=load)
    process.start()
    process.join()
    print("done", process.exitcode, multiprocessing.get_start_method())
if __name__ == "__main__":
    main()
"""


@pytest.fixture
def python(program: Programs) -> Path:
    """Give the command of a Python that lacks all this, and so do the Pythons that it starts."""
    command = program.folder / "python-without-unix"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{lacking.__file__}" "$@"\n')
    command.chmod(0o755)
    return command


def ran(program: Programs, python: Path, *arguments: str, **settings: Any) -> Ran:
    """Run it to its end; what it writes has no traceback."""
    settings = {"WHOHOLDS": None, "WHOHOLDS_JOURNAL": None, "LACKING_PYTHON": python, **settings}
    environ = program.environ(**{"LACKING_ENCODING": "cp1252", **settings})
    done = subprocess.run(
        [str(python), *arguments],
        cwd=program.folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding=environ["LACKING_ENCODING"],
        timeout=WITHIN_S,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return Ran(done.returncode, done.stdout, done.stderr, program.folder)


def test_a_program_and_its_child_are_watched_and_a_journal_is_read_in_any_encoding(
    program: Programs, python: Path
) -> None:
    """The main job: run, findings of both processes, exit code, report on a stream that lacks the characters."""
    program.write(LEAKS)
    run = ran(program, python, "-m", "whoholds", "run", "--fail", "--journal", "run.jsonl", "app.py")
    assert (run.code, run.out) == (3, "done 0 spawn\n")
    assert "opened at" in run.err or "app.py:6 in load left open 3 connections" in run.err
    for encoding in ("cp1251", "cp437", "ascii"):
        report = ran(program, python, "-m", "whoholds", "report", "run.jsonl", LACKING_ENCODING=encoding)
        assert (report.code, report.err) == (0, "")
        assert "6 connections opened" in report.out
    assert b"\r\n" not in (program.folder / "run.jsonl").read_bytes()


def test_a_journal_that_cannot_be_moved_aside_is_no_fault(program: Programs, python: Path) -> None:
    """Windows refuses while somebody has the file open: lines are dropped and counted, the output goes on."""
    source = """
        import sqlite3, whoholds
        for _ in range(5):
            for _ in range(50):
                sqlite3.connect("shop.db").close()
            whoholds.holders()  # a look
        """
    settings = {"WHOHOLDS": "1", "WHOHOLDS_JOURNAL": "j.jsonl", "WHOHOLDS_JOURNAL_MB": "0.01"}
    end = ran(program, python, str(program.write(source)), **settings)
    assert end.code == 0
    assert "journal lines were dropped" in end.err
    assert "switched off" not in end.err


def test_ctrl_break_prints_who_holds_what(program: Programs, python: Path) -> None:
    """The one signal of Windows's that a person can send and the program does not need."""
    source = """
        import signal, sqlite3, time
        kept = sqlite3.connect("shop.db")
        signal.raise_signal(signal.SIGBREAK)
        time.sleep(1)
        kept.close()
        """
    end = ran(program, python, str(program.write(source)), WHOHOLDS="1", WHOHOLDS_DUMP_SIGNAL="SIGBREAK")
    assert end.code == 0
    assert "1 connection" in end.err
    assert "app.py:3" in end.err


def test_ctrl_break_leaves_the_verdict_to_run(program: Programs, python: Path) -> None:
    """It reaches program and command; the command goes on until the program has ended."""
    program.write(LEAKS.replace("    main()\n", f"    import os; os.kill(os.getppid(), {lacking.BREAK})\n    main()\n"))
    run = ran(program, python, "-m", "whoholds", "run", "app.py")
    assert (run.code, run.out) == (0, "done 0 spawn\n")
    assert "6 connections opened" in run.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dump", "1"], "whoholds dump works on Linux and other Unix systems only; in the program: whoholds.holders()"),
        (["top", "--once"], "whoholds: top reads /proc and works on Linux only; in the program: whoholds.holders()"),
        (["attach", "1"], "whoholds: whoholds attach works on Linux and macOS only."),
        (["server", "postgresql://nobody@127.0.0.1:1/shop"], "whoholds: "),
        (["doctor"], "active here: "),
    ],
)
def test_a_command_that_cannot_says_so_in_one_line(
    program: Programs, python: Path, arguments: list[str], says: str
) -> None:
    """Nobody is signalled: number 0 is Ctrl-C there."""
    entering = "import os, sys\nsys.remote_exec = print\nos.kill = None\nfrom whoholds.commands.cli import main\n"
    end = ran(program, python, "-c", f"{entering}sys.exit(main({arguments!r}))")
    assert says in end.out + end.err
    if arguments != ["doctor"]:
        assert end.code in (1, 2)
        assert len(end.err.splitlines()) == 1


def test_what_a_program_asks_for_by_itself_works(program: Programs, python: Path) -> None:
    """Adoption, a scope, holders, the page; a wrong signal's name gives an example that is there."""
    source = """
        import sqlite3
        kept = sqlite3.connect("shop.db")
        import whoholds, whoholds.web
        whoholds.start()
        other = sqlite3.connect("shop.db")
        with whoholds.scope("job"):
            pass
        print(len(whoholds.holders()))
        environ = {"REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "127.0.0.1"}
        page = b"".join(whoholds.web.wsgi()(environ, lambda status, headers: print(status)))
        try:
            whoholds.watch(dump_signal="SIGUSR9").__enter__()
        except whoholds.WrongSetting as wrong:
            print(wrong)
        kept.close(), other.close()
        """
    end = ran(program, python, str(program.write(source)))
    count, status, wrong = end.out.splitlines()
    assert (end.code, count, status) == (0, "2", "200 OK")
    assert "such as SIGBREAK" in wrong


def test_the_pytest_plugin_judges(program: Programs, python: Path) -> None:
    """A test that leaks is an error."""
    program.write(
        "import sqlite3\nkept = []\ndef test_one():\n    kept.append(sqlite3.connect('s.db'))\n", "test_it.py"
    )
    plugin = ["-m", "pytest", "-q", "-p", "whoholds.pytest_plugin", "-p", "no:cacheprovider", "--whoholds=error"]
    end = ran(program, python, *plugin, "test_it.py", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert end.code == 1
    assert "test_it.py:4" in end.out


# --- the tests themselves -----------------------------------------------------------------------------------------------

TESTS = Path(__file__).parents[1]


def of_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """Give what runs when a module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and child in node.body:
            continue
        yield child
        yield from of_import_time(child)


def test_no_module_of_the_tests_needs_unix_to_be_imported() -> None:
    """A module of Unix, or the name of a signal that Windows has not, would stop every test in its file."""
    faults = []
    for path in sorted(TESTS.rglob("*.py")):
        if {"cases", "programs"} & set(path.relative_to(TESTS).parts):
            continue
        for node in of_import_time(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            is_signal = (
                isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "signal"
            )
            if is_signal and node.attr.startswith("SIG") and node.attr not in (*lacking.ON_WINDOWS, "SIGRTMIN"):  # type: ignore[attr-defined]
                modules.append(f"signal.{node.attr}")  # type: ignore[attr-defined]
            faults += [f"{path}:{node.lineno} {name}" for name in modules if name in lacking.MODULES or "SIG" in name]  # type: ignore[attr-defined]
    assert [fault for fault in faults if not fault.endswith(("SIG_DFL", "SIG_IGN"))] == []
