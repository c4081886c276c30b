"""The one redactor over everything that leaves: source lines, arguments, notes, messages, connection strings.

Must not let a secret through for the sake of a nicer text, nor take more than linear time, nor look at more
than the first 16384 characters. It knows a secret by the name before it, by its place in a URL or a command,
and a few by their shape; one that stands in the text with nothing to tell it cannot be known.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK: Final = 16_384
"""Characters looked at; the rest is not shown."""

HIDDEN: Final = "***"

# In small letters; a text without any of them holds nothing that we would know for a secret.
_TRIGGERS: Final = (
    *("pass", "pw", "secret", "token", "key", "credential", "://", "identified", "authorization", "bearer"),
    *("akia", "asia", "gh", "xox", "glpat", "sk-", "eyj", "-----begin", "sql", "maria", "mycli"),
)

# The end of the name of a secret: db_password, PGPASSWORD, clientSecret, aws_secret_access_key; but neither
# passfile and sslkey, which are paths, nor token_type, bypass, compass.
_KEY: Final = (
    r"(?:pass(?:words?|wd|phrase|code)|pwd|secrets?|token|credentials?|(?:(?<![a-z])|db|user|pg|root|admin)pass"
    r"|(?<![a-z])pw|(?:api|access|account|secret|private|signing|encryption|master)[_-]?key)"
    r"(?:[_-]?(?:value|hash|text|plain|raw|old|new|str|b64|base64|\d{1,3}))?"
)
# What stands between the name and the value: = := => == != and :, a closed quote before it; or only a space,
# after a flag and in PASSWORD 'x'; or a comma, in get("PGPASSWORD", "x") and ["--password", "x"].
_PREFIX: Final = r"(?:[bfu]r?|r[bf]?)?"  # Python's, before a quote
_START: Final = rf"(?:\(\s{{0,80}})?(?={_PREFIX}\\*[\"'])"
_NAMED: Final = (
    rf"{_KEY}(?:[\"'\\\] \t]{{0,8}}(?:[=!]?={{1,2}}>?|(?P<colon>:)=?)(?:\s{{0,80}}{_START}|[ \t]{{0,80}})"
    rf"|(?P<space>[\"']?[ \t]{{1,80}})(?!-)|(?P<comma>[\"']\s{{0,80}},\s{{0,80}}{_START}))"
    r"|\bidentified\s{1,80}by\s{1,80}(?:password\s{1,80})?"
    r"|\bauthorization[\"' ]{0,3}[:=][\"' ]{0,3}(?:(?:basic|bearer|digest|token|apikey) +)?"
)
_ESCAPED: Final = r"\\+[\"']"
_QUOTED: Final = (
    rf"{_PREFIX}(?:"
    r"'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*(?:'''|\\?\Z)"
    r'|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:"""|\\?\Z)'
    r"|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\\?\Z)|\"[^\"\\]*(?:\\.[^\"\\]*)*(?:\"|\\?\Z))"
)
# What goes on: shell and SQL join what touches, Python what a +, an "or" or only a space parts.
_TOUCHING: Final = rf"(?:{_QUOTED}|[^\s\"',;)\]}}&:]+)+"
_FALLBACK: Final = (
    rf"\s{{0,80}}\+[^\n]*|[ \t]{{1,80}}(?:or|else|if [^\n]{{1,80}}? else)[ \t]{{1,80}}{_QUOTED}"
)
_BESIDE: Final = rf"\s{{0,80}}{_QUOTED}|{_FALLBACK}"
_BARE: Final = r"(?:\\.|[^\s\\])*\\?"
_BRACED: Final = r"\{[^}]*(?:\}\}[^}]*)*\}?"  # ODBC
_TYPE: Final = (  # password: str | None = "x"
    r"(?:typing\.|t\.|pydantic\.)?(?:str|bytes|SecretStr|Any|object|None|Optional|Final)\b(?:\[[\w., |]{0,80}\])?"
    r"(?: ?\| ?\w+)*[ ]{0,3}(?:(?P<default>=(?!=)\s{0,80})|(?=[,)\n]|\Z|->))"
)
# Where the value comes from is no secret, nor is its absence, nor a placeholder.
_HARMLESS: Final = (
    r"(?:None|null|true|false|\"\"|''|%s|%\(\w+\)s|\?|\$\d+|\.\.\.|(?:YES|NO)(?=\))"
    r"|(?:os\.)?environ\[[\"']\w+[\"']\]|(?:os\.)?(?:environ\.get|getenv)\([\"']\w+[\"']\)"
    r"|(?:getpass\.)?getpass\([^()\n]{0,80}\)|\$\{[A-Z_][A-Z0-9_]*\}"
    r"|(?:self|cls|settings|config|conf|cfg|args|options|opts|env|app)\.[a-z_][\w.]*)(?=[\s,;)\]}]|\Z)"
)
_URL: Final = r"(?P<quote>[\"'])?\b(?P<scheme>[a-z][a-z0-9+.-]{1,30})://"
_CLIENT: Final = r"\b(?:mysql|mariadb|mycli)[\w-]{0,20}\b[^\n|;&]{0,200}?\s-p(?=[^\s=])"
_SHAPED: Final = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abeoprs]-[\w-]{10,}"
    r"|\bglpat-[\w-]{15,}|\bsk-[\w-]{20,}|\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}-----|\Z)"
)

# Flags whose value is secret for these commands only; mysql's is glued to its flag.
_FLAGS: Final = {"sshpass": "-p", "redis-cli": "-a", "sqlcmd": "-P", "bcp": "-P", "tsql": "-P", "curl": "-u"}


@cache
def _pattern(source: str) -> re.Pattern[str]:
    """Give `source` compiled, at its first use: a program that starts need not wait for it."""
    return re.compile(source, re.IGNORECASE | re.DOTALL)


def redact(text: str) -> str:
    """Give `text` with each secret in it replaced by `***`; any text, of any length, in any thread.

    Text beyond LOOK characters is left out and " …" says so.
    """
    cut = len(text) > LOOK
    if cut:  # not within a word
        text = "".join(text[:LOOK].rsplit(None, 1)[:1])
    small = text.lower()
    for trigger in _TRIGGERS:
        if trigger in small:
            text = _shaped(_urls(_named(text), cut=cut))
            break
    return f"{text} …" if cut else text


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Give the arguments of a command, each on its own, with each secret in them replaced by `***`."""
    shown: list[str] = []
    flags: set[str] = set()
    glued = follows = False
    assigned = _pattern(rf"(-{{0,2}}[\w.-]*?{_KEY}=).+")
    flag = _pattern(rf"--?[\w.-]*?{_KEY}")
    for item in argv:
        name = item.rpartition("/")[2]
        if follows and not item.startswith("--"):
            shown.append(HIDDEN)
            follows = False
            continue
        follows = item in flags or flag.fullmatch(item) is not None
        if match := assigned.fullmatch(item):
            shown.append(match[1] + HIDDEN)
        elif glued and item.startswith("-p") and item != "-p":
            shown.append("-p" + HIDDEN)
        else:
            shown.append(_urls(redact(item), whole=True))
        glued = glued or name.startswith(("mysql", "mariadb", "mycli"))
        if name in _FLAGS:
            flags.add(_FLAGS[name])
    return shown


def _named(text: str) -> str:
    """Hide the values of what is named like a secret."""
    parts: list[str] = []
    at = done = 0
    while match := _pattern(_NAMED).search(text, at):
        at, value = match.end(), _value(text, match)
        if value is not None:
            start, at, shown = value
            parts += (text[done:start], shown)
            done = at
    return "".join((*parts, text[done:]))


def _value(text: str, match: re.Match[str]) -> tuple[int, int, str] | None:
    """Give where the value begins and ends and what to show, or nothing if it is none or harmless."""
    start = match.end()
    before = text[max(0, match.start() - 64) : match.start()]
    if match["colon"] and (kind := _pattern(_TYPE).match(text, start)):
        if not kind["default"]:
            return None
        start = kind.end()
    quoted = _pattern(_QUOTED).match(text, start)
    if match["space"] and not quoted and not _pattern(r"(?:\A|[\s\"'\[(,])--?[\w-]*\Z").search(before):
        return None
    if match["comma"] and not _pattern(r"(?:\(\s*[\"'][\w.-]*|[\"']--?[\w-]*)\Z").search(before):
        return None
    harmless = _pattern(_HARMLESS).match(text, start)
    end, shown = (harmless.end(), "") if harmless else _end(text, start, before, quoted)
    goes_on = _pattern(_BESIDE if quoted and not match["space"] else _FALLBACK)
    while more := goes_on.match(text, end):
        end, shown = more.end(), shown or HIDDEN
    return (start, end, shown) if shown else None


def _end(text: str, start: int, before: str, quoted: re.Match[str] | None) -> tuple[int, str]:
    """Give where the value that begins at `start` ends, and what to show for it: nothing if it is empty."""
    if quoted:
        touching = _pattern(_TOUCHING).match(text, start)
        mark = quoted[0].lstrip("bfruBFRU")[0]
        return touching.end() if touching else quoted.end(), f"{mark}{HIDDEN}{mark}"
    if escaped := _pattern(rf"(?P<mark>{_ESCAPED}).*?(?:(?<!\\)(?P=mark)|\Z)").match(text, start):
        return escaped.end(), f"{escaped['mark']}{HIDDEN}{escaped['mark']}"
    if braced := _pattern(_BRACED).match(text, start):
        return braced.end(), HIDDEN
    end = _pattern(_BARE).match(text, start).end()  # type: ignore[union-attr] - it matches nothing, too
    query = before.rfind("?") if "&" not in before else before.rfind("&")
    if query >= 0 and re.fullmatch(r"[\w.-]*", before[query + 1 :]):
        end = _before("&", text, start, end)
    elif re.search(r";\s*[\w. -]*\Z", before):
        end = _before(";", text, start, end)
    value = text[start:end]
    line = text.find("\n", end)
    line = len(text) if line < 0 else line
    if any(value.count(opened) > value.count(closed) for opened, closed in ("()", "[]", "{}")):
        return line, HIDDEN  # a call whose arguments go on behind a space
    for mark in "\"'":  # PGPASSWORD=a"b c"d: a quote that opens here, for those before it are closed
        opened = value.find(mark)
        if opened >= 0 and text.count(mark, text.rfind("\n", 0, start) + 1, start) % 2 == 0:
            closed = text.find(mark, start + opened + 1, line)
            if closed >= end:
                end = _pattern(_BARE).match(text, closed).end()  # type: ignore[union-attr]
    value = text[start:end].rstrip("\"')]},;>")
    return start + len(value), HIDDEN if value else ""


def _before(mark: str, text: str, start: int, end: int) -> int:
    found = text.find(mark, start, end)
    return end if found < 0 else found


def _urls(text: str, *, cut: bool = False, whole: bool = False) -> str:
    """Hide the passwords of URLs: all from the first `:` to the last `@`, which they may hold themselves.

    A URL ends at a space, or where the quote before it closes; `whole` text is one URL if it begins like one.
    """
    parts: list[str] = []
    at = done = 0
    while match := _pattern(_URL).search(text, at):
        start = match.end()
        ending = r"(?!)" if whole and match.start() == 0 else rf"[{match['quote']}\n]" if match["quote"] else r"\s"
        closing = _pattern(ending).search(text, start)
        at = closing.start() if closing else len(text)
        last = at if cut and not closing else text.rfind("@", start, at)
        colon = text.find(":", start, last)
        if last <= start or text[start] in "/[":
            continue
        if colon >= 0:
            parts += (text[done : colon + 1], HIDDEN)
            done = last
        elif match["scheme"].lower() in {"http", "https"} and not re.search(r"[/?#]", text[start:last]):
            parts += (text[done:start], HIDDEN)  # a token without a name
            done = last
    return "".join((*parts, text[done:]))


def _shaped(text: str) -> str:
    """Hide what is a secret by its shape, and the password glued to the -p of a MySQL client."""
    text = _pattern(_SHAPED).sub(HIDDEN, text)
    return _pattern(rf"({_CLIENT})(?:{_TOUCHING}|{_BARE})").sub(rf"\1{HIDDEN}", text)
