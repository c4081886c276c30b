"""The one redactor over everything that leaves: source lines, arguments, notes, messages, connection strings.

Must not let a secret through for the sake of a nicer text, nor take more than linear time, nor look at more
than the first 16384 characters. It knows secrets by the name before them, by their place in a URL, and by the
shape of some; one that stands in the text with nothing to tell it cannot be known.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK: Final = 16_384
"""Characters that are looked at; the rest is not shown."""

HIDDEN: Final = "***"

# Without one of these in it a text holds nothing that we know for a secret.
_TRIGGERS: Final = (
    *("pass", "pwd", "pw", "secret", "token", "key", "credential", "://", "identified", "authorization"),
    *("bearer", "akia", "asia", "gh", "xox", "glpat", "sk-", "eyj", "-----begin", "-p"),
)

# The end of a name whose value is secret: db_password, PGPASSWORD, clientSecret, aws_secret_access_key; not
# passfile, sslkey, token_type, bypass.
_KEY: Final = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credentials?|(?:(?<![a-z])|db|user|pg|root|admin)pass"
    r"|(?<![a-z])pw|(?:api|access|account|secret|private|signing|encryption|master)[_-]?key)"
    r"(?:[_-]?(?:value|hash|text|plain|raw|old|new|str|b64|base64|\d{1,3}))?"
)
_QUOTE: Final = r"\\*[\"']"


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Give the patterns, compiled at the first text that needs them and not when a program starts."""
    sources = {
        # What comes before a value: name = value, "name": value, d["name"] = value, --name value,
        # ("name", "value"), PASSWORD 'value', IDENTIFIED BY value.
        "named": rf"{_KEY}(?:(?P<place>[\"'\\\] \t]{{0,8}})(?:[=!]?={{1,2}}>?|:=?)(?:\s{{0,80}}(?=[a-z]{{0,2}}{_QUOTE})|"
        rf"[ \t]{{0,80}})|(?P<next>{_QUOTE}?[ \t]+(?!-))|(?P<pair>[\"']\s{{0,80}},\s{{0,80}}(?=[a-z]{{0,2}}[\"'])))"
        r"|\bidentified\s+by\s+(?:password\s+)?|\bauthorization[\"' ]{0,3}[:=][\"' ]{0,3}(?:\w+ +)?",
        "quoted": r"(?P<prefix>[fFrRbBuU]{0,2})(?:'''[^'\\]*(?:(?:\\.|''?(?!'))[^'\\]*)*(?:'''|'{0,2}\Z|\\\Z)"
        r'|"""[^"\\]*(?:(?:\\.|""?(?!"))[^"\\]*)*(?:"""|"{0,2}\Z|\\\Z)'
        r"|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\\?\Z)|\"[^\"\\]*(?:\\.[^\"\\]*)*(?:\"|\\?\Z))",
        "url": r"(?P<quote>[\"'])?(?P<scheme>[a-z][a-z0-9+.-]{1,30})://",
    }
    return {name: re.compile(source, re.IGNORECASE | re.DOTALL) for name, source in sources.items()}
