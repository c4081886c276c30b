"""Puts a question to a process into a folder, and waits there for the answer, with the rights of the process's user.

`watching.questions` says how both are kept safe from other users. A child of root runs this after it has given up its
rights, and must import nothing then.
"""

from __future__ import annotations

import os
import secrets
import signal
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from whoholds.text.visible import visible
from whoholds.watching import questions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.remote.processes import Process

GLANCE_S = 0.01
FORGOTTEN_S = 3600.0  # after that, nobody waits for an answer any more
LARGEST = 64_000_000  # bytes of an answer
TRIES = 3  # to take the folder away while the process begins an answer


class NoAnswer(Exception):  # noqa: N818 - it says what the matter is
    """The process was not asked, or did not answer; the text says why, and what to do, in one line."""


class Exchange:
    """A question that lies where the process looks, until it is closed.

    Raises `NoAnswer` if no folder can be used. `root` stands before each path.
    """

    over = False

    def __init__(self, process: Process, root: str) -> None:
        uid = os.geteuid()
        self.pid = process.pid
        self._token = secrets.token_hex(16)
        self._question = questions.question_to(process.inner_pid, process.namespace, self._token)
        self._folders: dict[Path, int] = {}
        self._refused: list[str] = []
        with undisturbed():
            asked.add(self)
            self._put(_folders(process, root), uid)
        if not self._folders:
            asked.discard(self)
            raise NoAnswer(f"process {process.pid} cannot be asked: {self.refused}")

    def _put(self, paths: list[Path], uid: int) -> None:
        for path in paths:
            try:
                self._folders[path] = _put(path, uid, self._question)
            except questions.NotPrivate as error:
                self._refused.append(f"{visible(str(path))} is not used, for {error}")
            except OSError as error:
                self._refused.append(f"{visible(str(path))} cannot be used: {error.strerror}")

    @property
    def refused(self) -> str:
        """Which folders are not used and why, and what to do; "" if all are."""
        return f"{'; '.join(self._refused)}. Remove that, and ask again" if self._refused else ""

    def poll(self) -> bytes | None:
        """The answer, if it is there; None if not."""
        for folder in self._folders.values():
            answer = content_of(questions.answer_of(self._token), os.geteuid(), folder)
            if answer is not None:
                return answer
        return None

    def close(self) -> None:
        """Take away what is left of question and answer, and the folders if nobody else uses them."""
        with undisturbed():
            asked.discard(self)
            for path, folder in self._folders.items():
                _tidy(path, folder, self._question, questions.part_of(self._token), questions.answer_of(self._token))
            self._folders.clear()


class Asked(Protocol):
    """A question that was put to a process: an `Exchange`, or one that a child puts for root."""

    pid: int
    over: bool  # nobody waits for the answer any more

    @property
    def refused(self) -> str:
        """Which folders are not used and why, and what to do; "" if all are."""

    def poll(self) -> bytes | None:
        """The answer, if it is there; None if not."""

    def close(self) -> None:
        """Take away what is left of question and answer."""


asked: set[Asked] = set()  # what is not closed yet; changed while no signal is handled


def answered(exchange: Asked, wait: float) -> bytes | None:
    """The answer; None if there is none within `wait` seconds. The exchange is closed then.

    Raises `NoAnswer` if there is none and a folder was not used.
    """
    until = time.monotonic() + wait
    try:
        while True:
            answer = exchange.poll()
            if answer is not None:
                return answer
            if exchange.over or time.monotonic() > until:
                break
            time.sleep(GLANCE_S)
    finally:
        exchange.close()
    if exchange.refused:
        raise NoAnswer(f"process {exchange.pid} did not answer: {exchange.refused}")
    return None


@contextmanager
def tidy_at_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block by SystemExit, as Ctrl-C does by an exception, so that no question stays.

    What asks may itself be interrupted, between two of its own steps: what is then left is closed at the end.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]  # not one ignored, by nohup
    try:
        for number in ours:
            signal.signal(number, stop)
        yield
    finally:
        try:
            close_all()
        finally:
            for number in ours:
                signal.signal(number, signal.SIG_DFL)


def close_all() -> None:
    """Take away every question of this process."""
    for exchange in list(asked):
        exchange.close()


@contextmanager
def undisturbed() -> Iterator[set[signal.Signals]]:
    """No signal is handled in the middle of the block, but at its end. Gives the signals that were blocked before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield before  # type: ignore[misc]  # all of these have names
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop(number: int, frame: object) -> NoReturn:
    """The handler of a signal that ends what is under way by SystemExit, so that it is tidied up."""
    del frame
    raise SystemExit(128 + number)


def _folders(process: Process, root: str) -> list[Path]:
    """The folders at which the process may look: which one it takes depends on its environment at its start."""
    sessions = (process.environ.get(questions.OF_A_SESSION, ""), f"/run/user/{process.inner_uid}")
    temporary = (process.environ.get(questions.OF_TEMPORARY, ""), "")
    paths = [
        questions.in_session(folder)
        for folder in sessions
        if os.path.isabs(folder) and not questions.fault_at(root + folder, os.geteuid(), follow=True)
    ]
    paths += [questions.in_temporary(folder, process.inner_uid) for folder in temporary]
    return [Path(root + path) for path in dict.fromkeys(paths)]


def _put(path: Path, uid: int, question: str) -> int:
    """Put the question into the folder, which is made if there is none; gives the folder's descriptor."""
    for last in (False, False, True):
        try:
            path.mkdir(0o700)
        except FileExistsError:
            pass
        try:
            return _put_into(questions.entered(str(path), uid), question)
        except FileNotFoundError:  # another asker has taken the folder away meanwhile
            if last:
                raise
    raise AssertionError


def _put_into(folder: int, question: str) -> int:
    try:
        questions.new_file(question, folder)
    except OSError:
        os.close(folder)
        raise
    return folder


def content_of(path: str, uid: int, folder: int | None = None) -> bytes | None:
    """The content of a file of user `uid`; None if there is no such file. A link, a pipe or another's file is none.

    A relative path begins at the descriptor `folder`.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(file, "rb") as answer:
        seen = os.fstat(file)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != uid or seen.st_size > LARGEST:
            return None
        return answer.read(LARGEST)


def _tidy(path: Path, folder: int, *names: str) -> None:
    """Take away these files and what other askers have forgotten, and the folder if nobody else uses it."""
    for _ in range(TRIES):
        for name in os.listdir(folder):
            try:
                if name in names or _age_s(name, folder) > FORGOTTEN_S:
                    os.unlink(name, dir_fd=folder)
            except OSError:  # another asker tidies up, too, or the process takes its question
                pass
        try:
            path.rmdir()
        except OSError:
            if not set(names).isdisjoint(os.listdir(folder)):  # the process has just begun an answer
                continue
        break  # otherwise somebody else asks, too
    os.close(folder)


def _age_s(name: str, folder: int) -> float:
    return time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
