"""Reads source lines in a way that no file can block or crash: it opens only regular files, and it never raises.

A code object may name any file: a FIFO that nobody writes to, an endless device, or a path that cannot be encoded.
"""

from __future__ import annotations

import linecache
import os
import stat
import sys

MOST_BYTES = 10_000_000  # size of the largest file that is read for its source lines


def lines_of(file: str) -> list[str]:
    """The lines of the source file, each with its line end; [] if the file cannot be read."""
    try:
        if _is_known(file) or _is_readable(file):
            return linecache.getlines(file)
    except (OSError, ValueError, SyntaxError):  # the name cannot be encoded, or the file is not text
        pass
    return []


def line_of(file: str, line: int) -> str:
    """Line number `line` (counted from 1) of the source file, or "" if there is no such line."""
    lines = lines_of(file)
    return lines[line - 1] if 1 <= line <= len(lines) else ""


def _is_known(file: str) -> bool:
    """True if linecache has the lines of `file` already: a notebook cell, a doctest, a file that was read before."""
    entry = linecache.cache.get(file)
    return entry is not None and len(entry) > 1  # an entry of length 1 holds only a loader: nothing was read yet


def _is_readable(file: str) -> bool:
    """True if linecache would open a regular file of at most `MOST_BYTES` bytes for this name.

    As linecache does, the function tries the name itself and then each folder of `sys.path`, and none for `<string>`.
    """
    if file.startswith("<") and file.endswith(">"):
        return False
    for path in (file, *(os.path.join(folder, file) for folder in sys.path if isinstance(folder, str))):
        try:
            status = os.stat(path)  # noqa: PTH116 - one C call where Path makes ten
        except OSError:
            if os.path.isabs(file):
                break
            continue
        return stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES
    # The file is not on the disk, but linecache may know a loader for it, as for a module in a zip file.
    return file in linecache.cache
