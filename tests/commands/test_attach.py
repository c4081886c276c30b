"""`whoholds attach`: real processes that know nothing of whoholds are entered, and left as they were."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.interpreters import found, here
from whoholds.commands import attach as command
from whoholds.remote import entering, in_process
from whoholds.remote.processes import process_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src"
NEW = [version for version in found() if version >= "3.14"]
VERSION = here() if here() in NEW else min(NEW, default="")
PYTHON = found().get(VERSION)  # not every machine has one, and CI may not
needs_314 = pytest.mark.skipif(PYTHON is None, reason="there is no Python 3.14 or later here")

# It knows nothing of whoholds, and tells of itself whenever the file `ask` appears.
SHOP = """
import gc, json, os, sqlite3, sys, threading, time

CARS = [sqlite3.connect("cars.db", check_same_thread=False) for _ in range(3)]
CARS[0].execute("BEGIN IMMEDIATE")
connects = [sqlite3.connect]  # a global would be set to the stand-in while the watch lasts


class Repository:
    def __init__(self):
        self.connection = sqlite3.connect("stock.db")


repository = Repository()


def load_cars(over):
    conn = sqlite3.connect("cars.db")
    over.wait()
    conn.close()


over = threading.Event()
threading.Thread(target=load_cars, args=(over,), daemon=True).start()


def state():
    ours = ("whoholds", "wrapt")
    return {
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ours),
        "path": sys.path,
        "finders": len(sys.meta_path),
        "cache": sorted(path for path in sys.path_importer_cache if "whoholds" in path),
        "threads": threading.active_count(),
        "callbacks": len(gc.callbacks),
        "names": vars(sys.modules["__main__"]).keys() & {"run", "order", "Finder", "answer_to"} == set(),
        "patched": sqlite3.connect is not connects[0],
    }


def tell(file):
    with open(file + ".part", "w") as told:
        json.dump(state(), told)
    os.rename(file + ".part", file)


tell("before")
SLEEP
while not os.path.exists("end"):
    if os.path.exists("ask"):
        os.unlink("ask")
        tell("told")
    time.sleep(0.01)
"""


class Shop:
    """A process of Python 3.14 that holds connections."""

    def __init__(self, folder: Path, *, sleep: str = "", python: Path | None = PYTHON, **more: Any) -> None:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        self.folder = folder
        (folder / "shop.py").write_text(SHOP.replace("SLEEP", sleep))
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "PYTHON"))}
        environ.update(more.pop("environ", {}))
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [str(python), "-I", "-S", "shop.py"], cwd=folder, env=environ, stdout=self.log, stderr=self.log, **more
        )
        try:
            self.before = self.wait("before")
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> str:
        return str(self.process.pid)

    def wait(self, file: str) -> dict[str, Any]:
        """Give what it tells of itself in that file."""
        until = time.monotonic() + 30
        while not (self.folder / file).exists():
            assert time.monotonic() < until
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        said: dict[str, Any] = json.loads((self.folder / file).read_text())
        (self.folder / file).unlink()
        return said

    def now(self) -> dict[str, Any]:
        """Give what it tells of itself now."""
        (self.folder / "ask").touch()
        return self.wait("told")

    @property
    def printed(self) -> str:
        return (self.folder / "log").read_text()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def attach(*arguments: str, python: Path | str | None = PYTHON, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `whoholds attach` and give its result; it leaves no folder of its own behind."""
    temporary = more.pop("temporary", None)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "PYTHON"))}
    environ["PYTHONPATH"] = str(SOURCE)
    if temporary is not None:
        environ["TMPDIR"] = str(temporary)
    done = subprocess.run(
        [str(python), "-B", "-m", "whoholds", "attach", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )
    if temporary is not None:
        assert list(Path(temporary).iterdir()) == []
    return done


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Give a temporary folder, of which the test sees that it is empty again."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Give a shop that runs."""
    running = Shop(tmp_path / "shop")
    yield running
    running.end()


@needs_314
@pytest.mark.once
def test_a_look_at_a_process_leaves_nothing_behind(shop: Shop, temporary: Path) -> None:
    """What it holds, by who refers to it; no module, thread, finder, path or patch stays, and nothing is printed."""
    done = attach("--once", shop.pid, temporary=temporary)
    assert done.stderr == ""
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "whoholds: 5 connections open to a file that is not known" in lines
    assert "3  held at  shop.py (global CARS[…])" in lines
    assert "state    2 not in a transaction, 1 in a transaction" in lines
    assert "1  held at  shop.py (global repository.connection)" in lines
    assert any(line.endswith("in load_cars (variable conn)") for line in lines)
    assert lines[-1].endswith("seen once; nothing was left in it")
    assert done.returncode == 0
    assert shop.now() == shop.before
    described = json.loads(attach("--once", "--json", shop.pid).stdout)
    assert (described["type"], described["held"], described["watched"]) == ("holders", 5, False)
    assert shop.now() == shop.before
    assert shop.printed == ""


@needs_314
@pytest.mark.once
def test_a_watch_begins_and_is_taken_out_again(shop: Shop, temporary: Path) -> None:
    """It is there once, answers to a look, and ends; each asked for twice is an error."""
    begun = attach(shop.pid, temporary=temporary)
    assert f"process {shop.pid} is watched now; it had 5 connections open already" in begun.stdout, begun.stderr
    assert shop.now()["patched"]
    assert shop.now()["path"] == shop.before["path"]
    again = attach(shop.pid, temporary=temporary)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == (
        f"whoholds: process {shop.pid} is watched already: `whoholds dump {shop.pid}` asks it who holds what\n"
    )
    seen = attach("--once", shop.pid, temporary=temporary)
    assert "3  held at  shop.py (global CARS[…])" in seen.stdout
    assert "it is being watched" in seen.stdout
    ended = attach("--stop", shop.pid, temporary=temporary)
    assert f"process {shop.pid} is watched no more" in ended.stdout, ended.stderr
    now = shop.now()
    left = ("patched", "threads", "callbacks", "finders", "path")
    assert [now[name] for name in left] == [shop.before[name] for name in left]
    over = attach("--stop", shop.pid, temporary=temporary)
    assert (over.returncode, over.stderr) == (
        1,
        f"whoholds: process {shop.pid} is not watched: there is nothing to stop\n",
    )
    assert shop.printed == ""


@needs_314
@pytest.mark.once
def test_a_process_that_runs_no_python_code_is_left_as_it_is(tmp_path: Path, temporary: Path) -> None:
    """One line after the time; and when it wakes, nothing of ours is run, and nothing is printed."""
    shop = Shop(tmp_path / "shop", sleep="time.sleep(2)")
    try:
        done = attach("--wait", "0.3", shop.pid, temporary=temporary)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"process {shop.pid} ran no Python code in its main thread within 0.3 s" in done.stderr
        assert shop.now() == shop.before
        assert shop.printed == ""
    finally:
        shop.end()


@needs_314
@pytest.mark.once
def test_who_cannot_be_entered_gets_one_line(tmp_path: Path, temporary: Path) -> None:
    """A process that forbids it, is stopped, is no Python, has ended; or runs an older Python."""
    forbids = Shop(tmp_path / "forbids", environ={"PYTHON_DISABLE_REMOTE_DEBUG": "1"})
    stopped = Shop(tmp_path / "stopped")
    other = subprocess.Popen(["sleep", "60"])
    try:
        os.kill(stopped.process.pid, signal.SIGSTOP)
        expected = {
            forbids.pid: "was started with PYTHON_DISABLE_REMOTE_DEBUG",
            stopped.pid: "is stopped (by SIGSTOP or Ctrl-Z)",
            str(other.pid): "cannot be entered",
            str(2**22 - 7): "there is no process",
        }
        for pid, words in expected.items():
            done = attach("--once", pid, temporary=temporary)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
            assert words in done.stderr
    finally:
        for one in (forbids, stopped):
            one.end()
        other.kill()
        other.wait()


@needs_314
@pytest.mark.once
@pytest.mark.skipif(not any(version < "3.14" for version in found()), reason="there is no older Python here")
def test_an_older_python_cannot_be_entered(tmp_path: Path, temporary: Path) -> None:
    """The line names both versions, and what to do instead."""
    version, python = next(item for item in found().items() if item[0] < "3.14")
    older = Shop(tmp_path / "older", python=python)
    try:
        done = attach("--once", older.pid, temporary=temporary)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"runs Python {version}, and this is {VERSION}: attach works from Python 3.14 on" in done.stderr
        assert older.now() == older.before
    finally:
        older.end()


NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
DAEMON: dict[str, Any] = {"user": 2, "group": 2, "extra_groups": []}


def may_run(who: dict[str, Any], source: Path) -> bool:
    """Whether that user can run Python 3.14 and read whoholds there."""
    command = [str(PYTHON), "-B", "-c", "import whoholds"]
    try:
        done = subprocess.run(command, env={"PYTHONPATH": str(source)}, capture_output=True, check=False, **who)
    except OSError:
        return False
    return done.returncode == 0


@needs_314
@pytest.mark.once
@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="needs root, to be two users")
def test_root_enters_anothers_process_and_another_user_does_not(tmp_path: Path) -> None:
    """Root's script lies where the process can read it; another user, and whom the system refuses, get one line."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)
    if not may_run(NOBODY, SOURCE):
        pytest.skip("another user can read neither this Python nor this folder")
    shop = Shop(tmp_path / "shop", **NOBODY)
    closed = Shop(
        tmp_path / "closed", sleep="import ctypes; ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE", **NOBODY
    )
    try:
        done = attach("--once", shop.pid)
        assert "3  held at  shop.py (global CARS[…])" in done.stdout, done.stderr
        assert shop.now() == shop.before
        refused = attach("--once", shop.pid, **DAEMON)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert f"process {shop.pid} belongs to user 65534: attach as that user or as root" in refused.stderr
        assert closed.now()
        refused = attach("--once", closed.pid, **NOBODY)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert f"the system does not let this user into process {closed.pid}" in refused.stderr
    finally:
        shop.end()
        closed.end()


@pytest.mark.once
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python can enter")
def test_an_older_whoholds_says_what_it_needs() -> None:
    """One line: which Python it is, and what to do instead."""
    done = attach("--once", str(os.getpid()), python=sys.executable)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "whoholds: whoholds attach needs Python 3.14 or later, here and in the process; "
        f"this is {here()}. Instead, restart the program with WHOHOLDS=1, or ask the database: `whoholds server DSN`\n"
    )


def test_an_answer_that_nobody_waits_for_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked takes the folder away meanwhile, and the process notices nothing."""

    def answer_to(order: dict[str, Any]) -> dict[str, Any]:
        shutil.rmtree(order["folder"])
        return {}

    monkeypatch.setattr(in_process, "answer_to", answer_to)
    (tmp_path / "asked").mkdir()
    in_process.run({"folder": str(tmp_path / "asked")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_process_that_was_entered_and_is_not_done_may_be_watched(tmp_path: Path) -> None:
    """It is not said that nothing was left in it."""

    def begins(_: int, script: str) -> None:
        Path(script).with_name("answer.part").touch()

    with pytest.raises(entering.NotEntered, match=r"was entered, and was not done within 0\.05 s"):
        entering._entered(begins, process_of(os.getpid()), "watch", tmp_path, 0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_command_that_is_interrupted_takes_its_order_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the process would look for a script that is no longer there, when it wakes."""
    ordered: list[str] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entering, "content_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        entering._entered(lambda _, script: ordered.append(script), process_of(os.getpid()), "watch", tmp_path, 5)
    assert ordered == [str(tmp_path / "script.py"), os.devnull]


@pytest.mark.parametrize("answer", [{"type": []}, {"type": "started"}, {"type": "stopped"}, {"type": "holders"}])
def test_an_answer_in_another_form_is_one_line(
    answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever runs a process decides what it answers."""
    monkeypatch.setattr(command, "enter", lambda *_: answer)
    options = Namespace(pid=4711, once=False, stop=False, wait=None, json=False, color="never")
    assert command.attach(options) == 1
    assert capsys.readouterr().err.startswith("whoholds: process 4711 answered in another form (")
