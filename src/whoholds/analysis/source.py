"""Source lines, read so that no file can stop the reader: only regular files are opened, and nothing is raised.

A code object may name any file: a FIFO that nobody writes to, a device without an end, a path that cannot be encoded.
"""

from __future__ import annotations

import linecache
import os
import stat
import sys

MOST_BYTES = 10_000_000  # of a file that is read for its source lines


def lines_of(file: str) -> list[str]:
    """The lines of the source file, each with its line's end; [] where it cannot be read. In the ticking thread."""
    try:
        if _is_known(file) or _is_readable(file):
            return linecache.getlines(file)
    except (OSError, ValueError, SyntaxError):  # a name that cannot be encoded, a file that is no text
        pass
    return []


def line_of(file: str, line: int) -> str:
    """Line `line`, from 1, of the source file; "" where there is none."""
    lines = lines_of(file)
    return lines[line - 1] if 1 <= line <= len(lines) else ""


def _is_known(file: str) -> bool:
    """Whether its lines are in linecache already: a notebook's cell, a doctest, a file that was read before."""
    entry = linecache.cache.get(file)
    return entry is not None and len(entry) > 1  # one of length 1 stands for a file that is still to be read


def _is_readable(file: str) -> bool:
    """Whether what linecache would open for that name is a regular file: itself, else the first on sys.path."""
    for path in (file, *(os.path.join(folder, file) for folder in sys.path if isinstance(folder, str))):
        try:
            status = os.stat(path)
        except OSError:
            if os.path.isabs(file):
                break
            continue
        return stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES
    # not on the disk: linecache may still have been told by whom it can be loaded, as from a zip file
    return file in linecache.cache
