"""Puts a question to a process into a folder, and waits there for the answer, with the rights of the process's user.

`watching.questions` says how both are kept safe from other users. A child of root runs this after it has given up its
rights, and must import nothing then.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from whoholds.watching import questions

if TYPE_CHECKING:
    from whoholds.commands.processes import Process

GLANCE_S = 0.01
LARGEST = 64_000_000  # bytes of an answer


class NoAnswer(Exception):  # noqa: N818 - it says what the matter is
    """The process was not asked, or did not answer; the text says why, and what to do, in one line."""


def answered(process: Process, wait: float, root: str) -> bytes | None:
    """The answer; None if there is none within `wait` seconds. Raises `NoAnswer` if a folder cannot be used.

    `root` stands before each path.
    """
    uid = os.geteuid()
    token = secrets.token_hex(16)
    question = questions.question_to(process.inner_pid, process.namespace, token)
    folders: dict[Path, int] = {}
    refused: list[str] = []
    try:
        for path in _folders(process, root):
            try:
                folders[path] = _question_in(path, question, uid)
            except questions.NotPrivate as error:
                refused.append(f"{path} is not used, for {error}")
            except OSError as error:
                refused.append(f"{path} cannot be used: {error.strerror}")
        answer = _answer_in(folders, token, time.monotonic() + wait) if folders else None
    finally:
        for path, folder in folders.items():
            _tidy(path, folder, question, questions.answer_of(token))
    if answer is None and refused:
        asked = "did not answer" if folders else "cannot be asked"
        raise NoAnswer(f"process {process.pid} {asked}: {'; '.join(refused)}. Remove that, and ask again")
    return answer


def _folders(process: Process, root: str) -> list[Path]:
    """The folders at which the process may look: which one it takes depends on its environment at its start."""
    sessions = (process.environ.get(questions.OF_A_SESSION, ""), f"/run/user/{process.inner_uid}")
    temporary = (process.environ.get("TMPDIR", ""), "")
    paths = [
        questions.in_session(one)
        for one in sessions
        if os.path.isabs(one) and not questions.fault_at(root + one, os.geteuid(), follow=True)
    ]
    paths += [questions.in_temporary(one, process.inner_uid) for one in temporary]
    return [Path(root + path) for path in dict.fromkeys(paths)]


def _question_in(path: Path, question: str, uid: int) -> int:
    """Put the question into the folder, which is made if there is none; gives the folder's descriptor."""
    for last in (False, False, True):
        try:
            path.mkdir(0o700)
        except FileExistsError:
            pass
        try:
            return _question_in_folder(questions.entered(str(path), uid), question)
        except FileNotFoundError:  # another asker has tidied up meanwhile
            if last:
                raise
    raise AssertionError


def _question_in_folder(folder: int, question: str) -> int:
    try:
        questions.new_file(question, folder)
    except OSError:
        os.close(folder)
        raise
    return folder


def _answer_in(folders: dict[Path, int], token: str, until: float) -> bytes | None:
    name = questions.answer_of(token)
    while True:
        for folder in folders.values():
            answer = _read(name, folder)
            if answer is not None:
                return answer
        if time.monotonic() > until:
            return None
        time.sleep(GLANCE_S)


def _read(name: str, folder: int) -> bytes | None:
    """The file's content; None if there is no such file. A link, a pipe or another user's file is none."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(file, "rb") as answer:
        seen = os.fstat(file)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_size > LARGEST:
            return None
        return answer.read(LARGEST)


def _tidy(path: Path, folder: int, *names: str) -> None:
    """Take away what is left of a question, and the folder if nobody else uses it."""
    for name in names:
        try:
            os.unlink(name, dir_fd=folder)
        except OSError:
            pass
    os.close(folder)
    try:
        path.rmdir()
    except OSError:  # somebody else asks, too
        pass
