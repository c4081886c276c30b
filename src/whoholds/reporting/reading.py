"""Reads a journal as a stream: one record at a time, in constant memory, whatever the file contains.

A line that cannot be understood never raises: it is counted and named by its number. A journal may be cut off, damaged
or written by another version, or the file may not be a journal at all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from whoholds.analysis.finding import SEVERITIES
from whoholds.reporting.files import Kind, open_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Protocol

    Record = dict[str, Any]

    class Records(Protocol):
        """Records in the order of a journal, and sentences on what is missing; a `Journal`, for example."""

        @property
        def remarks(self) -> list[str]:
            """The sentences, once all records were read."""

        def __iter__(self) -> Iterator[Record]:
            """The records."""


MOST_LINE: Final = 8_000_000  # bytes of one line; a longer line counts as damaged
_MOST_NUMBER: Final = 1e18  # larger numbers, and those that are none, are not ours
NAMED: Final = 5  # damaged lines that are named by their numbers


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_text(value: object) -> bool:
    return type(value) is str


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _may_be(is_right: Callable[[object], bool]) -> Callable[[object], bool]:
    """A test that a missing field passes, and otherwise a value that passes `is_right`."""
    return lambda value: value is None or is_right(value)


def _is_line(value: object) -> bool:
    """True for a source line as records have it, and for None, which stands for an unknown line."""
    if value is None:
        return True
    return isinstance(value, dict) and _fits(value, {"file": _is_text, "line": _is_count, "function": _is_text})


def _are_held(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and _fits(one, _HELD) for one in value)


def _fits(record: Record, fields: dict[str, Callable[[object], bool]]) -> bool:
    return all(is_right(record.get(name)) for name, is_right in fields.items())


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST_NUMBER  # type: ignore[operator]


def _is_spread(value: object) -> bool:
    return isinstance(value, dict) and _fits(value, dict.fromkeys(("p50", "p99", "longest"), _is_number))


def _are_severities(value: object) -> bool:
    return isinstance(value, dict) and all(key in SEVERITIES and _is_count(count) for key, count in value.items())


def _are_asking(value: object) -> bool:
    fields: dict[str, Callable[[object], bool]] = {"count": _is_count, "longest_s": _is_number, "asked": _is_line}
    return isinstance(value, list) and all(isinstance(one, dict) and _fits(one, fields) for one in value)


def _are_sizes(value: object) -> bool:
    """True for the sizes of a pool, and for None, if it has lent nothing."""
    fields = {"no_wait": _is_count, "few_waits": _is_count, "only_used": _may_be(_is_count)}
    return value is None or (isinstance(value, dict) and _fits(value, fields))


_HELD: Final[dict[str, Callable[[object], bool]]] = {
    "count": _is_count,
    "kind": _is_text,
    "database": _is_text,
    "opened": _is_line,
}

# By type of record: the fields that readers rely on, each with its test. Other fields may come and go.
TYPES: Final[dict[str, dict[str, Callable[[object], bool]]]] = {
    "run": {"pid": _is_count},
    "finding": {
        "id": _is_text,
        "severity": lambda value: value in SEVERITIES,
        "message": _is_text,
        **{name: _may_be(_is_text) for name in ("rule", "matter", "reason", "report", "fingerprint", "time")},
        "why": _may_be(_are_texts),
        **{name: _may_be(_is_count) for name in ("pid", "count")},
        "opened": _is_line,
        "spawned": _is_line,
    },
    "handle": {"kind": _is_text, "database": _is_text, "opened": _is_line},
    "refused": {"database": _is_text, "asked": _is_line, "spawned": _is_line},
    "pool": {
        "key": _is_count,
        "name": _is_text,
        "made": _is_line,
        "max": _may_be(_is_count),
        "loans": _is_count,
        "wanted": _is_count,
        "used_share": _may_be(_is_number),
        "wait_s": _is_spread,
        "held_s": _is_spread,
        "sizes": _are_sizes,
        "waiting": _may_be(_are_asking),
    },
    "peak": {"count": _is_count, "database": _is_text},
    "open": {"pid": _is_count, "count": _is_count, "lines": _are_held},
    "end": {"pid": _is_count, "findings_left_out": _may_be(_are_severities), "dropped": _may_be(_is_count)},
    "aside": {"slug": _is_text, "reason": _is_text},
}


_OF_ALL: Final[dict[str, Callable[[object], bool]]] = {"interpreter": _may_be(_is_count)}


class Journal:
    """The records of the journal at `path`. Iterating reads them, those of the rotated file `<path>.1` first.

    After the end of the iteration, `count`, `unknown` and `damaged` say how much was understood. Iterating raises
    OSError if the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.ended = False  # True once all records were read
        self.count = 0  # records that were returned
        self.unknown = 0  # records of types that this version does not know
        self.damaged: dict[Path, list[int]] = {}  # numbers of the first few lines that are no record
        self.damages = 0  # number of all lines that are no record

    def __iter__(self) -> Iterator[Record]:
        older = Path(f"{self.path}.1")
        for file in ([older] if older.is_file() else []) + [self.path]:
            with open_for_reading(file, pipes=True) as lines:
                yield from self._records(file, lines)
        self.ended = True

    def _records(self, file: Path, lines: IO[bytes]) -> Iterator[Record]:
        number = 0
        while line := lines.readline(MOST_LINE):
            number += 1
            whole = line.endswith(b"\n")
            record = _record(line) if whole else None
            while not whole and len(line) == MOST_LINE:  # the rest of a line that is too long
                line = lines.readline(MOST_LINE)
                whole = line.endswith(b"\n")
            if record is None:
                self.damages += 1
                numbers = self.damaged.setdefault(file, [])
                if len(numbers) < NAMED:
                    numbers.append(number)
            elif record["type"] not in TYPES:
                self.unknown += 1
            else:
                self.count += 1
                yield record

    @property
    def remarks(self) -> list[str]:
        """Sentences on the lines and records that were passed over."""
        said = []
        for file, numbers in self.damaged.items():
            some = ", ".join(map(str, numbers))
            lines = f"line {some} is" if self.damages == 1 else f"lines {some}{', …' * (len(numbers) == NAMED)} are"
            said.append(f"{file}: {lines} cut or damaged, and passed over ({self.damages} in all)")
        if self.unknown:
            records = f"{self.unknown} record{'s' * (self.unknown != 1)}"
            said.append(f"{self.path}: {records} of a type that this version does not know, passed over")
        return said


def _record(line: bytes) -> Record | None:
    """The record of this line; None if it is not JSON, not a record, or has fields of the wrong kind."""
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # also for a number of 5000 digits, and for 200 000 nested brackets
        return None
    if not isinstance(record, dict) or type(record.get("type")) is not str:
        return None
    fields = TYPES.get(record["type"])
    return record if fields is None or _fits(record, {**fields, **_OF_ALL}) else None


def _begins_a_journal(head: bytes) -> bool:
    line, end, _ = head.partition(b"\n")
    try:
        return line.startswith(b'{"type":"') and (not end or json.loads(line)["type"] in TYPES)
    except (ValueError, RecursionError):
        return False


JOURNAL: Final = Kind("a journal", _begins_a_journal)
