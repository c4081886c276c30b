"""Where a question to a watched process lies, what it is called, and how the folder is entered safely.

Question and answer are files in a folder that only one user can enter: `whoholds` below XDG_RUNTIME_DIR, else
`whoholds-UID` below the temporary folder. The asker makes the folder and the question; the process looks at the folder
once a look, takes the question away and leaves an answer, which the asker takes away. Both sides open the folder by its
own descriptor, without following a link, check its owner and mode, and name every file relative to that descriptor:
whatever another user renames or links, no path of theirs is followed.

This module must import nothing that a watched process does not have anyway.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

OF_A_SESSION = "XDG_RUNTIME_DIR"
OF_TEMPORARY = "TMPDIR"
PLACES = (OF_A_SESSION, OF_TEMPORARY)  # the variables that say where the folder is
TEMPORARY = "/tmp"  # noqa: S108 - the folder below it is checked
MODE = 0o600  # of questions and answers
ANY = "any"  # stands for the PID namespace where the asker cannot tell it
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_OLD_FILE = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class NotPrivate(OSError):  # noqa: N818 - it says what the folder is
    """The folder is not this user's alone; the text says what is wrong with it."""


def folder_of(environ: Mapping[str, str], uid: int) -> str:
    """The folder at which a process of user `uid` looks."""
    session = environ.get(OF_A_SESSION, "")
    if os.path.isabs(session) and not fault_at(session, uid, follow=True):
        return in_session(session)
    return in_temporary(environ.get(OF_TEMPORARY, ""), uid)


def in_session(folder: str) -> str:
    """The folder for questions below an XDG_RUNTIME_DIR."""
    return os.path.join(folder, "whoholds")


def in_temporary(folder: str, uid: int) -> str:
    """The folder for questions below a temporary folder."""
    return os.path.join(folder if os.path.isabs(folder) else TEMPORARY, f"whoholds-{uid}")


def fault_at(path: str, uid: int, *, follow: bool = False) -> str:
    """What is wrong with a folder that `uid` alone should be able to enter; "" if nothing is."""
    try:
        return fault_of(os.stat(path, follow_symlinks=follow), uid)  # noqa: PTH116 - pathlib is not imported
    except OSError as error:
        return error.strerror or "it cannot be read"


def fault_of(seen: os.stat_result, uid: int) -> str:
    """What is wrong with a folder of which `os.stat` says this; "" if nothing is."""
    if not stat.S_ISDIR(seen.st_mode):
        return "it is not a folder"
    if seen.st_uid != uid:
        return f"it belongs to user {seen.st_uid}, not to user {uid}"
    if stat.S_IMODE(seen.st_mode) & 0o077:
        return f"its mode is {stat.S_IMODE(seen.st_mode):04o}: others may enter it (it must be 0700)"
    return ""


def entered(path: str, uid: int) -> int:
    """A descriptor of the folder `path`, which only `uid` can enter.

    Raises `NotPrivate` if another user made it or may enter it, or if it is a link; other OSErrors if there is none.
    """
    try:
        folder = os.open(path, _FOLDER)
    except OSError as error:
        seen = os.lstat(path)
        fault = "it is a link" if stat.S_ISLNK(seen.st_mode) else fault_of(seen, uid)
        if fault:
            raise NotPrivate(fault) from error
        raise
    fault = fault_of(os.fstat(folder), uid)
    if fault:
        os.close(folder)
        raise NotPrivate(fault)
    return folder


def new_file(name: str, folder: int) -> None:
    """Make the empty file `name` in the folder of this descriptor. Raises OSError, also if it exists."""
    file = os.open(name, _NEW_FILE, MODE, dir_fd=folder)
    try:
        os.fchmod(file, MODE)
    finally:
        os.close(file)


def fill(name: str, folder: int, data: bytes) -> None:
    """Write into the file `name`, which `new_file` has made. Raises OSError."""
    file = os.open(name, _OLD_FILE, dir_fd=folder)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def namespace_of(process: str = "self") -> str:
    """The number of the PID namespace of a process, in which its own number counts; `ANY` where it cannot be told.

    Containers that share a temporary folder each have a process 1.
    """
    try:
        return str(os.stat(f"/proc/{process}/ns/pid").st_ino)  # noqa: PTH116 - likewise
    except OSError:
        return ANY


def question_to(pid: int, namespace: str, token: str) -> str:
    """The name of a question to the process that has this number in its own PID namespace."""
    return f"ask-{namespace}-{pid}-{token}"


def token_of(name: str, pid: int, namespace: str) -> str:
    """The token of a question to the process `pid` of `namespace`; "" if the file is nothing of the kind."""
    for known in (namespace, ANY):
        start = question_to(pid, known, "")
        if name.startswith(start):
            return name[len(start) :]
    return ""


def answer_of(token: str) -> str:
    """The name of the file with the answer."""
    return f"answer-{token}"


def part_of(token: str) -> str:
    """The name of that file until it is whole."""
    return f"{answer_of(token)}.part"
