"""Where the tokens of a statement begin and end, for each database that reads text in its own way.

It must not guess: where two databases read the same characters differently and it is not known which one will, the
rest of the statement is one literal. It must not be slow on any text: no pattern may match a text in two ways.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple


class Dialect(NamedTuple):
    """How one database reads the characters that other databases read differently."""

    double: str = "either"  # "…" is a "name", a "string", or "either" (sqlite takes both)
    comments: str = "unsure"  # /* /* */ is "flat", "nested", or "unsure"
    brackets: bool = False  # […] quotes a name, whatever it contains
    hashes: bool = False  # "#" starts a comment, and "--" does only before a space
    dollars: bool = False  # $1 is a placeholder; elsewhere it may be money


UNKNOWN: Final = Dialect()
_MYSQL: Final = Dialect("string", "flat", hashes=True)
_ORACLE: Final = Dialect("name", "flat")
_POSTGRES: Final = Dialect("name", "nested", dollars=True)
_SQLITE: Final = Dialect("either", "flat", brackets=True, dollars=True)
_TSQL: Final = Dialect("name", "nested", brackets=True)

DIALECTS: Final = {
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "oracle.db": _ORACLE,
    "postgresql": _POSTGRES,
    "cockroachdb": _POSTGRES,
    "duckdb": _POSTGRES,
    "sqlite": _SQLITE,
    "microsoft.sql_server": _TSQL,
}
"""By `db.system.name`; all others are UNKNOWN."""

# All databases agree where a literal ends if it has a doubled quote, or a backslash before anything but the
# quote. A backslash before the quote escapes the quote in MySQL, ends the string in the standard, and does either
# in both with a setting: all that follows is taken for the literal, as it is for a literal that is not closed.
_QUOTED: Final = r"{q}[^{q}\\]*(?:(?:{q}{q}|\\[^{q}])[^{q}\\]*)*(?:{q}|\\?\Z|\\{q}.*)"
_STRING: Final = _QUOTED.format(q="'")
_DOUBLE: Final = _QUOTED.format(q='"')
_LITERAL: Final = (
    r"[eE]'[^'\\]*(?:(?:''|\\.)[^'\\]*)*(?:'|\\?\Z)"  # PostgreSQL: here a backslash always escapes
    r"|[nN]?[qQ]'(?:\[.*?\]'|\{.*?\}'|<.*?>'|\(.*?\)'|!.*?!'|\|.*?\|'|.*)"  # Oracle: q'[it's]'
    rf"|(?:[nNxXbBrR]|[uU]&|_\w+\s*)?{_STRING}"
)
_NUMBER: Final = r"\$?\.?\d(?:[eE][+-](?=\d)|[\w.])*"
# Rows of plain values are one token, or a bulk INSERT would cost a call for each value.
_PLAIN: Final = (
    rf"(?:[nNxXbB]?'[^'\\]*(?:''[^'\\]*)*'(?!')|[+-]?{_NUMBER}"
    r"|(?:NULL|null|DEFAULT|default|TRUE|true|FALSE|false)(?!\w))"
)
_RUN: Final = rf"{_PLAIN}(?:\s*(?:,|\)\s*,\s*\()\s*{_PLAIN})*"
_BARE: Final = r"[A-Za-z_\x80-\uffff][A-Za-z0-9_$.@\x80-\uffff]*"  # table@link; ranges: half the time of \w
CLOSED: Final = r'"[^"\\]*(?:""[^"\\]*)*"(?!")'
_TICKED: Final = r"`[^`]*(?:``[^`]*)*`(?!`)"


def _nest(inner: str) -> str:
    """The pattern of a closed block comment that may contain `inner`."""
    return rf"/\*[^*/]*(?:(?:\*(?!/)|/(?!\*){inner})[^*/]*)*\*/"


def _comment(dialect: Dialect) -> str:
    """The pattern of a comment; a comment that is not closed, or nests deeper than three, extends to the end."""
    if dialect.comments == "flat":
        block = r"/\*.*?(?:\*/|\Z)"
    else:
        block = _nest("")
        if dialect.comments == "nested":
            block = _nest("|" + _nest("|" + block))
        block = rf"{block}|/\*.*"
    return block + (r"|(?:--(?=\s|\Z)|\#)[^\n]*" if dialect.hashes else r"|--[^\r\n]*")


def _name(dialect: Dialect) -> str:
    """The pattern of a name, quoted or not, with all its dots."""
    quoted = _TICKED
    if dialect.double != "string":
        quoted += rf"|{CLOSED}"
    quoted += r"|\[[^\]]*(?:\]\][^\]]*)*\](?!\])" if dialect.brackets else r"|\[[A-Za-z_][\w $#@-]*\]"
    rest = rf"(?:{quoted})(?:\.\.?(?:{quoted}|{_BARE}))*"
    temporary = rf"|\#\#?{_BARE}" if dialect.brackets else ""
    return rf"(?![eEqQnN][qQ]?'){_BARE}(?:(?<=\.){rest})?|{rest}{temporary}"


def _open(dialect: Dialect) -> str:
    """The pattern of a quoted name that is not closed."""
    return r"`.*|\[.*" if dialect.brackets else "`.*"


def _placeholder(dialect: Dialect) -> str:
    """The pattern of a parameter's placeholder, and of a cast; in [1:2] the 2 is a number."""
    dollar = r"\$\w+" if dialect.dollars else r"\$[^\W\d]\w*"
    return rf"%\(\w*\)\w|%[a-zA-Z](?!\w)|(?<![\w\])]):\d+|::?[^\W\d]\w*|@+[^\W\d]\w*|{dollar}|\?\d*"


@cache
def names(dialect: Dialect) -> re.Pattern[str]:
    """The pattern whose one group has names, keywords and `( ) , ;`, and is empty for all other tokens."""
    return re.compile(
        rf"[ \t\r\n=<>*+]*(?:({_name(dialect)}|[(),;])|{_RUN}|{_LITERAL}|{_comment(dialect)}|\$\w*\$.*"
        rf"|{_placeholder(dialect)}|{_DOUBLE}|{_open(dialect)}|.)",
        re.DOTALL,
    )


@cache
def tokens(dialect: Dialect) -> re.Pattern[str]:
    """The pattern with groups for tokens that are `kept`, a `comment`, and words that open a list of values (`opens`).

    A token in none of the groups is a literal.
    """
    return re.compile(
        rf"(?P<opens>\b(?:IN|in|In|VALUES|values|Values)\s*\(\s*){_RUN}|{_LITERAL}"
        r"|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)"
        rf"|(?P<comment>{_comment(dialect)})|(?P<kept>{_placeholder(dialect)}|{_name(dialect)})"
        rf"|{_NUMBER}|{_DOUBLE}|{_open(dialect)}",
        re.DOTALL,
    )
