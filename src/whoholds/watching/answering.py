"""A watched process and `whoholds dump`: one glance at a folder each look, and an answer where somebody asks.

Called in the ticking thread. Nothing is written unless a question lies in the folder, which only this user can enter:
see `watching.questions`.
"""

from __future__ import annotations

import os
from time import time_ns
from typing import TYPE_CHECKING, Any

from whoholds.ledger import faults
from whoholds.watching import questions

if TYPE_CHECKING:
    from collections.abc import Callable

GRAIN_NS = 1_000_000_000  # a folder that changed so short a time ago may change again within the same mark of its clock
LOOKS = 10  # after so many, the process asks again which user it runs as and which folder that user has


class Answering:
    """Looks at the folder for questions, and answers those to this process with what `describe` gives.

    `describe` returns the description as a JSON-ready object; it may raise.
    """

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        # as it is now: the asker knows only the environment with which the process was started
        self._environ = {name: os.environ.get(name, "") for name in questions.PLACES}
        self._uid = -1
        self._folder = ""
        self._looks = 0
        self._namespace = questions.namespace_of()  # a process that has changed its root may see no /proc later
        self._seen = -1  # when the folder had last changed, in nanoseconds since the epoch, when it was last read

    def look(self) -> None:
        """Answer what is asked. Never raises; a fault of ours is noted."""
        try:
            if self._looks % LOOKS == 0:
                self._find()
            self._looks += 1
            # usually there is no folder, and `stat` would raise, which takes as long again
            if os.access(self._folder, os.F_OK):
                changed = os.stat(self._folder, follow_symlinks=False).st_mtime_ns  # noqa: PTH116 - pathlib is not imported
                if changed != self._seen:
                    self._read(changed)
        except OSError:  # gone meanwhile
            pass
        except Exception as error:  # noqa: BLE001 - our fault must not end the looking
            faults.note(error, "whoholds.dump")

    def _find(self) -> None:
        """Find the folder, and find it again: a server may give up the rights of root, and sessions end and begin."""
        uid = os.geteuid()
        folder = questions.folder_of(self._environ, uid)
        if (uid, folder) != (self._uid, self._folder):
            self._uid, self._folder, self._seen = uid, folder, -1

    def _read(self, changed: int) -> None:
        try:
            folder = questions.entered(self._folder, self._uid)
        except questions.NotPrivate:  # somebody else's: the asker says so
            self._seen = changed
            return
        except OSError:  # gone, or the process may open no more files for now
            return
        try:
            namespace = questions.namespace_of()
            pid, namespace = os.getpid(), self._namespace if namespace == questions.ANY else namespace
            for name in os.listdir(folder):  # noqa: PTH208 - of a descriptor
                token = questions.token_of(name, pid, namespace)
                if token:
                    self._answer(name, token, folder)
        finally:
            os.close(folder)
        self._seen = changed if abs(time_ns() - changed) > GRAIN_NS else -1

    def _answer(self, question: str, token: str, folder: int) -> None:
        """Take the question away, and put the answer where the asker waits for it: whole or not at all.

        The file for the answer comes before the question goes: an empty folder is taken away by any other asker.
        """
        part = questions.part_of(token)
        try:
            questions.new_file(part, folder)
        except FileNotFoundError:  # the asker waits no more, and has taken the folder away
            return
        except OSError as error:  # a full disk
            faults.note(error, "whoholds.dump")
            _remove(question, folder)
            return
        try:
            os.unlink(question, dir_fd=folder)
        except OSError:  # the asker waits no more, or it is no file
            _remove(part, folder)
            return
        try:
            import json

            answer = json.dumps(self._describe(), separators=(",", ":"), default=str)
        except Exception as error:  # noqa: BLE001 - the asker is told, and the next look says it
            faults.note(error, "whoholds.dump")  # after a change of root or user perhaps nothing can be imported
            answer = f'{{"type": "fault", "reason": "{type(error).__name__} in whoholds"}}'
        try:
            questions.fill(part, folder, f"{answer}\n".encode())
            os.rename(part, questions.answer_of(token), src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:  # the asker waits no more, and has taken the file away
            pass
        except OSError as error:  # a full disk
            faults.note(error, "whoholds.dump")
            _remove(part, folder)


def _remove(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        pass


def answering(describe: Callable[[], dict[str, Any]]) -> Callable[[], None] | None:
    """What the ticking thread calls after each look; None where the system has no users whose folders are private."""
    if not hasattr(os, "geteuid") or os.stat not in os.supports_follow_symlinks or os.open not in os.supports_dir_fd:
        return None
    return Answering(describe).look
