"""Which processes hold locks on a sqlite file: one read of /proc/locks, on Linux, by device and inode.

Called in the user's thread where a statement was locked out, and nowhere else. It opens neither the database nor any
file beside it, for closing one would drop the process's own locks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.database import Database

PROC_LOCKS = "/proc/locks"
# https://www.sqlite.org/src/file/src/os.h and src/os_unix.c: the bytes on which sqlite sets its locks
_PENDING, _LAST_SHARED = 0x40000000, 0x40000000 + 511  # of the file: PENDING, RESERVED, and 510 bytes of SHARED
_WAL_WRITE = 120  # of the -shm file: the lock of the one writer in WAL mode
_READ_AT_ONCE = 1 << 16
_MOST = 1 << 20  # bytes read at most


class FileLocks(NamedTuple):
    """The processes with a lock on a database's file."""

    writers: tuple[int, ...]  # process ids, without this process
    readers: tuple[int, ...]  # likewise; () in WAL mode, where readers lock nobody out
    own: bool  # whether this process is writing
    wal: bool = False  # whether the file is in WAL mode
    own_reads: bool = False  # whether this process is reading; not known in WAL mode


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of the file, links followed; None if there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path that is text, and may not be one
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def same_database(one: Database, other: Database) -> bool:
    """Whether the two lead to the same data: for files by device and inode, elsewhere by server and name.

    Users may differ, and so may the paths to a file.
    """
    if one is other:
        return True
    if one.system != other.system or one.private or other.private:
        return False
    if one.host or other.host or one.system != "sqlite":
        return one.server == other.server and (one.name == other.name or not one.name or not other.name)
    mine = identity(one.name)
    return one.name == other.name or (mine is not None and mine == identity(other.name))


def locks_on(path: str) -> FileLocks | None:
    """The processes with a lock on the database `path`; None where that cannot be seen, as in some containers."""
    file, memory = identity(path), identity(os.path.realpath(path) + "-shm")
    if file is None:
        return None
    try:
        text = _read(PROC_LOCKS)
    except OSError:
        return None
    writers: dict[int, None] = {}
    readers: dict[int, None] = {}
    for writing, pid, at, first, last in _locks(text):
        if _is_on(at, file, first >= _PENDING, last <= _LAST_SHARED) and first <= _LAST_SHARED and last >= _PENDING:
            (writers if writing else readers)[pid] = None
        elif memory and writing and first <= _WAL_WRITE <= last and _is_on(at, memory, first == _WAL_WRITE, last < 128):  # noqa: PLR2004 - the last of those locks
            writers[pid] = None
    own = os.getpid()
    elsewhere = tuple(pid for pid in writers if pid not in (own, 0, -1))
    reading = () if memory is not None else tuple(pid for pid in readers if pid not in (own, 0, -1))
    return FileLocks(elsewhere, reading, own in writers, memory is not None, memory is None and own in readers)


def name_of(pid: int) -> str:
    """The short name of a process, which is known at once; its command line may have to wait for that process."""
    try:
        return _read(f"/proc/{pid}/comm").strip()
    except OSError:
        return ""


def _is_on(at: tuple[int, int], file: tuple[int, int], *narrow: bool) -> bool:
    """Whether a lock at this device and inode is one on `file`.

    On layered file systems (overlay, btrfs) the kernel's device differs from that of `stat`: there the inode is enough,
    if the bytes locked are just those that only sqlite locks.
    """
    return at == file or (at[1] == file[1] and all(narrow))


def _locks(text: str) -> Iterator[tuple[bool, int, tuple[int, int], int, int]]:
    """(whether it is a writer's, process id, device and inode, first byte, last byte) for each lock that is held."""
    for line in text.splitlines():
        words = line.split()
        if len(words) != 8 or words[1] not in ("POSIX", "OFDLCK"):  # noqa: PLR2004 - … pid, file, first, last
            continue
        try:
            major, minor, inode = words[5].split(":")
            at = os.makedev(int(major, 16), int(minor, 16)), int(inode)
            last = int(words[7]) if words[7] != "EOF" else 1 << 63
            yield words[3] == "WRITE", int(words[4]), at, int(words[6]), last
        except ValueError:  # a kernel that writes them in another way
            continue


def _read(path: str) -> str:
    file = os.open(path, os.O_RDONLY)
    try:
        chunks: list[bytes] = []
        while len(chunks) * _READ_AT_ONCE < _MOST and (chunk := os.read(file, _READ_AT_ONCE)):
            chunks.append(chunk)
        return b"".join(chunks).decode("utf-8", "replace")
    finally:
        os.close(file)
