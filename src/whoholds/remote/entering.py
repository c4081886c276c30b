"""Enters another process by `sys.remote_exec` (PEP 768) and brings back its answer; says in one line why it cannot.

The script lies in a folder that only the process's user can enter, and is removed whatever happens.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from whoholds.remote.exchange import content_of
from whoholds.remote.processes import NoProcess, Process, process_of

NEEDED = (3, 14)
GLANCE_S = 0.02
_PACKAGES = ("whoholds", "wrapt")
_INSTEAD = "Instead, restart the program with WHOHOLDS=1, or ask the database: `whoholds server DSN`"
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class NotEntered(Exception):  # noqa: N818 - it says what the matter is
    """The process was not entered, or did not answer; the text says why, and what to do, in one line."""


def enter(pid: int, what: str, wait: float) -> dict[str, Any]:
    """What `remote.attached.<what>` gives in the process `pid`. Raises `NotEntered`.

    `wait` is for how many seconds at most it may take until the process runs Python code again.
    """
    remote_exec = getattr(sys, "remote_exec", None)
    if remote_exec is None:
        both = "whoholds attach needs Python 3.14 or later, here and in the process"
        raise NotEntered(f"{both}; this is {_HERE}. {_INSTEAD}")
    if not hasattr(os, "geteuid"):
        raise NotEntered(f"whoholds attach works on Linux and macOS only. {_INSTEAD}")
    try:
        process = process_of(pid)
    except NoProcess as error:
        raise NotEntered(str(error)) from None
    _check(process)
    folder = Path(tempfile.mkdtemp(prefix="whoholds-attach-"))
    try:
        return _entered(remote_exec, process, what, folder, wait)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(process: Process) -> None:
    """Raise `NotEntered` where it is clear before anything is tried that the process cannot be entered."""
    pid, me = process.pid, os.geteuid()
    if me not in (0, process.uid):
        raise NotEntered(
            f"process {pid} belongs to user {process.uid}: attach as that user or as root, "
            f"with `sudo {sys.executable} -m whoholds attach {pid}`"
        )
    if process.state:
        raise NotEntered(f"process {pid} is {process.state}: it runs no Python code")
    if "PYTHON_DISABLE_REMOTE_DEBUG" in process.environ:
        raise NotEntered(f"process {pid} was started with PYTHON_DISABLE_REMOTE_DEBUG, and lets nobody in. {_INSTEAD}")
    version = _version_of(pid)
    if version is not None and version != _HERE:
        why = "attach works from Python 3.14 on" if _numbers(version) < NEEDED else "both must be the same"
        how = _INSTEAD if _numbers(version) < NEEDED else f"Run whoholds attach with Python {version}"
        raise NotEntered(f"process {pid} runs Python {version}, and this is {_HERE}: {why}. {how}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _version_of(pid: int) -> str | None:
    """The Python that a process runs, by the names of its files: `3.12`; None if they do not say."""
    try:
        names = [os.readlink(f"/proc/{pid}/exe"), Path(f"/proc/{pid}/maps").read_text(errors="replace")]  # noqa: PTH115 - the name is wanted
    except OSError:
        return None
    for name in names:
        seen = re.search(r"python(3\.\d+)", name)
        if seen:
            return seen[1]
    return None


def _entered(remote_exec: Any, process: Process, what: str, folder: Path, wait: float) -> dict[str, Any]:
    script = folder / "script.py"
    file = os.open(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as text:
        text.write(_script(what, folder))
    if os.geteuid() != process.uid:  # root asks: the process must be able to read the one and write into the other
        for path in (script, folder):
            os.chown(path, process.uid, process.gid)
    if process.root and not _sees(process, script):
        raise NotEntered(
            f"process {process.pid} sees other files than this one, as in a container: run whoholds attach inside of it"
        )
    try:
        remote_exec(process.pid, str(script))
    except PermissionError:
        raise NotEntered(_not_allowed(process)) from None
    except (OSError, RuntimeError) as error:
        raise NotEntered(_refused(process, error)) from None
    try:
        answer = _answer(process, folder / "answer.json", time.monotonic() + wait)
    except BaseException:  # Ctrl-C, or a signal
        _take_back(remote_exec, process)
        raise
    if answer is None:
        began = (folder / "answer.part").exists()
        _take_back(remote_exec, process)
        raise NotEntered(_why_not(process, wait, began=began))
    return answer


def _script(what: str, folder: Path) -> str:
    """The text that the process runs: the file `in_process`, and a call of it with the order."""
    specs = {name: find_spec(name) for name in _PACKAGES}
    places = {
        name: str(Path(spec.origin).parents[1]) for name, spec in specs.items() if spec is not None and spec.origin
    }
    order = {"what": what, "folder": str(folder), "places": places}
    return f"{Path(__file__).with_name('in_process.py').read_text(encoding='utf-8')}\n\nrun({order!r})\n"


def _sees(process: Process, script: Path) -> bool:
    try:
        return os.path.samefile(f"{process.root}{script}", script)  # noqa: PTH121 - two paths
    except OSError:
        return False


def _not_allowed(process: Process) -> str:
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:
        scope = "0"
    because = "it takes the right to trace processes (CAP_SYS_PTRACE)"
    if scope != "0":
        because = f"kernel.yama.ptrace_scope is {scope}"
    as_root = f"attach as root: `sudo {sys.executable} -m whoholds attach {process.pid}`"
    if os.geteuid() == 0:
        as_root = "in a container, start that with `--cap-add SYS_PTRACE`"
    return f"the system does not let this user into process {process.pid}: {because}; {as_root}"


def _refused(process: Process, error: Exception) -> str:
    said = str(error)
    if "not enabled" in said:
        return f"process {process.pid} lets nobody in: its Python has remote debugging switched off. {_INSTEAD}"
    if process_is_over(process):
        return f"process {process.pid} has ended meanwhile"
    return f"process {process.pid} cannot be entered ({said}): is it a program of Python {_HERE}? {_INSTEAD}"


def process_is_over(process: Process) -> bool:
    """Whether there is no such process any more."""
    try:
        process_of(process.pid)
    except NoProcess:
        return True
    return False


def _answer(process: Process, path: Path, until: float) -> dict[str, Any] | None:
    """The answer, once it is there; None if there is none in time, or the process has ended."""
    while True:
        data = content_of(str(path), process.uid)
        if data is not None:
            try:
                answer = json.loads(data)
            except (ValueError, RecursionError):
                answer = None
            return answer if isinstance(answer, dict) else {"type": "fault", "reason": "its answer is not whoholds's"}
        if time.monotonic() > until or process_is_over(process):
            return None
        time.sleep(GLANCE_S)


def _take_back(remote_exec: Any, process: Process) -> None:
    """Put an empty script in the place of ours, which is about to be removed, for the moment when the process wakes."""
    try:
        remote_exec(process.pid, os.devnull)
    except (OSError, RuntimeError):
        pass


def _why_not(process: Process, wait: float, *, began: bool) -> str:
    if process_is_over(process):
        return f"process {process.pid} has ended meanwhile"
    if began:
        return (
            f"process {process.pid} was entered, and was not done within {wait:g} s: it may be watched in a moment, "
            f"which `whoholds dump {process.pid}` shows; --wait SECONDS waits longer"
        )
    return (
        f"process {process.pid} ran no Python code in its main thread within {wait:g} s: it is in a call of C code, "
        f"which waits or computes. Nothing was left in it; --wait SECONDS waits longer. "
        f"`py-spy dump --pid {process.pid}` shows where it is"
    )
