"""`whoholds run` where a journal is not written whole: the verdict is read from it, and says that it is not known."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.processes.leaks import LEAK, quiet

if TYPE_CHECKING:
    from tests.programs import Programs

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such limits or users")

UNKNOWN = "whoholds: the result is not known, for "
FULL = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"  # no file takes a byte more
WRITTEN = """
import os, sqlite3, time
kept = sqlite3.connect("shop.db")
journal = os.environ["WHOHOLDS_JOURNAL"].replace("{pid}", str(os.getpid()))
while not os.path.exists(journal) or not os.path.getsize(journal):
    time.sleep(0.01)
"""
ENDINGS = {
    "full from the start": FULL + LEAK,
    "full since then": WRITTEN + FULL + LEAK,
    "removed": WRITTEN + "os.unlink(journal)\nkept.close()",
    "removed with its folder": WRITTEN + "import shutil\nshutil.rmtree(os.path.dirname(journal))\nkept.close()",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_not_known_is_not_clean(program: Programs, ending: str) -> None:
    """It says so and why, and fails where a clean run is asked for."""
    program.write(ENDINGS[ending])
    ran = program.whoholds("run", "--fail", "app.py", WHOHOLDS_EVERY="0.02")
    assert (ran.code, ran.out) == (3, "")
    last = [line for line in ran.err.splitlines() if line.startswith("whoholds: ")]
    assert any(line.startswith(UNKNOWN) for line in last), ran.err
    assert any(line.startswith("whoholds: findings may be missing: ") for line in last), ran.err
    assert "clean" not in ran.err
    assert quiet(ran)


def test_without_fail_the_programs_exit_code_stays(program: Programs) -> None:
    """What is not known is said all the same; a failure of the program's own stays its own."""
    for ending, code in (("", 0), ("raise SystemExit(5)", 5)):
        program.write(f"{FULL}{LEAK}{ending}")
        ran = program.whoholds("run", *["--fail"][: bool(code)], "app.py")
        assert (ran.code, UNKNOWN in ran.err) == (code, True)


def test_a_journal_that_may_grow_no_more_is_not_clean(program: Programs) -> None:
    """Beyond twice WHOHOLDS_JOURNAL_MB records are dropped, the end among them."""
    program.write(
        "import sqlite3, time\nfor _ in range(40):\n    sqlite3.connect('shop.db').close()\n    time.sleep(0.01)\n"
    )
    ran = program.whoholds("run", "--fail", "app.py", WHOHOLDS_JOURNAL_MB="0.001", WHOHOLDS_EVERY="0.01")
    assert (ran.code, UNKNOWN in ran.err) == (3, True)


def test_a_comparison_of_what_is_not_known_fails(program: Programs) -> None:
    """No baseline is written, nor a form that says by what it leaves out what is mended; a picture says what is missing."""
    program.write(FULL + LEAK)
    forms = ("--sarif", "out.sarif", "--gitlab", "out.json", "--html", "out.html")
    ran = program.whoholds("run", "--baseline", "known.json", "--update-baseline", *forms, "app.py")
    assert ran.code == 3
    assert "whoholds: --baseline known.json: not written (findings may be missing)" in ran.err
    assert "whoholds: --sarif out.sarif: not written, for findings may be missing" in ran.err
    assert {path.name for path in program.folder.glob("*.*")} == {"app.py", "shop.db", "out.html"}
    assert "findings may be missing" in (program.folder / "out.html").read_text()
    (program.folder / "known.json").write_text('{"version": 1, "findings": []}')
    assert program.whoholds("run", "--baseline", "known.json", "app.py").code == 3


@pytest.mark.parametrize("library", ["", "import sqlite3"])
def test_a_program_that_was_not_watched_is_not_clean(program: Programs, library: str) -> None:
    """The Python of a console script has no whoholds, whatever the program imports."""
    (program.folder / "bin").mkdir()
    python = program.write(f'#!/bin/sh\nexec {program.python} -S "$@"\n', "bin/python")
    serve = program.write(f"#!{python}\n{library}\n", "bin/serve")
    for script in (python, serve):
        script.chmod(0o755)
    ran = program.whoholds("run", "--fail", "serve", PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    assert (ran.code, UNKNOWN in ran.err) == (3, True), ran.err
    assert "whoholds: findings may be missing: whoholds was not active in the program\n" in ran.err


def test_a_program_whose_settings_became_wrong_is_not_clean(program: Programs) -> None:
    """As those of a process that is started in another folder, with another settings file."""
    program.write(f"import os\nos.environ['WHOHOLDS_TOO_MANY'] = 'lots'\n{LEAK}")
    ran = program.whoholds("run", "--fail", "app.py")
    assert (ran.code, UNKNOWN in ran.err, "not watching: WHOHOLDS_TOO_MANY=lots" in ran.err) == (3, True, True)


DROPS = """
import os, sqlite3, sys
for _ in range(2):
    if not os.fork():
        os.setgid(65534)
        os.setuid(65534)
        kept = [sqlite3.connect(":memory:") for _ in range(3)]
        sys.exit()
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_process_that_gives_up_its_rights_is_read(program: Programs) -> None:
    """It writes its own journal into the folder of the run; into one that root has opened it cannot write."""
    program.write(DROPS)
    ran = program.whoholds("run", "--fail", "app.py")
    assert (ran.code, "2 findings (2 errors)" in ran.err) == (3, True)
    ran = program.whoholds("run", "--fail", "--journal", "run.jsonl", "app.py")
    assert (ran.code, UNKNOWN in ran.err) == (3, True)
