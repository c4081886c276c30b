"""Writes the journal's file: records as JSON lines, each line whole or not at all. `reading` reads them back.

This module must not know the fields of a record: `records` builds them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from whoholds.reporting.files import open_for_append
from whoholds.reporting.records import HOST


def path_of(journal: str | os.PathLike[str]) -> Path:
    """The path of the journal of this process: `{pid}` and `{host}` are filled in."""
    return Path(os.fspath(journal).replace("{pid}", str(os.getpid())).replace("{host}", HOST))


_KEPT_WHEN_FULL = ("run", "finding", "aside", "end")  # types of records


class Writer:
    """Appends whole lines to a file of mode 0600. At `most` bytes the file is rotated, once, to `<path>.1`.

    When the second file is full too, records are dropped and counted in `dropped`. A program may close descriptors that
    are not its own, as daemons do, and get the number for a file or socket of its own: before each use the number is
    asked whether it is still the journal's.
    """

    def __init__(self, path: Path, most: float) -> None:
        self.path = path
        self._most = most
        self._file = -1
        self._opened: os.stat_result | None = None
        self._rotated = False
        self.dropped = 0

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append the records with a single `write`, so that lines of several processes do not mix.

        Raises OSError; never blocks.
        """
        data = self._encoded(records)
        if not data:
            return
        if not self._is_open():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        size = os.fstat(self._file).st_size
        if size and size + len(data) > self._most and (self._rotated or not self._rotate()):
            data = self._of_the_full(records, size)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            self._take_back(written)
            raise

    def _of_the_full(self, records: list[dict[str, Any]], size: int) -> bytes:
        """What is written of these records though the file is full, of `size` bytes: the few that all else rests on."""
        kept = [one for one in records if one.get("type") in _KEPT_WHEN_FULL]
        if size + len(self._encoded(kept)) > 2 * self._most:
            kept = [one for one in kept if one.get("type") == "end"]
        self.dropped += len(records) - len(kept)
        return self._encoded(kept)

    def _encoded(self, records: list[dict[str, Any]]) -> bytes:
        """As lines. An `end` record tells how many were dropped."""
        if self.dropped:
            records = [{**one, "dropped": self.dropped} if one.get("type") == "end" else one for one in records]
        return "".join(json.dumps(one, separators=(",", ":"), default=str) + "\n" for one in records).encode()

    def _open(self) -> None:
        self._file = open_for_append(self.path)
        self._opened = os.fstat(self._file)

    def _is_open(self) -> bool:
        """True if the descriptor is the journal's; it is forgotten, and not closed, once the program has it."""
        if self._file >= 0 and self._opened is not None:
            try:
                if os.path.samestat(self._opened, os.fstat(self._file)):
                    return True
            except OSError:  # closed
                pass
        self._file = -1
        return False

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
        self._open()
        return moved

    @property
    def removed(self) -> bool:
        """True if what was written is no longer at its path."""
        try:
            return not os.path.samestat(os.fstat(self._file), os.stat(self.path))  # noqa: PTH116 - as below
        except OSError:
            return True

    def close(self) -> None:
        """Close the file. The next write opens it again."""
        if self._is_open():
            file, self._file = self._file, -1
            os.close(file)
