"""How it comes in and what it leaves alone: real interpreters, started in all their ways."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.processes.leaks import LEAK, NAMED, THREE

if TYPE_CHECKING:
    from tests.programs import Programs

ROOT = Path(__file__).parents[2]

ALL_MODULES = "import sys; print(*sorted(sys.modules))"


@pytest.mark.parametrize("value", [None, "", "0", "false", "off", "OFF", "no"])
def test_switched_off_nothing_is_imported(program: Programs, value: str | None) -> None:
    """Not even the module that would find out that it is off; 3.15 itself imports what the .start file names."""
    ran = program.run(ALL_MODULES, WHOHOLDS=value)
    assert [name for name in ran.out.split() if "whoholds" in name] == NAMED


def test_without_a_database_library_next_to_nothing_is_imported(program: Programs) -> None:
    """What waits for one, and of the standard library nothing that the program has not."""
    off = set(program.run(ALL_MODULES, WHOHOLDS=None).out.split())
    on = set(program.run(ALL_MODULES).out.split())
    light = "autostart switch hooks hooks.exits hooks.imports drivers drivers.table ledger ledger.faults"
    ours = {"whoholds", *(f"whoholds.{name}" for name in light.split())}
    assert on - off <= {"atexit", "_collections", "__future__", *ours}
    assert ours <= on
    threading = program.run("import threading\n" + ALL_MODULES).out.split()
    assert "whoholds.hooks.spawning" in threading  # a thread has its spawn line before any database library comes
    heavy = {"typing", "threading", "asyncio", "ssl", "wrapt", "opentelemetry", "dataclasses", "logging", "weakref"}
    assert not (on - off) & heavy


def test_the_environment_alone_finds_the_leak(program: Programs) -> None:
    """The line, the count, and the whole text on stderr."""
    ran = program.run(LEAK)
    assert (ran.code, ran.findings) == (0, THREE)
    assert "left open 3 connections at exit" in ran.err
    assert "app.py:5 in load" in ran.err
    assert ran.err.splitlines()[-3].startswith("whoholds: 1 finding (1 error): 3 connections opened")


def test_importing_auto_alone_finds_the_leak(program: Programs) -> None:
    """Where the environment cannot be set; the program's own settings of the environment count."""
    ran = program.run(f"import whoholds.auto\n{LEAK}", WHOHOLDS=None)
    assert (ran.code, ran.findings) == (0, THREE)
    assert "app.py:6 in load" in ran.err


def test_importing_whoholds_patches_nothing(program: Programs) -> None:
    """Nor does it wait for anything."""
    ran = program.run(
        """
        import asyncio.base_events, concurrent.futures.thread, gc, multiprocessing.process, sqlite3, sys, threading
        def state():
            held = [sqlite3, sqlite3.dbapi2, threading.Thread, asyncio.base_events.BaseEventLoop]
            held += [concurrent.futures.thread._WorkItem, multiprocessing.process.BaseProcess]
            return [dict(vars(one)) for one in held], list(sys.meta_path), list(gc.callbacks)
        before = state()
        import whoholds
        print(state() == before, dir(whoholds)[:2], whoholds.__version__)
        """,
        WHOHOLDS=None,
    )
    assert ran.out.startswith("True ['Finding', 'HeldConnectionWarning'] 0.")
    assert ran.clean


RESTORED = """
import asyncio.base_events, concurrent.futures.thread, gc, importlib, multiprocessing.process, sys, threading
import sqlite3, sqlite3.dbapi2
held = [sqlite3, sqlite3.dbapi2, threading.Thread, asyncio.base_events.BaseEventLoop]
held += [concurrent.futures.thread._WorkItem, multiprocessing.process.BaseProcess]
for name in ["psycopg2", "psycopg2.extensions", "psycopg2.pool", "psycopg", "psycopg_pool", "pymysql", "pymysql.connections"]:
    try:
        held.append(importlib.import_module(name))
    except ImportError:
        continue
for module in list(held):
    held += [one for one in vars(module).values() if isinstance(one, type) and one.__module__.startswith(("psycopg", "pymysql"))]
here = sqlite3.connect
def state():
    return [dict(vars(one)) for one in held], list(sys.meta_path), list(gc.callbacks), here
before = state()
import whoholds
for _ in range(2):
    whoholds.start(outputs="0")
    assert state() != before
    live = sqlite3.connect(":memory:")
    whoholds.stop()
    after = state()
    for one, then, now in zip(held, before[0], after[0]):
        for name in {*then, *now}:
            if then.get(name) is not now.get(name) and not name.startswith("__"):
                print(one, name, then.get(name), now.get(name))
    print(after[1:] == before[1:])
    assert live.execute("select 1").fetchone() == (1,)
    live.close()
"""


def test_stop_leaves_every_name_as_it_was(program: Programs) -> None:
    """Of every module and class, and the names that a program had imported; twice over. Live objects go quiet."""
    ran = program.run("import warnings; warnings.simplefilter('ignore')\n" + RESTORED, WHOHOLDS=None)
    assert ran.out == "True\nTrue\n"
    assert (ran.code, ran.err) == (0, "")


def test_a_connect_imported_by_name_before_the_start_is_seen(program: Programs) -> None:
    """Where a module's global is that function it is rebound."""
    ran = program.run(
        """
        from sqlite3 import connect as link
        import whoholds
        whoholds.start()
        kept = []
        def load():
            kept.append(link("shop.db"))
        for _ in range(2):
            load()
        """,
        WHOHOLDS=None,
    )
    assert (ran.code, ran.findings) == (0, [("left-open", "error", 2)])
    (found,) = ran.of("finding", "left-open")
    assert (found["opened"]["line"], found["opened"]["function"]) == (7, "load")


def test_a_clean_program_hears_nothing(program: Programs) -> None:
    """Not a word, and its output is its own."""
    ran = program.run(
        """
        import contextlib, sqlite3
        for _ in range(30):
            with contextlib.closing(sqlite3.connect("shop.db")) as connection:
                connection.execute("select 1").fetchall()
        print("done")
        """
    )
    assert ran.clean
    assert ran.out == "done\n"


@pytest.mark.parametrize(
    ("options", "expected"), [(["-I"], THREE), (["-E"], THREE), (["-s"], THREE), (["-S"], []), (["-X", "dev"], THREE)]
)
def test_python_started_in_its_other_ways(program: Programs, options: list[str], expected: list[object]) -> None:
    """-S reads no .pth: nothing is watched, nothing breaks; all others are watched."""
    ran = program.run(LEAK, options=options)
    assert ran.code == 0
    assert ran.findings == expected
    assert "Traceback" not in ran.err


def test_a_child_process_is_watched_by_itself(program: Programs) -> None:
    """The environment is inherited, and so is nothing else."""
    program.write(LEAK, "child.py")
    ran = program.run("import subprocess, sys; subprocess.run([sys.executable, 'child.py'], check=True)")
    assert ran.findings == THREE
    (found,) = ran.of("finding", "left-open")
    assert found["opened"]["file"].endswith("child.py")


@pytest.mark.once
@pytest.mark.timeout(180)
def test_a_built_wheel_in_a_fresh_environment_finds_the_leak(program: Programs) -> None:
    """The .pth beside the package, in a virtual environment, with nothing else installed."""
    needed("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(program.folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = program.folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"whoholds.pth", "whoholds.start", "whoholds_start.py", "whoholds/py.typed"} <= set(names)
    venv = program.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    program.python = str(venv / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        program.python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    assert program.run(ALL_MODULES, WHOHOLDS=None).out.count("whoholds") == len(NAMED)
    ran = program.run(LEAK)
    assert (ran.code, ran.findings) == (0, THREE)
    assert "app.py:5 in load" in ran.err


def test_the_start_file_names_a_callable_that_imports_nothing_when_off(program: Programs) -> None:
    """For Pythons that read `.start` files: the same as the .pth line."""
    assert (ROOT / "src" / "whoholds.start").read_text().split() == ["whoholds_start:start"]
    source = "import sys, whoholds_start; before = set(sys.modules); whoholds_start.start(); print(*set(sys.modules) - before)"
    for value in (None, "0", "off"):
        assert program.run(source, WHOHOLDS=value).out.strip() == ""
    assert "whoholds.autostart" in program.run(f"import os; os.environ['WHOHOLDS'] = '1'; {source}", WHOHOLDS=None).out


def test_what_was_open_before_is_found_at_a_late_start_and_accused_of_nothing(program: Programs) -> None:
    """With the first library nothing can be open, and nothing is searched."""
    searched = "print('whoholds.startup' in sys.modules, 'whoholds.adopting' in sys.modules)"
    assert program.run(f"import sqlite3, sys\n{searched}").out == "True False\n"
    ran = program.run(
        "import sqlite3\nconnection = sqlite3.connect('cars.db')\nconnection.execute('begin immediate')\n"
        "import whoholds\nwhoholds.start()\nprint(whoholds.holders())",
        WHOHOLDS=None,
    )
    held = [line.strip() for line in ran.out.splitlines()]
    assert held[1].startswith("1  held at  ")
    assert held[1].endswith("(global connection)")
    assert held[2:] == ["opened   before whoholds came", "state    in a transaction"]
    assert (ran.code, ran.err) == (0, "")
