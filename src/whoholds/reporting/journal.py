"""The journal's file: records written as JSON lines, each whole or not at all, and read back.

Knows no record's fields but `type`, and of a finding's `id` and `pid`; `records` builds them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Writer:
    """Appends whole lines to a file of mode 0600; rotates once, to `<path>.1`, when it has grown to `most` bytes."""

    def __init__(self, path: Path, most: float) -> None:
        self.path = path
        self._most = most
        self._file = -1
        self._rotated = False
        self.dropped = 0

    def write(self, records: list[dict[str, Any]]) -> None:
        """One `write` call for all, so that lines of several processes do not mix. Raises OSError."""
        data = "".join(json.dumps(one, separators=(",", ":"), default=str) + "\n" for one in records).encode()
        if not data:
            return
        if self._file < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
        size = os.fstat(self._file).st_size
        if size and size + len(data) > self._most:
            if self._rotated:
                self.dropped += len(records)
                return
            self._rotate()
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            self._take_back(written)
            raise

    def _take_back(self, written: int) -> None:
        """The disk is full: half a line would spoil what comes after it. Not where another process has written."""
        size = os.fstat(self._file).st_size
        if written and os.lseek(self._file, 0, os.SEEK_CUR) == size:
            os.ftruncate(self._file, size - written)

    def _rotate(self) -> None:
        ours = os.fstat(self._file)
        os.close(self._file)
        self._rotated = True
        try:
            if os.path.samestat(ours, os.stat(self.path)):  # else another process has done it
                os.replace(self.path, f"{self.path}.1")
        except FileNotFoundError:
            pass
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass
class Journal:
    """What a journal file said."""

    records: list[dict[str, Any]] = field(default_factory=list)
    cut: str = ""  # why reading stopped before the end, "" if it did not

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The last word of every finding, in the order in which they first came."""
        latest: dict[tuple[Any, Any], dict[str, Any]] = {}
        for record in self.records:
            if record["type"] == "finding":
                latest[record.get("pid"), record["id"]] = record
        return list(latest.values())


def read(path: str | Path) -> Journal:
    """The journal at `path`, and before it the file it was rotated to. Raises OSError; a cut line ends the reading."""
    journal = Journal()
    older = Path(f"{path}.1")
    for file in ([older] if older.exists() else []) + [Path(path)]:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if not line.endswith(b"\n") or not isinstance(record, dict) or "type" not in record:
                    journal.cut = f"{file} is cut or damaged at line {number}; read up to there"
                    break
                journal.records.append(record)
    return journal
