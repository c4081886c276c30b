"""A line of a program's source, shown without the string literals that could be a secret.

Nobody needs a literal to find the line again, and no mark tells a password in a call from a name: so a literal is
shown only if what it stands for is known to be harmless. This module must not need the rest of the file, nor raise for
a line that is not Python.
"""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from whoholds.text.connection_text import connection_text, file_path, harmless_value, is_harmless, is_secret, plain_path
from whoholds.text.redact import HIDDEN, LOOK, redact

if TYPE_CHECKING:
    from collections.abc import Sequence

# The body of an f-string that contains no other string; an f-string that does takes the rest of the line.
_PLAIN_F: Final = r"(?:[^{q}\\{{}}]|\\.|\{{\{{|\}}\}}|\{{[^\"'{{}}#\\]*\}})*"
_SINGLE_F, _DOUBLE_F = _PLAIN_F.format(q="'"), _PLAIN_F.format(q='"')
_TOKEN: Final = re.compile(
    rf"(?P<string>(?:[fFtT][rR]?|[rR][fFtT])(?:'(?!''){_SINGLE_F}'|\"(?!\"\"){_DOUBLE_F}\"|['\"].*\Z)"
    r"|(?:[bB][rR]?|[rR][bB]?|[uU])?(?:'{3}(?:[^\\]|\\.)*?(?:'{3}|\\?\Z)|\"{3}(?:[^\\]|\\.)*?(?:\"{3}|\\?\Z)"
    r"|'(?:[^'\\]|\\.)*(?:'|\\?\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)))"
    r"|(?P<comment>\#.*)|(?P<word>[^\W\d]\w*)|(?P<space>\s+)|(?P<sign>[=!<>]=|->|:=|\*\*|.)",
    re.DOTALL,
)
_LITERAL: Final = re.compile(r"(?P<prefix>[A-Za-z]{0,2})(?P<quote>'''|\"\"\"|'|\")(?P<body>.*)(?P=quote)\Z", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}")
_OPENERS: Final = frozenset("sqlite3 aiosqlite sqlite apsw sqlcipher3 pysqlcipher3 pysqlite3 dbapi2 duckdb".split())
_DSN: Final = re.compile(r"(?i)(?:.*_)?(?:dsn|url|uri|conninfo|connection_string|conn_str(?:ing)?)\Z")
_AFTER: Final = ("", ",", ")", "}")  # the tokens that may follow a literal that is the whole value


class _Token(NamedTuple):
    kind: str
    text: str
    depth: int  # brackets that the line has opened before the token
    space: str  # the spaces between it and the token before


def source_line(text: str, before: Sequence[str] = ()) -> str:
    """A line of source as it may be shown: stripped, without comments, each possibly secret literal as `***`.

    `before` are the lines above it in the file: a line that begins inside a string is hidden whole. Any thread may
    call it.
    """
    line = text.strip()
    if "'" not in line and '"' not in line and "#" not in line and not before:
        return redact(line)
    if len(line) > LOOK or _begins_in_a_string(line, before):
        return HIDDEN
    if "'" in line or '"' in line or "#" in line:
        line = _hidden(line)
    return redact(line)


def _begins_in_a_string(line: str, before: Sequence[str]) -> bool:
    """Whether a string of the lines above may still be open here; a guess that errs on the side of hiding."""
    if before and (last := before[-1].rstrip("\r\n")).endswith("\\") and (last.count('"') % 2 or last.count("'") % 2):
        return True
    if "{" not in line and '"""' not in line and "'''" not in line:
        return False  # in a string only the expressions of an f-string, and its end, are code
    above = "".join(before)
    return above.count('"""') % 2 == 1 or above.count("'''") % 2 == 1


def _hidden(line: str) -> str:
    tokens = _tokens(line)
    return "".join(
        token.space + (_literal(tokens, at) if token.kind == "string" else token.text)
        for at, token in enumerate(tokens)
    )


def _tokens(line: str) -> list[_Token]:
    tokens: list[_Token] = []
    depth, space = 0, ""
    for match in _TOKEN.finditer(line):
        kind, text = match.lastgroup or "sign", match[0]
        if kind in ("space", "comment"):
            space = text if kind == "space" else space
            continue
        depth = max(0, depth - (text in (")", "]", "}")))
        tokens.append(_Token(kind, text, depth, space))
        depth += text in ("(", "[", "{")
        space = ""
    return tokens


def _literal(tokens: list[_Token], at: int) -> str:
    """The literal at index `at` of `tokens` as it may be shown."""
    parsed = _LITERAL.fullmatch(tokens[at].text)
    if parsed is None:
        return HIDDEN
    quote, body = parsed["quote"], parsed["body"]
    value = _value(tokens, at, body) if body else body
    return f"{quote}{HIDDEN}{quote}" if value is None else f"{parsed['prefix']}{quote}{value}{quote}"


def _value(tokens: list[_Token], at: int, body: str) -> str | None:
    """The part of a literal that its neighbours show to be harmless; None if there is none."""
    after = tokens[at + 1].text if at + 1 < len(tokens) else ""
    last, word, first = (_before(tokens, at, back) for back in (1, 2, 3))
    if _NAME.fullmatch(body):
        if after == ":" and last.text in ("{", ",") and (is_harmless(body) or is_secret(body)):
            return body  # the key in a dict
        if after == "]" and last.text == "[" and not last.space and _is_called(word):
            return body  # settings["PASSWORD"]
    if after not in _AFTER:
        return None
    name = ""
    if last.text == "=" and word.kind == "word":
        in_call = first.text == "(" or (first.text == "," and tokens[at].depth > 0)
        name = word.text if in_call or not first.text else ""  # a keyword in a call, or NAME = "…"
    elif last.text == ":" and word.kind == "string" and first.text in ("{", ","):
        key = _LITERAL.fullmatch(word.text)
        name = key["body"] if key is not None else ""
    if name:
        return connection_text(body) if _DSN.match(name) else harmless_value(name, body) if is_harmless(name) else None
    return _first_argument(tokens, at, body) if last.text == "(" else None


def _first_argument(tokens: list[_Token], at: int, body: str) -> str | None:
    called, dot, owner = (_before(tokens, at, back) for back in (2, 3, 4))
    if called.text == "getenv" or (called.text == "get" and dot.text == "." and owner.text == "environ"):
        return body if _NAME.fullmatch(body) else None
    if called.text in ("connect", "Connection") and dot.text == "." and owner.text in _OPENERS:
        return plain_path(body)
    if not _is_called(called):
        return None
    return connection_text(body) or (file_path(body) if called.text == "connect" else None)


_NOTHING: Final = _Token("", "", 0, "")


def _before(tokens: list[_Token], at: int, back: int) -> _Token:
    return tokens[at - back] if at >= back else _NOTHING


def _is_called(token: _Token) -> bool:
    """Whether a bracket after this token calls it, or takes an item of it."""
    return token.text in (")", "]") or (token.kind == "word" and not keyword.iskeyword(token.text))
