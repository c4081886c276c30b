"""Reads a small text file that a setting names. It must not block, whatever is at the path; autostart imports it."""

from __future__ import annotations

import os
import stat

MOST = 1_000_000  # bytes


def regular_text(path: str) -> str:
    """The text of the file, in UTF-8, with `~` expanded. Links are followed.

    Raises OSError if it cannot be opened or read, and ValueError with the rest of a sentence on what the file must be.
    """
    file = os.open(os.path.expanduser(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # noqa: PTH111 - never raises
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("and this is no regular file")
        if status.st_size > MOST:
            raise ValueError(f"of {MOST} bytes at most")
        try:
            return os.read(file, MOST).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"in UTF-8 ({error})") from None
    finally:
        os.close(file)
