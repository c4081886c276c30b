"""What the system tells of a process: whose it is, which number it has where it runs, whether it is watched.

On Linux that is read from /proc; elsewhere only whether the process is there can be asked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from whoholds.watching import questions
from whoholds.watching.ticker import NAME

_PROC = Path("/proc")
_STATES = {"T": "stopped (by SIGSTOP or Ctrl-Z)", "t": "stopped by a debugger", "Z": "a zombie: it has ended"}


@dataclass(frozen=True)
class Process:
    """One process of this machine, as this user may see it."""

    pid: int
    uid: int  # of the user whose rights it has now
    gid: int
    inner_pid: int  # its number in its own PID namespace: in a container, the one that it knows itself by
    inner_uid: int  # likewise
    namespace: str
    root: str  # before paths of the process, if its files are not ours: in a container or chroot, or with an own /tmp
    environ: dict[str, str] = field(repr=False)  # with which it was started; empty if this user may not read it
    watched: bool | None  # whether it has a ticking thread; None if that cannot be told

    @property
    def state(self) -> str:
        """`stopped by a debugger`; "" for a process that runs or sleeps."""
        return _STATES.get(_status(self.pid).get("State", "?")[:1], "")


class NoProcess(Exception):  # noqa: N818 - it says what the matter is
    """There is no process with this number; the text says so, and what to do, in one line."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"there is no process {pid} here; `ps -ef | grep python` lists those that run")


def process_of(pid: int) -> Process:
    """The process `pid`. Raises `NoProcess`."""
    status = _status(pid)
    if not status:
        _ask_the_system(pid)
        uid = os.geteuid()
        return Process(pid, uid, os.getegid(), pid, uid, questions.ANY, "", {}, None)
    uid, gid = (int(status[name].split()[1]) for name in ("Uid", "Gid"))
    inner_pid = int(status.get("NSpid", str(pid)).split()[-1])
    elsewhere = any(_link(pid, name) not in ("", _link("self", name)) for name in ("ns/mnt", "root"))
    root = f"/proc/{pid}/root" if elsewhere else ""
    return Process(
        pid,
        uid,
        gid,
        inner_pid,
        _inner(uid, pid),
        questions.namespace_of(str(pid)),
        root,
        _environ(pid),
        is_watched(pid),
    )


def _ask_the_system(pid: int) -> None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        raise NoProcess(pid) from None
    except (PermissionError, OverflowError):
        if _PROC.joinpath("self").exists():  # hidden from this user, by hidepid
            raise NoProcess(pid) from None


def _status(pid: int) -> dict[str, str]:
    try:
        lines = _PROC.joinpath(str(pid), "status").read_text(errors="replace").splitlines()
    except (OSError, ValueError):
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name: value.strip() for name, _, value in pairs}


def _link(pid: int | str, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/{name}")  # noqa: PTH115 - a path that names no file
    except OSError:
        return ""


def _inner(uid: int, pid: int) -> int:
    """The number that `uid` has in the process's own user namespace."""
    try:
        lines = _PROC.joinpath(str(pid), "uid_map").read_text().splitlines()
    except OSError:
        return uid
    for inside, outside, count in (map(int, line.split()) for line in lines):
        if outside <= uid < outside + count:
            return inside + uid - outside
    return uid


def _environ(pid: int) -> dict[str, str]:
    try:
        data = _PROC.joinpath(str(pid), "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in os.fsdecode(data).split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def is_watched(pid: int) -> bool | None:
    """Whether the process has a thread with the name of the ticking one; None if that cannot be told.

    The main thread is another: that of the command `whoholds` has this name, too.
    """
    try:
        threads = list(_PROC.joinpath(str(pid), "task").iterdir())
    except OSError:
        return None
    return any(_name_of(thread) == NAME for thread in threads if thread.name != str(pid))


def _name_of(thread: Path) -> str:
    try:
        return thread.joinpath("comm").read_text(errors="replace").strip()
    except OSError:  # it has ended meanwhile
        return ""


def user_of(pid: int) -> int:
    """The number of the user whose rights the process has; -1 if it is gone."""
    uids = _status(pid).get("Uid", "").split()
    return int(uids[1]) if len(uids) > 1 else -1


def can_be_listed() -> bool:
    """Whether this system says which processes there are, and what their threads are called."""
    return _PROC.joinpath("self", "task").exists()


def watched_processes() -> list[int]:
    """The numbers of all watched processes that this user may see, in order. Takes about 0.1 ms for each process."""
    return sorted(int(path.name) for path in _PROC.iterdir() if path.name.isdecimal() and is_watched(int(path.name)))
