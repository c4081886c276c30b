"""Programs that die of "database is locked", or do not: what they print, and what their exception carries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.programs import Programs

DIES = """
import sqlite3, threading
written, done = threading.Event(), threading.Event()
def load():
    connection = sqlite3.connect("shop.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    written.set()
    done.wait(20)
    connection.execute("ROLLBACK")
    connection.close()
def save(connection):
    connection.execute("CREATE TABLE cars (price)")
thread = threading.Thread(target=load)
thread.start()
written.wait(20)
connection = sqlite3.connect("shop.db", timeout=0.01)
try:
    save(connection)
finally:
    done.set()
    thread.join()
    connection.close()
"""
NOTE = (
    "whoholds: a transaction was open on the connection opened at app.py:5 in load, spawned at app.py:14 in <module>\n"
)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions take no notes")
@pytest.mark.parametrize(("notes", "expected"), [("1", 1), ("0", 0)])
def test_the_exception_carries_one_note_unless_that_is_switched_off(
    program: Programs, notes: str, expected: int
) -> None:
    """With the opening and the spawn line, and no number, host or user; nothing else of it has changed."""
    ran = program.run(DIES, WHOHOLDS="journal", WHOHOLDS_NOTES=notes)
    assert ran.code == 1
    assert ran.err.count(NOTE) == expected
    assert ran.err.count("whoholds: ") == expected
    assert "sqlite3.OperationalError: database is locked" in ran.err
    assert ran.findings == [("locked", "error", 1)]


def test_the_exception_is_the_librarys_own(program: Programs) -> None:
    """Its type, arguments, codes and the program's lines of its traceback are as without whoholds."""
    shown = """
except sqlite3.OperationalError as error:
    import traceback
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "app.py" in frame.filename]
    print(type(error), error.args, [frame.name for frame in frames])
    print(getattr(error, "sqlite_errorcode", 5), error.__cause__, error.__context__)
finally:"""
    source = DIES.replace("\nfinally:", shown)
    bare, watched = program.run(source, WHOHOLDS=None, WHOHOLDS_JOURNAL=None), program.run(source, WHOHOLDS="journal")
    assert bare.out == watched.out != ""
    assert (bare.code, watched.code, watched.err) == (0, 0, "")


@pytest.mark.parametrize("timeout", ["0.5", "0"])
def test_whoever_waits_and_then_succeeds_hears_nothing(program: Programs, timeout: str) -> None:
    """A busy handler waits, or a loop tries again; the journal has no word of it."""
    source = DIES.replace("timeout=0.01", f"timeout={timeout}").replace(
        "    save(connection)\n",
        """    threading.Timer(0.1, done.set).start()
    while True:
        try:
            save(connection)
            break
        except sqlite3.OperationalError:
            done.wait(0.02)
""",
    )
    ran = program.run(source, WHOHOLDS_EVERY="0.05")
    assert ran.clean, ran.err
