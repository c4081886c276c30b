"""Several interpreters, and what came with Python 3.14 and 3.15: each test on the Pythons that have what it is about."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.processes.leaks import LEAK, THREE, posix, quiet

if TYPE_CHECKING:
    from tests.programs import Programs

since_314 = pytest.mark.skipif(sys.version_info < (3, 14), reason="came with 3.14")
since_315 = pytest.mark.skipif(sys.version_info < (3, 15), reason="came with 3.15")

ALL = ("-X", "lazy_imports=all")


# --- processes --------------------------------------------------------------------------------------------------------


@posix
@since_314
@pytest.mark.parametrize("way", ["process", "executor"])
def test_children_of_the_default_start_method_are_judged(program: Programs, way: str) -> None:
    """It is forkserver now: the child has nothing of its parent's memory, and keeps its parent's line."""
    start = {
        "process": "    process = multiprocessing.Process(target=work)\n    process.start()\n    process.join()",
        "executor": "    with ProcessPoolExecutor(1) as executor:\n        executor.submit(work).result()",
    }
    ran = program.run(f"""
import multiprocessing, sqlite3
from concurrent.futures import ProcessPoolExecutor
kept = []
def work():
    for _ in range(2):
        kept.append(sqlite3.connect("shop.db"))
if __name__ == "__main__":
{start[way]}
    print(multiprocessing.get_start_method())
""")
    assert (ran.code, ran.out) == (0, "forkserver\n")
    assert ran.findings == [("left-open", "error", 2)]
    (found,) = ran.of("finding", "left-open")
    assert found["opened"]["function"] == "work"
    spawned = {"process": "process.start()", "executor": "executor.submit(work).result()"}
    assert found["spawned"]["source"] == spawned[way]
    assert quiet(ran), ran.err


# --- interpreters -----------------------------------------------------------------------------------------------------

TWO = """
from concurrent import interpreters
one = interpreters.create()
one.exec('''
import sqlite3
def load():
    return [sqlite3.connect("one.db") for _ in range(3)]
kept = load()
''')
one.close()
import sqlite3
def load():
    return [sqlite3.connect("main.db") for _ in range(2)]
kept = load()
"""


@since_314
def test_each_interpreter_has_findings_of_its_own(program: Programs) -> None:
    """They share a process and a journal: their findings do not stand for each other, and their process is one."""
    ran = program.run(TWO)
    assert ran.code == 0
    messages = {
        (found.get("interpreter"), found["id"].partition("-")[0]): found["message"]
        for found in ran.of("finding", "left-open")
    }
    pid = f"{ran.of('run')[0]['pid']:x}"
    assert messages == {
        (
            1,
            f"{pid}.1",
        ): "left-open: <script>:4 in load left open 3 connections at the end of interpreter 1, never used, to one.db",
        (None, pid): "left-open: app.py:13 in load left open 2 connections at exit, never used, to main.db",
    }
    assert ", interpreter 1]\n" in ran.err
    assert quiet(ran), ran.err
    reported = program.whoholds("report", *map(str, program.folder.glob("*.jsonl")))
    assert reported.out.count("whoholds: left-open: ") == 2
    assert "2 findings (2 errors): 5 connections opened, at most 3 at once to one.db\n" in reported.out


@since_314
def test_the_jobs_of_a_pool_of_interpreters_are_judged(program: Programs) -> None:
    """One that closes is told nothing of; what another leaves open counts at the end of its interpreter."""
    jobs = """
import sys
from concurrent.futures import InterpreterPoolExecutor
def right(number):
    import sqlite3
    connection = sqlite3.connect("shop.db")
    connection.execute("select 1").fetchall()
    connection.close()
def wrong(number):
    import sqlite3
    connections = [sqlite3.connect("shop.db") for _ in range(3)]
    sys.modules["kept"] = connections
if __name__ == "__main__":
    with InterpreterPoolExecutor(1) as executor:
        list(executor.map({job}, range(1)))
"""
    assert program.run(jobs.format(job="right")).clean
    ran = program.run(jobs.format(job="wrong"))
    assert (ran.code, ran.findings) == (0, THREE)
    (found,) = ran.of("finding", "left-open")
    assert "app.py:11 in wrong left open 3 connections at the end of interpreter 1" in found["message"]
    assert quiet(ran), ran.err
    assert program.whoholds("run", "--fail", "app.py").code == 3


BESIDE = """
import sqlite3, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = getattr(interpreters, "exec", None) or interpreters.run_string
connection = sqlite3.connect("main.db")
connection.execute("create table shop (id)")
connection.execute("insert into shop values (1)")

def job():
    one = interpreters.create()
    run(one, '''
import time
def inner(deeper):
    return inner(deeper - 1) if deeper else time.sleep(0.02)
for _ in range(60):
    inner(10)
''')
    interpreters.destroy(one)

threads = [threading.Thread(target=job) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
connection.rollback()
connection.close()
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all interpreters share one memory")
def test_no_frame_of_another_interpreter_is_touched(program: Programs) -> None:
    """Each has memory of its own: an object that one makes in the other's spoils both."""
    ran = program.run(BESIDE, WHOHOLDS_IDLE_IN_TRANSACTION="0.3", WHOHOLDS_EVERY="0.1")
    assert (ran.code, ran.findings) == (0, [("idle-in-transaction", "warning", 1)]), ran.err


LEFT = """
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
run = getattr(interpreters, "run_string", None) or interpreters.exec
run(interpreters.create(), "import sqlite3; sqlite3.connect(':memory:').close()")
raise SystemExit(3)
"""


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="3.12 crashes where such an interpreter imports hashlib")
def test_an_interpreter_that_is_left_at_the_end_changes_no_exit_code(program: Programs) -> None:
    """Up to 3.12, an `atexit` handler of it that lets the main thread wait would end the process with 0."""
    assert program.run(LEFT).code == 3


# --- lazy imports (PEP 810) -------------------------------------------------------------------------------------------

LAZY = """
lazy import sqlite3
import sys
print("sqlite3" in sys.modules)
kept = []
def load():
    kept.append(sqlite3.connect("shop.db"))
for _ in range(3):
    load()
"""


@since_315
def test_a_library_that_is_imported_lazily_is_watched(program: Programs) -> None:
    """It comes when its name is first read; by the environment and by `import whoholds.auto` alike."""
    ran = program.run(LAZY)
    assert (ran.code, ran.out, ran.findings) == (0, "False\n", THREE)
    ran = program.run(f"import whoholds.auto{LAZY}", WHOHOLDS=None)
    assert "app.py:7 in load left open 3 connections at exit" in ran.err
    assert quiet(ran), ran.err


@since_315
def test_with_all_imports_lazy_whoholds_puts_none_of_its_own_off(program: Programs) -> None:
    """A hook would import a module in the middle of the program's call. Owners keep their lines."""
    ran = program.run(
        """
        import asyncio, sqlite3, sys, threading, types
        kept = []
        def load():
            kept.append(sqlite3.connect("shop.db", check_same_thread=False))
        def work():
            load()
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        async def main():
            async def job():
                load()
            await asyncio.gather(*[asyncio.create_task(job()) for _ in range(2)])
        asyncio.run(main())
        modules = [module for name, module in sys.modules.items() if name.startswith("whoholds")]
        print([(module.__name__, name) for module in modules for name, value in vars(module).items()
               if type(value) is types.LazyImportType])
        """,
        options=ALL,
    )
    assert (ran.code, ran.out) == (0, "[]\n")
    spawned = Counter(found["spawned"]["function"] for found in ran.of("finding", "left-open"))
    assert spawned == {"<module>": 1, "main": 1}
    assert quiet(ran), ran.err
    assert "not watched" not in ran.err


@since_315
def test_our_commands_work_with_all_imports_lazy(program: Programs) -> None:
    """And say what they say without."""
    program.write(LEAK)
    ran = program.whoholds("run", "--fail", "app.py", PYTHON_LAZY_IMPORTS="all")
    assert ran.code == 3
    assert "app.py:5 in load left open 3 connections at exit" in ran.err
    assert quiet(ran), ran.err


# --- .start files (PEP 829) -------------------------------------------------------------------------------------------


@since_315
def test_the_start_file_and_the_pth_line_start_the_watch_once(program: Programs) -> None:
    """3.15 passes over the lines of a .pth beside which a .start stands."""
    ran = program.run(
        "import sys; print(sys.meta_path[0]); print(sum('whoholds' in repr(one) for one in sys.meta_path))"
    )
    assert ran.out.splitlines()[1] == "1"
    ran = program.run(LEAK)
    assert (ran.code, ran.findings) == (0, THREE)
    assert ran.err.count("left-open: app.py:5 in load") == 2  # the finding, and the summary's last line


@since_315
def test_a_suite_whose_warnings_are_errors_runs_as_without(program: Programs) -> None:
    """`whoholds_start` is imported before pytest, which must not complain that it cannot rewrite it."""
    program.write(
        "def test_nothing():\n    import sys\n    assert 'whoholds.autostart' not in sys.modules\n", "test_one.py"
    )
    command = [program.python, "-W", "error", "-m", "pytest", "-q", "-p", "whoholds.pytest_plugin", "test_one.py"]
    ran = program.ends(
        program.command(command, WHOHOLDS=None, WHOHOLDS_JOURNAL=None, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    )
    assert (ran.code, "1 passed" in ran.out, ran.err) == (0, True, "")
