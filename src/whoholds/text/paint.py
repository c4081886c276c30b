"""Colours for a terminal: marks up a finished text, in six styles, and leaves alone whatever it does not recognise.

Colour is added here, to what a terminal is about to show, and nowhere else: logs, journals and records hold plain text.
The module is imported at the first text for a terminal. Six styles are six escape sequences, for which no library is
imported into somebody else's program.
"""

from __future__ import annotations

import os
import re

ERROR, WARNING, INFO = "1;31", "1;33", "1;36"  # bold red, yellow and cyan
PLACE, SOURCE, FAINT = "36", "32", "2"  # cyan, green, faint
_BOLD, _GOOD = "1", "1;32"
_SEVERITIES = {"error": ERROR, "warning": WARNING, "info": INFO}

_FIRST = re.compile(r"(whoholds: (?:worst: )?|  Also )([a-z]+(?:-[a-z]+)*)(?=: )")
_PART = re.compile(r"( *)(\d*)( +)([a-z]+) +(?=\S)")  # as `    30  opened   `
_PART_WIDTH = 17
_LONGEST = 2000  # characters of a line that is painted: a longer one is data, and slow to search
_PLACE = re.compile(  # a path is looked for once in each word: from each letter of it would take quadratic time
    r"(?<![^\s:()\x1b])(?:[^\s:()\x1b]|(?<=[A-Za-z]):(?=[\\/]))+\.py[wx]?:\d+"
    r"|Cell In\[\d+\], line \d+|(?<= at )line \d+"
)
_SOURCE = re.compile(r"( in \S+(?: \([^)]*\))? {2,})(\S.*)$")
_STAMP = re.compile(r" \[[^\]]*, process \d+\]$")
_FOLDED = re.compile(r" *… \d+ library frames?$")
_EXCEPTION = re.compile(r" +[\w.]*(?:Error|Exception|Timeout|Exceeded)\b.*")
_COUNTS = (
    (re.compile(r"\b\d+ errors?\b"), ERROR),
    (re.compile(r"\b\d+ warnings?\b"), WARNING),
    (re.compile(r"(?<=^whoholds: )clean(?=: )"), _GOOD),
    (re.compile(r"(?<=^active here: )yes$"), _GOOD),
    (re.compile(r"(?<=^active here: )no$"), ERROR),
    (re.compile(r"(?<=^  )because .*"), WARNING),
    (re.compile(r" not installed$"), FAINT),
)


def painted(text: str, severity: str = "") -> str:
    """`text` with escape sequences for colour; without them it is `text`.

    `severity` is that of its first line. In a summary, which has none, the first line counts the severities.
    """
    links = "kitty" in os.environ.get("TERM", "")
    first, *rest = text.split("\n")
    worst = severity or next((name for name in _SEVERITIES if re.search(rf"\b\d+ {name}s?\b", first)), "")
    lines = [_line(first, severity, links=links)]
    lines += [_line(line, worst if line.startswith("whoholds: worst: ") else "", links=links) for line in rest]
    return "\n".join(lines)


def _line(line: str, severity: str, *, links: bool) -> str:
    if len(line) > _LONGEST:
        return line
    if _FOLDED.fullmatch(line):
        return _styled(line, FAINT)
    if _EXCEPTION.fullmatch(line):
        return _styled(line, ERROR)
    first = _FIRST.match(line)
    part = _PART.match(line)
    part = part if part and part.end() == _PART_WIDTH else None
    source = _SOURCE.search(line) if part else None
    stamp = _STAMP.search(line) if first else None
    # from the end to the beginning, so that positions stay right
    if stamp:
        line = line[: stamp.start()] + _styled(stamp[0], FAINT)
    if source:
        line = line[: source.start(2)] + _styled(source[2], SOURCE)
    start = first.end() if first else part.end() if part else 0
    end = source.start(2) if source else stamp.start() if stamp else len(line)
    middle = _PLACE.sub(lambda found: _place(found[0], links=links), line[start:end])
    line = line[:start] + middle + line[end:]
    if first and first[2] != "clean":
        line = first[1] + _styled(first[2], _SEVERITIES.get(severity, _BOLD)) + line[first.end() :]
    elif part:
        count = _styled(part[2], _BOLD) if part[2] else ""
        line = f"{part[1]}{count}{part[3]}{_styled(part[4], FAINT)}{line[part.end(4) :]}"
    for pattern, style in _COUNTS:
        line = pattern.sub(lambda found, style=style: _styled(found[0], style), line)  # type: ignore[misc]
    return line


def _styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m"


def _place(place: str, *, links: bool) -> str:
    """`shop/cars.py:42` in colour. It is what terminals and editors make a link of; kitty alone is given a link.

    kitty finds no links by itself and opens `file://host/path#42` at the line; others open such a link without it.
    """
    file, _, line = place.rpartition(":")
    shown = _styled(place, PLACE)
    if not links or not line.isdecimal() or not os.path.exists(file):  # noqa: PTH110 - one C call
        return shown
    import socket
    from urllib.parse import quote

    return f"\x1b]8;;file://{socket.gethostname()}{quote(os.path.abspath(file))}#{line}\x1b\\{shown}\x1b]8;;\x1b\\"
