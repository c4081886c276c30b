"""Root asks for another user, in a child that becomes that user first.

The child has given up every right of root before it touches a path: whatever that user has put in the way, nothing
happens that the user could not do. If the process has other files than we have, as in a container, the child goes
there first.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from whoholds.remote.exchange import LARGEST, Exchange, NoAnswer, answered, asked, close_all, stop, undisturbed

if TYPE_CHECKING:
    from whoholds.remote.processes import Process

TIDY_S = 1.0  # for the child to tidy up
GLANCE_S = 0.001
_ANSWER, _REASON = b"=", b"!"


class UsersExchange:
    """A question that a child puts as the user of the process. It has the form of an `Exchange`.

    The child waits `wait` seconds for the answer.
    """

    refused = ""  # the child says that itself
    over = False

    def __init__(self, process: Process, wait: float) -> None:
        self.pid = process.pid
        self._said = bytearray()
        with undisturbed() as before:
            try:
                self._reads, writes = os.pipe()
                try:
                    self._child = os.fork()
                except OSError:
                    os.close(self._reads)
                    os.close(writes)
                    raise
            except OSError as error:  # root has too many files or processes
                raise NoAnswer(f"process {process.pid} cannot be asked: {error.strerror}") from None
            if not self._child:
                os.close(self._reads)
                _ask(process, wait, writes, before)
            asked.add(self)
            os.close(writes)

    def poll(self) -> bytes | None:
        """The answer, if it is there; None if not. Raises `NoAnswer` if a folder cannot be used."""
        while self._reads >= 0 and select.select([self._reads], [], [], 0)[0]:
            data = os.read(self._reads, 1 << 16)
            self._said += data
            if not data or len(self._said) > LARGEST:
                os.close(self._reads)
                self._reads = -1
        if self._reads >= 0:
            return None
        kind, text = bytes(self._said[:1]), bytes(self._said[1:])
        if kind == _REASON:
            raise NoAnswer(text.decode(errors="replace"))
        self.over = kind != _ANSWER
        return text if kind == _ANSWER else None

    def close(self) -> None:
        """Let the child tidy up, if it still waits, and end; its user may have stopped it, or let its calls hang."""
        with undisturbed():
            asked.discard(self)
            if self._reads >= 0:
                os.close(self._reads)
                self._reads = -1
            if self._child:
                os.kill(self._child, signal.SIGTERM)
                until = time.monotonic() + TIDY_S
                while not os.waitpid(self._child, os.WNOHANG)[0]:
                    if time.monotonic() > until:
                        os.kill(self._child, signal.SIGKILL)
                    time.sleep(GLANCE_S)
                self._child = 0


def _ask(process: Process, wait: float, pipe: int, signals: set[signal.Signals]) -> NoReturn:
    """Become the user, ask, write what comes of it, and end; `signals` are those to block from now on.

    Nothing is imported from the user's files.
    """
    try:
        asked.clear()  # those are the parent's
        signal.signal(signal.SIGTERM, stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        sys.path.clear()
        sys.path_importer_cache.clear()
        said = _outcome(process, wait)
        while said:
            said = said[os.write(pipe, said) :]
    finally:
        try:
            close_all()
        finally:
            os._exit(0)


def _outcome(process: Process, wait: float) -> bytes:
    try:
        _become(process)
    except OSError as error:
        why = f"process {process.pid} cannot be asked: root cannot become its user here ({error.strerror})"
        return _REASON + why.encode()
    try:
        answer = answered(Exchange(process, ""), wait)
    except NoAnswer as error:
        return _REASON + str(error).encode(errors="backslashreplace")
    return _ANSWER + answer if answer is not None else b""


def _become(process: Process) -> None:
    if process.root:
        os.chroot(process.root)
        os.chdir("/")
    os.setgroups([])
    os.setgid(process.gid)
    os.setuid(process.uid)
    os.umask(0o077)
