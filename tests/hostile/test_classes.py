"""Threads, tasks and executors of a program's own, which refuse or raise: each prints what it prints without us."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.programs import FOREIGN

if TYPE_CHECKING:
    from pathlib import Path

THREADS = """
import sqlite3, sys, threading

class Loud(threading.Thread):
    def __getattr__(self, name):
        raise LookupError(name)

class Louder(threading.Thread):
    def __getattribute__(self, name):
        if "whoholds" in name:
            raise LookupError(name)
        return super().__getattribute__(name)

class Strict(threading.Thread):
    def __setattr__(self, name, value):
        if not name.startswith(("_", "daemon", "name")) or "whoholds" in name:
            raise TypeError(f"{name} is none of a thread's")
        super().__setattr__(name, value)

class Nameless(threading.Thread):
    @property
    def name(self):
        raise RuntimeError("nobody asks for a name")
    @name.setter
    def name(self, value):
        pass

class Numbered(threading.Thread):
    name = 7

def work():
    try:
        connection = sqlite3.connect(":memory:")
        print(connection.execute("select 7").fetchone())
        connection.close()
    except BaseException as error:
        print(repr(error))

for kind in (Loud, Louder, Strict, Nameless, Numbered):
    thread = kind(target=work)
    thread.start()
    thread.join()
    print(kind.__name__, sorted(one for one in dir(kind) if "whoholds" in one))
"""

TASKS = """
import asyncio, sqlite3

async def work():
    connection = sqlite3.connect(":memory:")
    await asyncio.sleep(0)
    connection.close()
    return "fine"

class Raises(asyncio.Task):
    def get_name(self):
        raise LookupError("no name")
    def __getattr__(self, name):
        raise LookupError(name)

class Refuses(asyncio.Task):
    __slots__ = ()
    def __setattr__(self, name, value):
        if not name.startswith("_asyncio"):
            raise TypeError(name)
        super().__setattr__(name, value)

class Foreign:
    # a task without asyncio's class, as some libraries have it
    def __init__(self, coro, loop):
        self._inner = asyncio.Task(coro, loop=loop)
    def __getattr__(self, name):
        if name in ("get_name", "done") or "whoholds" in name:
            raise RuntimeError(name)
        return getattr(self._inner, name)
    def __await__(self):
        return self._inner.__await__()

async def main():
    loop = asyncio.get_running_loop()
    for kind in (Raises, Refuses, Foreign):
        loop.set_task_factory(lambda own, coro, kind=kind, **rest: kind(coro, loop=own))
        try:
            print(kind.__name__, await loop.create_task(work()))
        except BaseException as error:
            print(kind.__name__, repr(error))
    loop.set_task_factory(None)

asyncio.run(main())
"""

EXECUTORS = """
import sqlite3
from concurrent.futures import ThreadPoolExecutor

class Secret(ThreadPoolExecutor):
    @property
    def _max_workers(self):
        import threading
        if threading.current_thread() is not threading.main_thread():
            raise LookupError("not from a worker")
        return 2
    @_max_workers.setter
    def _max_workers(self, value):
        pass

def work(number):
    connection = sqlite3.connect(":memory:")
    connection.close()
    return 8 // number

with Secret(2) as executor:
    print(executor.submit(work, 2).result(10))
    try:
        executor.submit(work, 0).result(10)
    except ZeroDivisionError as error:
        print(repr(error))
    print(list(executor.map(work, (1, 2, 4), timeout=10)))
"""

CONNECTIONS = """
import os, sqlite3, sys, warnings

class Once:
    asked = 0
    def __fspath__(self):
        Once.asked += 1
        return [":memory:"].pop() if Once.asked == 1 else 1 // 0

connection = sqlite3.connect(Once())
print("fine", Once.asked)
connection.close()

class Picky(sqlite3.Connection):
    def __getattribute__(self, name):
        if "whoholds" in name:
            raise LookupError(name)
        return super().__getattribute__(name)

connection = sqlite3.connect(":memory:", factory=Picky)
print(connection.execute("select 7").fetchone())
connection.close()

# Arguments by place: taken up to 3.12, deprecated from 3.13 on, refused from 3.15 on.
for connect in (sqlite3.connect, sqlite3.Connection):
    for places in ((5.0,), (5.0, 0, None, True, Picky, 128, False), (1,) * 9):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                connection = connect(":memory:", *places)
                print(type(connection).__name__)
                connection.close()
            except TypeError as error:
                print(error)
            print([(str(each.message), each.lineno) for each in warned])
"""


def says(source: str, folder: Path, **environment: str) -> tuple[int, str]:
    """The exit code and the output of a program."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**environ, **environment},
        timeout=60,
    )
    return ran.returncode, ran.stdout


@pytest.mark.parametrize(
    "source", [THREADS, TASKS, EXECUTORS, CONNECTIONS], ids=["threads", "tasks", "executors", "connections"]
)
def test_a_programs_own_kinds_do_what_they_do_without_us(source: str, tmp_path: Path) -> None:
    """Whatever their attributes raise; none of their code runs because of us."""
    bare = says(source, tmp_path)
    assert bare[0] == 0
    assert says(source, tmp_path, WHOHOLDS="1") == bare
