"""Opens files that only the user may read (mode 0600), without following symbolic links and without blocking.

Somebody else may have put something else at the path: a link to another file, a FIFO that nobody reads, a device. Such
a path is refused with an OSError that names what is there and what is accepted.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PRIVATE: Final = 0o600
_CAREFUL: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)  # without it, Windows writes \r\n for \n
)
_TAKES: Final = "it takes a regular file of this user's"
_KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


_HEAD: Final = 65536  # bytes from which a kind of file is told


class Kind(NamedTuple):
    """A kind of file that whoholds writes, and may therefore write over."""

    name: str  # "a journal"
    begins: Callable[[bytes], bool]  # whether a file that begins with these bytes is of this kind


def at_home(path: str | os.PathLike[str]) -> Path:
    """The path with `~` or `~user` replaced by that home folder; unchanged if there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path as `at_home` returns it, made absolute unless the working directory was deleted."""
    given = at_home(path)
    try:
        return given.absolute()
    except OSError:
        return given


def open_for_append(path: Path) -> int:
    """A file descriptor that appends to `path`; creates the file if it does not exist. Raises OSError; never blocks."""
    return _opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def write_whole(path: Path, data: bytes) -> None:
    """Make `data` the whole content of `path`, and create missing folders. Raises OSError; never blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _opened(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.ftruncate(file, 0)
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def refuse_other(path: Path, kind: Kind) -> None:
    """Raise OSError if a file at `path` has contents that are not of this kind: they would be lost, or spoiled.

    A link, a folder and the like are for whoever opens the file to refuse.
    """
    if os.path.islink(path):  # noqa: PTH114 - never raises
        return
    try:
        with open_for_reading(path) as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):  # there is none, or it cannot be read: whoever writes it says so
        return
    if head and not kind.begins(head):
        raise OSError(f"{path} is not {kind.name}; what is in it would be lost")


def try_to_write(path: Path, kind: Kind) -> None:
    """Raise OSError if `path` cannot be written, or has contents that are not of this kind.

    Missing folders are created. A part of the path with `{` is not tried.
    """
    refuse_other(path, kind)
    if os.path.lexists(path):
        os.close(open_for_append(path))
        return
    folder = next(parent for parent in path.parents if "{" not in parent.name)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def open_for_reading(path: Path, *, pipes: bool = False) -> IO[bytes]:
    """The file, open for reading; symbolic links are followed. The caller closes it.

    Raises OSError if it is not a regular file or, with `pipes`, a pipe. Never blocks; reading from a pipe waits for
    whoever writes into it, and a pipe into which nobody writes is empty.
    """
    file = os.open(path, os.O_RDONLY | (_CAREFUL & ~getattr(os, "O_NOFOLLOW", 0)))
    status = os.fstat(file)
    if pipes and stat.S_ISFIFO(status.st_mode):
        os.set_blocking(file, True)
    elif not stat.S_ISREG(status.st_mode):
        os.close(file)
        raise OSError(f"{path} is {_kind_of(status.st_mode)}; it takes a regular file")
    return open(file, "rb")  # noqa: PTH123 - a descriptor, which the caller closes


def _opened(path: Path, flags: int) -> int:
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():
        raise OSError(f"{path} is a symbolic link; {_TAKES}")
    try:
        file = os.open(path, flags | _CAREFUL, PRIVATE)
    except OSError as error:
        kind = _kind_there(path) if error.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK) else ""
        if not kind:
            raise
        raise OSError(f"{path} is {kind}; {_TAKES}") from None
    try:
        _refuse_others(path, os.fstat(file))
        if hasattr(os, "fchmod") and stat.S_IMODE(os.fstat(file).st_mode) != PRIVATE:
            os.fchmod(file, PRIVATE)
    except BaseException:
        os.close(file)
        raise
    return file


def _refuse_others(path: Path, status: os.stat_result) -> None:
    """Raise OSError unless the file is regular, belongs to this user and has no second name (hard link)."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is {_kind_of(status.st_mode)}; {_TAKES}")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise OSError(f"{path} belongs to user {status.st_uid}; {_TAKES}")
    if status.st_nlink > 1:
        raise OSError(f"{path} has {status.st_nlink} names (hard links); {_TAKES} with one name")


def _kind_there(path: Path) -> str:
    try:
        return _kind_of(path.lstat().st_mode)
    except OSError:
        return ""


def _kind_of(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "no regular file")
