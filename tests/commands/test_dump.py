"""`whoholds dump`: real processes are asked, by their own user, by another, and by root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import lacking
from tests.programs import Programs
from whoholds.remote import exchange
from whoholds.remote.as_user import UsersExchange
from whoholds.remote.asking import checked, exchange_with
from whoholds.remote.exchange import NoAnswer, tidy_at_signals
from whoholds.remote.processes import is_watched, process_of
from whoholds.watching import questions

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")

SHOP = """\
    import sqlite3, threading, time

    def load_cars(path):
        connection = sqlite3.connect(path)
        connection.execute("create table if not exists cars (id)")
        connection.execute("insert into cars values (1)")
        done.wait()
        time.sleep(600)

    done = threading.Barrier(3)
    for path in ("one.db", "two.db"):
        threading.Thread(target=load_cars, args=(path,), daemon=True).start()
    done.wait()
    print("ready", flush=True)
    time.sleep(600)
"""
ONLY_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root has two users")
FIRST, SECOND = 40001, 40002  # users that no machine has


@pytest.fixture
def programs() -> Iterator[Programs]:
    """Give what runs programs in a folder that every user may enter and write, as in the system's temporary one."""
    folder = Path(tempfile.mkdtemp(prefix="whoholds-dump-", dir="/tmp"))
    folder.chmod(0o1777)
    yield Programs(folder)
    shutil.rmtree(folder)


@contextmanager
def running(programs: Programs, source: str, **settings: object) -> Iterator[subprocess.Popen[str]]:
    """A program that has said that it is ready."""
    settings = {"WHOHOLDS_EVERY": 0.05, "WHOHOLDS_JOURNAL": None, **environment(programs), **settings}
    process = programs.start(source, **settings)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip().startswith("ready"), process.communicate()
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def environment(programs: Programs) -> dict[str, object]:
    """Where questions lie in these tests."""
    return {"TMPDIR": programs.folder, questions.OF_A_SESSION: None}


def dump(programs: Programs, pid: int, *options: str) -> Any:
    """Give what the command says to this user."""
    return programs.whoholds("dump", str(pid), *options, **environment(programs))


def left(programs: Programs) -> list[str]:
    """Give what lies in the temporary folder besides the program's own files.

    A command of another test, such as `whoholds top`, may ask all processes of this machine just now: it ends.
    """
    until = time.monotonic() + 10
    while True:
        names = sorted(one.name for one in programs.folder.iterdir() if one.suffix not in (".py", ".db", ".db-journal"))
        if not names or time.monotonic() > until:
            return names
        time.sleep(0.05)


def test_a_process_says_what_it_holds_and_nothing_is_left_behind(programs: Programs) -> None:
    """As text and as JSON: groups, holders and where they are now, settings, cost."""
    with running(programs, SHOP) as process:
        assert left(programs) == []
        said = dump(programs, process.pid)
        assert (said.code, said.err) == (0, "")
        lines = said.out.splitlines()
        assert lines[0].startswith(f"whoholds: app.py (process {process.pid}) holds 2 connections, ")
        assert "     1  opened   app.py:4 in load_cars             connection = sqlite3.connect(path)" in lines
        assert "        now      at app.py:8 in load_cars, idle in transaction" in lines
        assert lines[-1].startswith("whoholds: the watch has cost ")
        described = json.loads(dump(programs, process.pid, "--json").out)
        assert (described["form"], described["process"]["pid"], described["held"]) == (1, process.pid, 2)
        assert described["settings"]["WHOHOLDS_EVERY"] == "0.05"
        doctor = programs.whoholds("doctor", **environment(programs)).out
        assert f"{process.pid} app.py: the watch has cost " in doctor
        assert left(programs) == []


def test_doctor_says_what_was_open_before_the_watch(programs: Programs) -> None:
    """Of each watched process that holds such connections, how many."""
    source = """\
        import sqlite3, time
        import whoholds

        connections = [sqlite3.connect("one.db") for _ in range(3)]
        whoholds.start()
        connections.append(sqlite3.connect("two.db"))
        print("ready", flush=True)
        time.sleep(600)
    """
    with running(programs, source, WHOHOLDS=None) as process, running(programs, SHOP) as other:
        lines = programs.whoholds("doctor", **environment(programs)).out.splitlines()
    (late,) = (line for line in lines if line.startswith(f"  {process.pid:>7} app.py: "))
    (early,) = (line for line in lines if line.startswith(f"  {other.pid:>7} app.py: "))
    assert late.endswith(" recorded; 3 connections opened before whoholds came")
    assert early.endswith(" recorded")


def test_each_child_of_a_fork_is_asked_by_itself(programs: Programs) -> None:
    """As in a server that forks its workers, which open connections of their own."""
    source = """\
        import os, sqlite3, time

        def work(path):
            connection = sqlite3.connect(path)
            os.write(written, b".")
            time.sleep(600)

        read, written = os.pipe()
        parents = sqlite3.connect("parent.db")
        children = [os.fork() or work(f"{number}.db") for number in range(2)]
        os.read(read, 1), os.read(read, 1)
        print("ready", *children, flush=True)
        time.sleep(600)
    """
    with running(programs, source) as process:
        children = dump_of_ready(process)
        held = [json.loads(dump(programs, pid, "--json").out) for pid in (process.pid, *children)]
    assert [one["databases"][0]["name"] for one in held] == ["parent.db", "0.db", "1.db"]
    assert [one["process"]["pid"] for one in held] == [process.pid, *children]


def dump_of_ready(process: subprocess.Popen[str]) -> list[int]:
    """Give the child processes of a program, as the system knows them."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(child) for child in children.split()]


@pytest.mark.once
def test_a_program_under_gevent_answers(programs: Programs) -> None:
    """Its greenlets are the holders; the thread that answers is one of the system's."""
    source = """\
        from gevent import monkey; monkey.patch_all()
        import gevent, sqlite3

        def load_cars():
            connection = sqlite3.connect("one.db")
            gevent.sleep(600)

        gevent.spawn(load_cars)
        gevent.sleep(0)
        print("ready", flush=True)
        gevent.sleep(600)
    """
    pytest.importorskip("gevent")
    with running(programs, source) as process:
        described = json.loads(dump(programs, process.pid, "--json").out)
    (holder,) = described["databases"][0]["groups"][0]["holders"]
    assert holder["kind"] == "greenlet"


def test_who_cannot_answer_gets_one_line_that_says_why(programs: Programs) -> None:
    """No such process; not watched; nothing opened yet; switched off; stopped."""

    def said(pid: int) -> str:
        ran = dump(programs, pid, "--wait", "0.2")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        return str(ran.err)

    idle = "import time; print('ready', flush=True); time.sleep(600)"
    assert (
        said(1 << 30) == f"whoholds: there is no process {1 << 30} here; `ps -ef | grep python` lists those that run\n"
    )
    with running(programs, idle, WHOHOLDS=None) as process:
        assert "it is not watched (WHOHOLDS is not set in its environment)" in said(process.pid)
    with running(programs, idle) as process:
        assert "it has opened no connection yet" in said(process.pid)
    with running(programs, SHOP, WHOHOLDS_DUMP=0) as process:
        assert "WHOHOLDS_DUMP=0, which switches this off" in said(process.pid)
    with running(programs, SHOP) as process:
        process.send_signal(signal.SIGSTOP)
        assert said(process.pid).endswith(" s: it is stopped (by SIGSTOP or Ctrl-Z)\n")
    assert left(programs) == []


def test_an_answer_begun_while_the_asker_tidies_up_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has just made its file when the asker has seen the folder, and would leave it for ever."""
    listed = os.listdir

    def seen(folder: int) -> list[str]:
        names = listed(folder)
        if names == ["question"]:
            questions.new_file("part", folder)
        return names

    folder = tmp_path / "asked"
    folder.mkdir(0o700)
    entered = questions.entered(str(folder), os.geteuid())
    questions.new_file("question", entered)
    monkeypatch.setattr(os, "listdir", seen)
    exchange._tidy(folder, entered, "question", "part")
    assert not folder.exists()


def opened_by(pid: int) -> set[Path]:
    """Give the files and folders that a process has open."""
    opened = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # it has closed it meanwhile
            opened.add(file.readlink())
    return opened


@pytest.mark.parametrize("command", [("dump", "--wait", "60"), ("top", "--once")])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_that_a_signal_ends_leaves_no_question(
    programs: Programs, command: tuple[str, ...], name: str
) -> None:
    """As `timeout` does, or a terminal that is closed: the process would answer nobody."""
    number = getattr(signal, name)
    folder = programs.folder / f"whoholds-{os.geteuid()}"
    with running(programs, SHOP) as process:
        while not is_watched(process.pid):  # stopped before its ticking thread has a name, nobody would ask it
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
        more = [str(process.pid)] if command[0] == "dump" else []
        asker = programs.command(
            [sys.executable, "-m", "whoholds", *command, *more], WHOHOLDS=None, **environment(programs)
        )
        while folder not in opened_by(asker.pid):
            assert asker.poll() is None
        asker.send_signal(number)
        assert programs.ends(asker).code == 128 + number
        until = time.monotonic() + 20  # another test's command may ask the same process
        while folder.exists():
            assert time.monotonic() < until, list(folder.iterdir())
            time.sleep(0.01)


def test_a_question_that_nobody_keeps_yet_is_taken_away_too(programs: Programs) -> None:
    """A signal may come between the making of a question and the block that waits for its answer."""
    folder = programs.folder / f"whoholds-{os.geteuid()}"
    with running(programs, SHOP) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(SystemExit), tidy_at_signals():
            exchange_with(process_of(process.pid), 60)
            assert folder.exists()
            raise SystemExit  # as the signal's handler does
        assert not folder.exists()


def test_an_answer_cannot_write_on_the_terminal() -> None:
    """Control characters and line ends of names are shown as escapes; only a report has lines."""
    said = {"type": "holders", "name": "Thread\n\x1b[31m", "rows": [{"report": "one\ntwo\x07"}], "held": 1}
    assert checked(json.dumps(said).encode(), 1) == {
        "type": "holders",
        "name": "Thread\\n\\x1b[31m",
        "rows": [{"report": "one\ntwo\\x07"}],
        "held": 1,
    }
    nested = b'{"type": "holders", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for answer in (b"[]", b"{", b'{"type": "other"}', nested):
        with pytest.raises(NoAnswer, match="an answer that is not whoholds's"):
            checked(answer, 1)


def test_a_name_of_the_process_cannot_write_on_the_terminal(programs: Programs) -> None:
    """The path of its temporary folder is of its own choice, and no such folder need be there."""
    with running(programs, SHOP, TMPDIR="/nowhere\x1b]0;title\x07") as process:
        said = programs.whoholds("dump", str(process.pid), "--wait", "0.1", **environment(programs))
        assert "/nowhere\\x1b]0;title\\x07/whoholds-" in said.err


@pytest.mark.once
def test_a_program_in_c_code_that_lets_no_thread_run_does_not_answer(programs: Programs) -> None:
    """How long it was waited for is said, and why that can be; afterwards it answers again."""
    source = """\
        import ctypes, sqlite3, sys, time
        connection = sqlite3.connect("one.db")
        time.sleep(0.5)
        print("ready", flush=True)
        ctypes.PyDLL(None).sleep(3)  # holds the GIL
        time.sleep(600)
    """
    with running(programs, source) as process:
        ran = dump(programs, process.pid, "--wait", "0.5")
        assert ran.code == 1
        assert f"process {process.pid} did not answer in 0.5 s: it is watched, but C code may keep" in ran.err
        assert dump(programs, process.pid, "--wait", "20").code == 0


# --- other users ------------------------------------------------------------------------------------------------------

# A user of its own cannot import from root's folders: what is needed is imported before.
AS_FIRST = (
    """\
    import json, os, secrets, sqlite3, threading, time
    import whoholds.watching.holders, encodings.idna, socket
    os.setgroups([]); os.setgid(40001); os.setuid(40001)
"""
    + SHOP
)


def as_second(source: str) -> str:
    """Give what Python code prints that runs as the second user."""
    child = (
        "import os, sys, json; from pathlib import Path\n"
        f"os.setgroups([]); os.setgid({SECOND}); os.setuid({SECOND})\n{source}"
    )
    ran = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.once
@ONLY_ROOT
def test_root_asks_as_the_processs_user(programs: Programs) -> None:
    """Folder and question belong to that user while they are there, and nothing is left."""
    with running(programs, AS_FIRST) as process:
        said = dump(programs, process.pid, "--json")
        assert said.code == 0, said.err
        described = json.loads(said.out)
        assert (described["process"]["pid"], described["held"]) == (process.pid, 2)
        seen = programs.whoholds("top", "--once", "--filter", str(process.pid), **environment(programs))
        assert [line.split()[:3] for line in seen.out.splitlines()[2:] if str(process.pid) in line] == [
            [str(process.pid), "app.py", "2"]
        ]
        assert left(programs) == []
        process.send_signal(signal.SIGSTOP)
        asker = programs.command(
            [sys.executable, "-m", "whoholds", "dump", str(process.pid)], WHOHOLDS=None, **environment(programs)
        )
        folder = programs.folder / f"whoholds-{FIRST}"
        while not (folder.exists() and list(folder.iterdir())):
            assert asker.poll() is None
        assert {one.stat().st_uid for one in (folder, *folder.iterdir())} == {FIRST}
        refused = as_second(
            f"folder = Path({str(folder)!r})\n"
            "for attempt in (lambda: os.listdir(folder), lambda: (folder / 'x').touch(), lambda: folder.rename('/tmp/x'),\n"
            "                lambda: folder.rmdir()):\n"
            "    try: attempt()\n"
            "    except PermissionError: print('refused')\n"
        )
        assert refused.split() == ["refused"] * 4
        process.send_signal(signal.SIGCONT)
        assert programs.ends(asker).code == 0


@pytest.mark.once
@ONLY_ROOT
def test_a_user_cannot_keep_root_waiting(programs: Programs) -> None:
    """What asks for root runs as the user, who may stop it."""
    with running(programs, AS_FIRST) as process:
        process.send_signal(signal.SIGSTOP)
        asking = UsersExchange(process_of(process.pid), 60)
        child = asking._child
        os.kill(child, signal.SIGSTOP)
        asking.close()
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


@pytest.mark.once
@ONLY_ROOT
def test_root_that_may_open_no_more_files_says_so(programs: Programs) -> None:
    """In one line, and `whoholds top` goes on with the others."""
    with running(programs, AS_FIRST) as process:
        import resource  # not on Windows, where this file is read, too

        seen, most = process_of(process.pid), resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most[1]))
        try:
            with pytest.raises(NoAnswer, match=f"process {process.pid} cannot be asked: Too many open files"):
                exchange_with(seen, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, most)


@pytest.mark.once
@ONLY_ROOT
def test_another_user_can_neither_ask_nor_plant_an_answer(programs: Programs) -> None:
    """A folder or a link that the other user has put in the way is refused with a word, and nothing happens there."""
    planted = programs.folder / f"whoholds-{FIRST}"
    with running(programs, AS_FIRST) as process:
        asks = (
            "import whoholds.remote.asking as asking\n"
            f"os.setgroups([]); os.setgid({SECOND}); os.setuid({SECOND})\n"
            "from whoholds.remote.exchange import NoAnswer\n"
            f"try: asking.answer_of({process.pid})\n"
            "except NoAnswer as error: print(error)\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", f"import os\n{asks}"], capture_output=True, text=True, timeout=30, check=False
        )
        assert ran.stdout.startswith(f"process {process.pid} belongs to user {FIRST}: ask as that user or as root"), ran
        assert " -m whoholds dump " in ran.stdout, "sudo does not search the PATH of a virtual environment"
        question = questions.question_to(process.pid, questions.namespace_of(), "token")
        as_second(f"folder = Path({str(planted)!r}); folder.mkdir(0o700); (folder / {question!r}).touch()")
        said = dump(programs, process.pid, "--wait", "0.3")
        assert said.code == 1
        assert f"{planted} is not used, for it belongs to user {SECOND}, not to user {FIRST}" in said.err
        assert [one.name for one in planted.iterdir()] == [question]
        shutil.rmtree(planted)
        roots = programs.folder / "roots"
        roots.mkdir(0o700)
        as_second(f"Path({str(planted)!r}).symlink_to({str(roots)!r})")
        said = dump(programs, process.pid, "--wait", "0.3")
        assert (said.code, list(roots.iterdir())) == (1, [])
        assert f"{planted} is not used, for it is a link" in said.err
        planted.unlink()
        assert dump(programs, process.pid).code == 0


@pytest.mark.once
@ONLY_ROOT
@pytest.mark.parametrize("imported", [True, False])
def test_a_process_that_has_changed_its_root_is_asked_there(programs: Programs, imported: bool) -> None:  # noqa: FBT001 - a parameter
    """Without a /proc, and perhaps without the files of its Python, which is said then."""
    (programs.folder / "tmp").mkdir(0o1777)
    source = f"""\
    import os, sqlite3, time
    {"import json, whoholds.watching.holders" if imported else ""}
    os.chroot({str(programs.folder)!r})
    os.chdir("/")
    connection = sqlite3.connect("one.db")
    print("ready", flush=True)
    time.sleep(600)
"""
    with running(programs, source, TMPDIR=None) as process:
        said = dump(programs, process.pid, "--wait", "5")
        assert said.code == (0 if imported else 1)
        wanted = "holds 1 connection, " if imported else "could not say what it holds: ModuleNotFoundError in whoholds"
        assert wanted in said.out + said.err
        assert list((programs.folder / "tmp").iterdir()) == []


@pytest.mark.once
@ONLY_ROOT
def test_a_process_in_a_container_is_asked_by_its_number_there_and_from_outside(programs: Programs) -> None:
    """It is process 1 in its PID namespace, with a temporary folder of its own."""
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        lacking("namespaces may not be made here")
    programs.write(SHOP)
    command = [
        *inside,
        "sh",
        "-c",
        f"mount -t tmpfs tmpfs /mnt && export TMPDIR=/mnt && exec {sys.executable} app.py",
    ]
    process = programs.command(command, WHOHOLDS_EVERY=0.05, WHOHOLDS_JOURNAL=None, XDG_RUNTIME_DIR=None)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        (pid,) = dump_of_ready(process)
        enter = ["nsenter", "-t", str(pid), "-p", "-m", sys.executable, "-m", "whoholds", "dump", "1", "--json"]
        within = programs.ends(programs.command(enter, WHOHOLDS=None, WHOHOLDS_JOURNAL=None))
        outside = dump(programs, pid, "--json")
        for said in (within, outside):
            assert said.code == 0, said.err
            described = json.loads(said.out)
            assert (described["process"]["pid"], described["held"]) == (1, 2)
        assert list(Path(f"/proc/{pid}/root/mnt").iterdir()) == []
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
