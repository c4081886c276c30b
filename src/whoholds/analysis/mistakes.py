"""What a function does with the connection that it opened, read from its source: `with connection:`, or a close.

Only the ticking thread may read source files. The module must not guess: it says nothing where the connection has no
plain name, or where the source cannot be read.
"""

from __future__ import annotations

import re
from itertools import islice
from types import CodeType
from typing import TYPE_CHECKING, Final, NamedTuple

from whoholds.analysis.blame import kind_at
from whoholds.analysis.source import lines_of

if TYPE_CHECKING:
    from whoholds.analysis.sites import Site
    from whoholds.ledger.origin import Origin

MOST_LINES: Final = 400  # of one function that are read
MOST_CALLERS: Final = 3  # callers that are looked at, where a helper only returns what it opened
_NAMED: Final = re.compile(r"^\s*(?:with\s.*\bas\s+(?P<as>\w+)\s*:|(?P<name>[A-Za-z_]\w*)\s*=\s*[^=])")
_RETURNS: Final = re.compile(r"^\s*return\b")
_WITH: Final = re.compile(r"^\s*(?:async\s+)?with\s")
_OPENS, _CLOSES = frozenset("([{"), frozenset(")]}")


class Use(NamedTuple):
    """What a function does with the connection that it opened, by line number; 0 where it does not."""

    name: str  # its variable; "" if it has none
    file: str
    within: int = 0  # a `with` whose subject is the connection itself
    closed: int = 0  # a call that closes the connection or gives it back


def use_of(site: Site, origin: Origin) -> Use | None:
    """What the function of the opening line does with the connection, or else the caller to which it only returns it.

    None if that cannot be read.
    """
    if not site.source:
        return None
    for index in range(_index_in(site, origin), len(origin), 2):
        code, offset = origin[index : index + 2]
        if not isinstance(code, CodeType) or not isinstance(offset, int) or offset < 0 or kind_at(origin, index):
            return None
        lines, first = _function(code)
        at = _line(code, offset) - first
        if not 0 <= at < len(lines):
            return None
        if not _RETURNS.match(lines[at]):
            return _use(lines, first, at, code.co_filename, _column(code, offset))
        if index >= _index_in(site, origin) + 2 * MOST_CALLERS:
            return None
    return None


def _index_in(site: Site, origin: Origin) -> int:
    """The index in `origin` of the frame that `site` names."""
    if origin is site.origin:
        return site.index
    named = site.origin[site.index]
    return next((index for index in range(0, len(origin), 2) if origin[index] is named), len(origin))


def _line(code: CodeType, offset: int) -> int:
    from whoholds.ledger.origin import line_at

    return line_at(code, offset)


def _column(code: CodeType, offset: int) -> int | None:
    """The column at which the call begins, in bytes; None if Python does not keep it, as before 3.11."""
    positions = getattr(code, "co_positions", None)
    return next(islice(positions(), offset // 2, None), (None,) * 4)[2] if positions is not None else None


def _function(code: CodeType) -> tuple[list[str], int]:
    """The source lines of a function, at most `MOST_LINES`, and the number of the first of them."""
    first = code.co_firstlineno
    last = max((line for _, _, line in code.co_lines() if line is not None), default=first)
    return lines_of(code.co_filename)[first - 1 : min(last, first + MOST_LINES)], first


def _statement(opening: str, column: int | None) -> str:
    """The statement of the line in which the call stands: of `with lock: kept = connect()`, the call's `kept = …`."""
    colon = _end_of_header(opening) if _WITH.match(opening) else len(opening)
    body = opening[colon + 1 :]
    if not body.partition("#")[0].strip() or (column is not None and column < len(opening[:colon].encode())):
        return opening
    return body


def _end_of_header(opening: str) -> int:
    """The column of the colon that ends the header of a `with`; the length of the line if that is on a later line."""
    from tokenize import TokenError, generate_tokens

    depth = 0
    try:
        for token in generate_tokens(iter([opening]).__next__):
            depth += (token.string in _OPENS) - (token.string in _CLOSES)
            if token.string == ":" and not depth:
                return token.start[1]
    except (TokenError, SyntaxError):  # the header goes on
        pass
    return len(opening)


def _use(lines: list[str], first: int, at: int, file: str, column: int | None) -> Use:
    opening = _statement(lines[at], column)
    within = first + at if _WITH.match(opening) and "closing(" not in opening else 0
    named = _NAMED.match(opening)
    name = (named["as"] or named["name"]) if named else ""
    closed = 0
    if name:
        subject = re.compile(rf"^\s*(?:async\s+)?with\s+(?:.*,\s*)?{name}\s*(?::|,|\bas\b)")
        closes = re.compile(rf"\b{name}\.close\(\)|\b(?:putconn|release|close)\(\s*{name}\b")
        for number, line in enumerate(lines[at + 1 :], first + at + 1):
            within = within or (number if subject.match(line) else 0)
            closed = closed or (number if closes.search(line) else 0)
    return Use(name, file, within, closed)
