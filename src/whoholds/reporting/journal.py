"""Writes the journal's file: records as JSON lines, each line whole or not at all. `reading` reads them back.

This module must not know the fields of a record: `records` builds them.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from whoholds.reporting.files import open_for_append

if TYPE_CHECKING:
    from pathlib import Path


class Writer:
    """Appends whole lines to a file of mode 0600. At `most` bytes the file is rotated, once, to `<path>.1`.

    When the second file is full too, records are dropped and counted in `dropped`.
    """

    def __init__(self, path: Path, most: float) -> None:
        self.path = path
        self._most = most
        self._file = -1
        self._rotated = False
        self.dropped = 0

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append the records with a single `write`, so that lines of several processes do not mix.

        Raises OSError; never blocks.
        """
        data = "".join(json.dumps(one, separators=(",", ":"), default=str) + "\n" for one in records).encode()
        if not data:
            return
        if self._file < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open_for_append(self.path)
        size = os.fstat(self._file).st_size
        if size and size + len(data) > self._most and (self._rotated or not self._rotate()):
            self.dropped += len(records)
            return
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            self._take_back(written)
            raise

    def _take_back(self, written: int) -> None:
        """Remove the `written` bytes of an unfinished write, as on a full disk: half a line would spoil the next line.

        Nothing is removed if another process has written since.
        """
        size = os.fstat(self._file).st_size
        if written and os.lseek(self._file, 0, os.SEEK_CUR) == size:
            os.ftruncate(self._file, size - written)

    def _rotate(self) -> bool:
        """Move the file to `<path>.1` and go on in a new file.

        Returns False, and keeps the old file, if the file may not be moved, as in a folder without write permission.
        """
        ours = os.fstat(self._file)
        self._rotated = True
        self.close()
        moved = True
        try:
            if os.path.samestat(ours, os.stat(self.path)):  # else another process has moved it already  # noqa: PTH116 - one C call where Path makes ten
                os.replace(self.path, f"{self.path}.1")  # noqa: PTH105 - one C call where Path makes ten
        except FileNotFoundError:
            pass
        except PermissionError:  # on Windows also if another process has the file open
            moved = False
        self._file = open_for_append(self.path)
        return moved

    def close(self) -> None:
        """Close the file. The next write opens it again."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)
