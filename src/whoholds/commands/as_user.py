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

from whoholds.commands.exchange import LARGEST, NoAnswer, answered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.commands.processes import Process

LATER_S = 5.0  # after the wait, until the child is given up
_ANSWER, _REASON = b"=", b"!"


def answered_as_user(process: Process, wait: float) -> bytes | None:
    """The answer that the process gives its own user; None if there is none within `wait` seconds.

    Raises `NoAnswer` as `exchange.answered` does, and if the child cannot become the user.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.close(reads)
        _ask(process, wait, writes)
    os.close(writes)
    try:
        said = b"".join(_received(reads, time.monotonic() + wait + LATER_S))
    finally:
        os.close(reads)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    kind, text = said[:1], said[1:]
    if kind == _REASON:
        raise NoAnswer(text.decode(errors="replace"))
    return text if kind == _ANSWER else None


def _received(pipe: int, until: float) -> Iterator[bytes]:
    size = 0
    while size <= LARGEST:
        ready, _, _ = select.select([pipe], [], [], max(until - time.monotonic(), 0.0))
        data = os.read(pipe, 1 << 16) if ready else b""
        if not data:
            return
        size += len(data)
        yield data


def _ask(process: Process, wait: float, pipe: int) -> NoReturn:
    """Become the user, ask, write what comes of it, and end. Nothing is imported from the user's files."""
    try:
        sys.path.clear()
        sys.path_importer_cache.clear()
        said = _outcome(process, wait)
        while said:
            said = said[os.write(pipe, said) :]
    finally:
        os._exit(0)


def _outcome(process: Process, wait: float) -> bytes:
    try:
        _become(process)
    except OSError as error:
        why = f"process {process.pid} cannot be asked: root cannot become its user here ({error.strerror})"
        return _REASON + why.encode()
    try:
        answer = answered(process, wait, "")
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
