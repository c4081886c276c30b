"""Where whoholds is installed and not asked for, on other Pythons, on streams that lack characters, without a listed library."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import interpreters
from tests.needs import needed
from tests.programs import FOREIGN, Programs
from tests.worlds import Program
from whoholds.outputs.log import LogOutput
from whoholds.settings.limits import Limits
from whoholds.text.streams import say, show_everything, shown_on

ROOT = Path(__file__).parents[1]
THREE = [("left-open", "error", 3)]


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    """Give what runs programs in a folder of this test's own."""
    return Programs(tmp_path)


# --- streams -----------------------------------------------------------------------------------------------------------

LEAKS = """
import sqlite3
kept = []
def lädt():
    kept.append(sqlite3.connect("shop.db"))
for _ in range(3):
    lädt()
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "cp437", "cp1252", "latin-1", "utf-8", "utf-16"])
def test_a_finding_reaches_a_stream_of_any_encoding(program: Programs, encoding: str) -> None:
    """A program's own strict stderr: the finding is there, and what the encoding lacks is escaped."""
    ran = program.run(
        f"import io, sys\nsys.stderr = io.TextIOWrapper(open('own.log', 'wb'), encoding={encoding!r})\n{LEAKS}"
    )
    text = (program.folder / "own.log").read_text(encoding=encoding)
    assert (ran.code, ran.findings) == (0, THREE)
    assert "whoholds: left-open: " in text
    assert "in lädt" in text or r"in l\xe4dt" in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "cp437"])
@pytest.mark.parametrize("command", ["report", "run", "doctor"])
def test_every_command_writes_to_a_terminal_of_any_encoding(program: Programs, encoding: str, command: str) -> None:
    """No traceback; what the encoding lacks is escaped."""
    program.run(LEAKS, WHOHOLDS_JOURNAL=program.folder / "j.jsonl")
    arguments = {"report": ["-v", str(program.folder / "j.jsonl")], "run": [str(program.folder / "app.py")]}
    done = subprocess.run(
        [program.python, "-m", "whoholds", command, *arguments.get(command, [])],
        cwd=program.folder,
        env=program.environ(
            WHOHOLDS=None, WHOHOLDS_JOURNAL=None, PYTHONIOENCODING=f"{encoding}:strict", PYTHONUTF8="0"
        ),
        capture_output=True,
        check=False,
        timeout=60,
    )
    said = (done.stdout + done.stderr).decode(encoding)
    assert "Traceback" not in said
    assert done.returncode == (1 if command == "doctor" else 0)
    if command != "doctor":
        assert "in lädt" in said or r"in l\xe4dt" in said


class Lies(io.StringIO):
    """A stream with an encoding of its own making."""

    encoding = "no-such-encoding"


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (io.StringIO(), "3 × é"),
        (Lies(), "3 × é"),
        (io.TextIOWrapper(io.BytesIO(), encoding="ascii"), r"3 \xd7 \xe9"),
        (io.TextIOWrapper(io.BytesIO(), encoding="cp437"), r"3 \xd7 é"),
        (io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), "3 × é"),
        (io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace"), "3 × é"),
    ],
)
def test_a_text_is_shown_as_the_stream_can(stream: io.TextIOBase, expected: str) -> None:
    """Escaped only where it would raise: a stream with an error handler of its own keeps that."""
    assert shown_on(stream, "3 × é") == expected


def test_a_commands_streams_escape_what_they_lack() -> None:
    """Strict ones, and only those."""
    strict, own = (io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=how) for how in ("strict", "replace"))
    show_everything(strict, own, io.StringIO())
    assert (strict.errors, own.errors) == ("backslashreplace", "replace")


def test_a_line_to_stderr_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the program has put there."""

    class Raises:
        def __getattr__(self, name: str) -> None:
            raise LookupError(name)

    for stream in (None, Raises(), 5):
        monkeypatch.setattr(sys, "stderr", stream)
        say("a line")
    monkeypatch.delattr(sys, "stderr")
    say("a line")


def test_the_log_goes_on_after_a_stream_that_fails_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full for a moment: the findings after it are said."""

    class Full(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError("no space left on device")
            return super().write(text)

    stream = Full()
    monkeypatch.setattr(sys, "stderr", stream)
    program = Program(LogOutput(Limits()))
    program.opens()
    program.exits()
    assert not program.watch.failed
    stream.full = False
    say("whoholds: later")
    assert stream.getvalue() == "whoholds: later\n"


# --- without a library that is listed ------------------------------------------------------------------------------------

OWN = """
import types
module = types.ModuleType("mine")
class Connection:
    def cursor(self): return None
    def close(self): pass
module.connect = lambda *args: Connection()
"""


@pytest.mark.parametrize(("value", "expected"), [("1", THREE), (None, [])])
def test_watch_module_starts_what_the_environment_asks_for(
    program: Programs, value: str | None, expected: list[object]
) -> None:
    """WHOHOLDS=1 and a module that nobody knows is enough; without it nothing starts."""
    ran = program.run(
        f"{OWN}\nimport whoholds\nwhoholds.watch_module(module)\nkept = [module.connect('h/d') for _ in range(3)]\n"
        "print(whoholds.current() is not None, len(whoholds.holders()))",
        WHOHOLDS=value,
    )
    assert (ran.code, ran.findings) == (0, expected)
    assert ran.out == ("True 3\n" if expected else "False 0\n")


def test_a_watch_that_was_stopped_is_not_started_again(program: Programs) -> None:
    """Whoever has stopped it wants none: watch_module waits for the next start."""
    ran = program.run(
        f"{OWN}\nimport whoholds\nwhoholds.start(outputs='0')\nwhoholds.stop()\nwhoholds.watch_module(module)\n"
        "kept = module.connect('h/d')\nprint(whoholds.current())"
    )
    assert (ran.code, ran.out, ran.findings) == (0, "None\n", [])


def driver_of_another(program: Programs) -> Path:
    """Give a folder with a library that imports nothing of ours, and a distribution that brings a driver for it."""
    place = program.folder / "site"
    (place / "theirs-1.0.dist-info").mkdir(parents=True)
    (place / "theirlib.py").write_text(
        OWN.replace('module = types.ModuleType("mine")', "").replace("module.connect", "connect")
    )
    (place / "theirdriver.py").write_text(
        "import theirlib\nfrom whoholds.drivers.generic import driver_for\nwatch = driver_for(theirlib, 'theirs')\n"
    )
    (place / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (place / "theirs-1.0.dist-info" / "entry_points.txt").write_text(
        "[console_scripts]\nx = y:z\n\n[whoholds.drivers]\ntheirlib = theirdriver:watch\n\n[other]\na = b:c\n"
    )
    return place


def test_a_driver_of_another_distribution_starts_the_watch(program: Programs) -> None:
    """Its library alone is imported; none of those that whoholds knows itself."""
    place = driver_of_another(program)
    ran = program.run("import theirlib\nkept = [theirlib.connect() for _ in range(3)]", PYTHONPATH=place)
    assert (ran.code, ran.findings) == (0, THREE)


def test_a_module_whose_import_began_the_watch_is_watched(program: Programs) -> None:
    """playhouse.pool imports sqlite3 first; a library of another distribution does too, and has a driver."""
    place = driver_of_another(program)
    library = place / "theirlib.py"
    library.write_text("import sqlite3\n" + library.read_text())
    ran = program.run("import theirlib\nkept = [theirlib.connect() for _ in range(3)]", PYTHONPATH=place)
    assert (ran.code, ran.findings) == (0, THREE)
    needed("playhouse")
    ran = program.run(
        """
        from playhouse.pool import PooledSqliteDatabase
        import threading
        db = PooledSqliteDatabase("shop.db", max_connections=1)
        db.connect()
        other = threading.Thread(target=lambda: (db.connect(), db.close()))
        import whoholds
        print([one.kind for one in whoholds.holders()])
        db.close()
        """
    )
    assert ran.out == "['checkout']\n"


def test_a_watch_that_starts_while_a_module_is_being_imported_waits_for_its_end(program: Programs) -> None:
    """No hook of ours stood in its import: the end of that import calls back, and leaves no trace."""
    place = driver_of_another(program)
    library = place / "theirlib.py"
    library.write_text("import whoholds.auto\n" + library.read_text())
    ran = program.run(
        """
        import theirlib
        print(type(theirlib.__spec__).__module__, theirlib.__spec__._initializing)
        kept = [theirlib.connect() for _ in range(3)]
        """,
        PYTHONPATH=place,
        WHOHOLDS=None,
    )
    assert (ran.code, ran.findings) == (0, THREE)
    assert ran.out == "_frozen_importlib False\n"


# --- other Pythons -------------------------------------------------------------------------------------------------------

PYPY = "import sys\nsys.implementation.name = 'pypy'\nimport site\nsite.main()\n"
ONLY = "whoholds watches CPython only; this Python is pypy, and nothing is watched\n"


def test_elsewhere_than_on_cpython_one_line_says_that_nothing_is_watched(program: Programs) -> None:
    """At the start by environment, by import, by call; the program's words and exit code are its own."""
    for text, value in {
        LEAKS + "\nprint('out')\nraise SystemExit(4)": "1",
        "import whoholds.auto\n" + LEAKS + "\nprint('out')\nraise SystemExit(4)": None,
        "import whoholds\nwatch = whoholds.start()\nwith whoholds.watch() as other, whoholds.scope('x'):\n"
        "    print('out' if not watch.handles and not whoholds.holders() and whoholds.stop() == [] else '')\n"
        "raise SystemExit(4)": "1",
    }.items():
        ran = program.ends(program.start(PYPY + text, options=["-S"], WHOHOLDS=value))
        assert (ran.code, ran.out, ran.err, ran.records) == (4, "out\n", ONLY, [])
    ran = program.ends(program.start(PYPY + LEAKS, options=["-S"], WHOHOLDS=None))
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_elsewhere_the_commands_say_so_too(program: Programs) -> None:
    """`doctor` gives the reason, `run` the program's own exit code."""
    program.write("import sys\nsys.exit(5)", "app.py")
    begin = PYPY + "import sys\nfrom whoholds.commands.cli import main\n"
    for arguments, code in ((["doctor"], 1), (["run", "--fail", str(program.folder / "app.py")], 5)):
        process = program.command(
            [program.python, "-S", "-c", f"{begin}sys.exit(main({arguments!r}))"], WHOHOLDS=None, WHOHOLDS_JOURNAL=None
        )
        ran = program.ends(process)
        assert ran.code == code
        assert ONLY.strip() in ran.out + ran.err
        assert (ran.out + ran.err).count("CPython only") == 1


PLUGIN_RUN = f"""{PYPY}
import sys, pytest
sys.exit(pytest.main(["-q", "-p", "whoholds.pytest_plugin", "-p", "no:cacheprovider", "--whoholds=error", "test_it.py"]))
"""


def test_elsewhere_the_pytest_plugin_judges_nothing(program: Programs) -> None:
    """It says the line, skips what asks for it, and prints no summary: that would look like a clean run."""
    program.write(
        "import sqlite3\nkept = []\ndef test_leak():\n    kept.append(sqlite3.connect(':memory:'))\n"
        "def test_asks(whoholds):\n    assert False\n",
        "test_it.py",
    )
    ran = program.ends(
        program.start(PLUGIN_RUN, options=["-S"], WHOHOLDS=None, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"), within=60
    )
    assert (ran.code, ran.err) == (0, ONLY)
    assert "1 passed, 1 skipped" in ran.out
    assert "nothing found" not in ran.out


@pytest.mark.once
@pytest.mark.timeout(600)
def test_on_a_real_pypy_one_line_says_so(wheel: Path, tmp_path: Path) -> None:
    """The wheel in an environment of its own: the program, `run`, `doctor` and pytest."""
    pypy = os.environ.get("WHOHOLDS_TEST_PYPY")
    if not pypy:
        pytest.skip("WHOHOLDS_TEST_PYPY names no PyPy")
    venv = tmp_path / "venv"
    assert run([pypy, "-m", "venv", "--without-pip", venv], tmp_path).returncode == 0
    python = venv / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    assert run([*install, "pytest"], tmp_path).returncode == 0
    assert run([*install, "--no-deps", "--no-index", wheel], tmp_path).returncode == 0
    (tmp_path / "leak.py").write_text(f"{LEAKS}\nprint('out')\nraise SystemExit(4)", encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_one():\n    pass\n")
    bare = run([python, "leak.py"], tmp_path)
    assert (bare.returncode, bare.stdout, bare.stderr) == (4, "out\n", "")
    for command, more in (([python], {"WHOHOLDS": "1"}), ([python, "-m", "whoholds", "run", "--fail"], {})):
        asked = run([*command, "leak.py"], tmp_path, **more)
        assert (asked.returncode, asked.stdout, asked.stderr) == (4, "out\n", ONLY)
    doctor = run([python, "-m", "whoholds", "doctor"], tmp_path)
    assert (doctor.returncode, ONLY.strip() in doctor.stdout, doctor.stderr) == (1, True, "")
    suite = run([python, "-m", "pytest", "-q", "--whoholds=error", "test_it.py"], tmp_path)
    assert (suite.returncode, suite.stderr) == (0, ONLY)


# --- installed, and not asked for -----------------------------------------------------------------------------------------

FOREIGN_SUITE = {
    "pytest.ini": "[pytest]\nfilterwarnings = error\naddopts = -W error -p no:cacheprovider\n",
    "test_foreign.py": """
import sqlite3, sys, threading, unittest

def test_nothing_is_imported_or_patched():
    assert not [name for name in sys.modules if name.startswith("whoholds") and name not in ALLOWED]
    assert type(sqlite3.connect) is type(len) and sqlite3.Connection.__mro__[1] is object
    assert threading.Thread.start.__code__.co_filename == threading.__file__

def test_a_leak_is_nobodys_affair():
    connection = sqlite3.connect(":memory:")
    assert connection.execute("select 1").fetchone() == (1,)
    connection.close()

class TestOld(unittest.TestCase):
    def test_old(self):
        self.assertEqual(1, 1)
""",
}
# Registered by its entry point: pytest imports that module, which imports nothing of the rest but the settings' names.
PLUGIN = [
    "whoholds",
    "whoholds.pytest_plugin",
    "whoholds.settings",
    "whoholds.settings.limits",
    "whoholds.settings.matching",
    "whoholds.settings.parsers",
    "whoholds.switch",
]
PLUGIN += ["whoholds.analysis", "whoholds.analysis.rules", "whoholds_start"]


def run(command: list[str | Path], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it there, with no environment of ours but `more`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return subprocess.run(
        command, cwd=folder, env={**environ, **more}, capture_output=True, text=True, check=False, timeout=170
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give our wheel, built here."""
    needed("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    built = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], ROOT)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    assert {"whoholds.pth", "whoholds.start", "whoholds_start.py"} <= set(zipfile.ZipFile(found).namelist())
    return found


@pytest.mark.once
@pytest.mark.timeout(240)
@pytest.mark.parametrize("version", interpreters.found())
def test_beside_a_foreign_suite_the_wheel_does_nothing_that_is_not_asked(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    """A fresh environment of each Python here, warnings as errors: the suite passes with it as without."""
    venv = tmp_path / "venv"
    made = run([interpreters.found()[version], "-m", "venv", "--without-pip", venv], tmp_path)
    assert made.returncode == 0, made.stderr
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    assert run([*install, "pytest"], tmp_path).returncode == 0
    for name, text in FOREIGN_SUITE.items():
        (tmp_path / name).write_text(text.replace("ALLOWED", repr(PLUGIN)))
    suite = [python, "-m", "pytest", "-q", "test_foreign.py"]
    bare = run(suite, tmp_path)
    assert "3 passed" in bare.stdout, bare.stdout + bare.stderr
    installed = run([*install, "--no-deps", "--no-index", wheel], tmp_path)
    assert installed.returncode == 0, installed.stderr
    beside = run(suite, tmp_path)
    assert (beside.returncode, "3 passed" in beside.stdout) == (0, True), beside.stdout + beside.stderr
    assert "arning" not in beside.stdout + beside.stderr
    quiet = run(
        [python, "-W", "error", "-c", "import sys; print([n for n in sys.modules if 'whoholds' in n])"], tmp_path
    )
    expected = "['whoholds_start']" if version == "3.15" else "[]"
    assert (quiet.stdout.strip(), quiet.stderr) == (expected, "")
    (tmp_path / "leak.py").write_text(LEAKS, encoding="utf-8")
    asked = run([python, "-W", "error", "leak.py"], tmp_path, WHOHOLDS="1")
    assert "whoholds: left-open: " in asked.stderr
