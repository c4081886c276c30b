"""A statement's summary in a few words, and its text without its literals.

It must not let a literal out, look further than the first 4096 characters, raise, or run code of the statement's own
type, for the summary is made in the user's thread. Other libraries' tokenizers were measured and are too slow there
(`bench/sql_text.py`).
"""

from __future__ import annotations

import re
from typing import Any, Final

from whoholds.text.redact import redact
from whoholds.text.sql_targets import walk
from whoholds.text.sql_tokens import CLOSED, DIALECTS, UNKNOWN, Dialect, tokens

LOOK: Final = 4096
"""Characters looked at; what comes after them costs nothing and is shown nowhere."""

LONGEST: Final = 255
"""Characters of a summary (OpenTelemetry, "Generating a summary of the query")."""

KEPT: Final = 512
"""Statements remembered for each system, none longer than LOOK: 2 MB of ASCII. When full it starts afresh."""

# A single name in double quotes, in a dialect where they could also quote a string.
_ALONE: Final = re.compile(CLOSED)
_NAMING: Final = re.compile(r"(?i)(?:\b(?:from|join|into|update|table|view|index|exists)\s+|\.\s*)\Z")
# After these words a password may stand without quotes (Oracle, SAP HANA, old MySQL, T-SQL's procedures), or quoted
# like a name: all that follows is one literal. The last pattern is SET of a variable, unless the variable is harmless.
_PASSWORD: Final = re.compile(
    r"(?is)((?:^|;) ?(?:(?:create|alter|validate|check|drop|rename) (?:or replace )?(?:user|role|login|database|system"
    r"|group|master|symmetric|asymmetric|certificate|credential|secret|server|foreign|wallet|keystore|subscription"
    r"|application|external|backup)|open|backup|restore|administer|connect)\b"
    r"[^;]*?\b(?:identified (?:with \S+ )?(?:by|as|using)|password|passwd|secret|identity|key_id|connection)\b"
    r"|\bidentified (?:with \S+ )?(?:by|as|using|globally)\b|\bset password\b"
    r"|\bpragma (?:\w+\.)?(?:hex|text)?(?:re)?key\b"
    r"|\battach\b[^;]*?\bkey\b|\b(?:exec(?:ute)?|call) (?:[\w\[\]]+\.)*sp_\w*(?:password|login|srvrolemember|user)\w*"
    r"|(?:^|;) ?connect\b|\bwith credentials\b|\bcredentials? ?(?=\?|=|\()|\bauthorization (?=\S+ password)"
    r"|(?:^|;) ?set (?:session |local |global |persist |@@(?:\w+\.)?)?"
    r"(?!(?:search_path|time ?zone|names|role|session|transaction|client_encoding|datestyle|\w+_timeout|autocommit"
    r"|application_name|transaction_isolation|sql_mode|foreign_key_checks|unique_checks|character_set_\w+|\w+_work_mem"
    r"|work_mem|constraints|nocount|statement_timeout|enable_\w+|default_transaction_\w+)\b)"
    r"[\w.@\[\]\"`]+ ?(?:=|:=|\bto\b)).*"
)
# The words that a statement begins with; a text with another beginning is no statement, whatever executes it.
_BEGINS: Final = re.compile(
    r"(?i)[\s(;{?]*(?:select|insert|replace|upsert|merge|update|delete|truncate|lock|call|exec|execute|use|copy|pragma"
    r"|vacuum|create|alter|refresh|begin|start|commit|rollback|release|drop|explain|analy[sz]e|grant|revoke|show|set"
    r"|values|savepoint|declare|fetch|move|close|prepare|deallocate|listen|unlisten|notify|describe|desc|do|attach"
    r"|detach|comment|reindex|cluster|checkpoint|discard|reset|kill|unlock|abort|load|with|table|end|import|export"
    r"|from|optimize|repair|flush|handler|rename|install|uninstall|if|while|print|waitfor|go|xa|reassign|security"
    r"|backup|restore|open|deny|merge|purge|connect|check|cancel|undrop|list|put|get|remove|summarize|pivot|unpivot"
    r"|duplicate|signal|resignal|change|stop|binlog|cache|clone|help|shutdown|raise|return|bulk|dbcc|disable|enable)\b"
)
_SIGN: Final = re.compile(r"([=<>(,] ?)[-+] ?\?")
_ITEM: Final = r"(?:\?|NULL\b|DEFAULT\b)"
_ROWS: Final = re.compile(rf"(?i)\b(IN|VALUES) ?\( ?{_ITEM}(?: ?(?:,|\) ?, ?\() ?{_ITEM})*(?: ?\)|[ ,()]*\Z)")

# Each look-up and each change is one C call, so threads need no lock; the keys are plain strings, so no look-up
# runs code of the user's.
_SUMMARIES: Final[dict[str, dict[str, str]]] = {system: {} for system in ("", *DIALECTS)}
_TEXTS: Final[dict[str, dict[str, str]]] = {system: {} for system in _SUMMARIES}


def summary(sql: object, limit: int = LONGEST, *, system: str = "") -> str:
    """The operations and their targets, in order: `INSERT audit SELECT users`.

    They are spelt as in the statement, in at most `limit` characters, with no name cut. A name that WITH defines is
    left out, and so is a string in place of a name. The result is "" for a statement without a known operation, and
    for an object that is neither text nor bytes. Any thread may call it: 0.14 µs for a statement seen before, else 8
    µs for 100 characters.
    """
    text = sql if type(sql) is str and len(sql) <= LOOK else _prefix(sql)
    known = _SUMMARIES.get(system)
    if known is None:
        known = _SUMMARIES[""]
    summary = known.get(text) if limit == LONGEST else None
    if summary is None:
        summary = _join(walk(_whole(text), DIALECTS.get(system, UNKNOWN)), limit)
        if limit == LONGEST:
            _keep(known, text, summary)
    return summary


def sanitise(sql: object, *, system: str = "", limit: int = LOOK) -> str:
    """The statement with every literal replaced by `?`, without comments, on one line.

    `IN (1, 2)` becomes `IN (?)`, and the rows of `VALUES` become one `(?)`. Placeholders and names stay, also quoted;
    in sqlite, and if `system` is not known, "x" stays only where a string cannot stand. The result has at most `limit`
    characters, with " …" at its end if the statement is longer, and is "" for comments alone or for a text that does
    not begin like a statement. It has passed the redactor, so `password = secret` is hidden where a name could stand.
    Any thread may call it: 33 µs for 100 characters not seen before.
    """
    text = sql if type(sql) is str and len(sql) <= LOOK else _prefix(sql)
    known = _TEXTS.get(system)
    if known is None:
        known = _TEXTS[""]
    sanitised = known.get(text)
    if sanitised is None:
        sanitised = _without_literals(_whole(text), DIALECTS.get(system, UNKNOWN))
        _keep(known, text, sanitised)
    if len(text) > LOOK or len(sanitised) > limit:
        sanitised = sanitised[: max(0, limit - 2)] + " …" if sanitised else ""
    return sanitised


def _without_literals(text: str, dialect: Dialect) -> str:
    def replaced(match: re.Match[str]) -> str:
        kept = match["kept"]
        if kept is None:
            return " " if match["comment"] is not None else f"{match['opens'] or ''}?"
        if kept.upper() in {"TRUE", "FALSE"}:
            return "?"
        if dialect.double == "either" and _ALONE.fullmatch(kept):
            return kept if _NAMING.search(text[max(0, match.start() - 20) : match.start()]) else "?"
        return kept

    text = " ".join(tokens(dialect).sub(replaced, text).split())
    if not _BEGINS.match(text):
        return ""
    return redact(_ROWS.sub(r"\1 (?)", _SIGN.sub(r"\1?", _PASSWORD.sub(r"\1 ?", text))))


def _prefix(sql: Any) -> str:
    """The part of `sql` that is looked at, and one character more if there is more, as a plain string.

    Methods are called on the class, for a subclass of str may bring its own.
    """
    if issubclass(type(sql), str):
        return str.__getitem__(sql, slice(LOOK + 1))
    if issubclass(type(sql), bytes):
        head: bytes = bytes.__getitem__(sql, slice(LOOK + 1))
        return head.decode("utf-8", "replace")
    return ""


def _whole(text: str) -> str:
    """`text` without its last word, if that may be cut off."""
    return text if len(text) <= LOOK else "".join(text[:LOOK].rsplit(None, 1)[:1])


def _keep(known: dict[str, str], text: str, value: str) -> None:
    if len(known) >= KEPT:
        known.clear()
    known[text] = value


def _join(words: list[str], limit: int) -> str:
    text = " ".join(words)
    if len(text) > limit:
        while words and len(text) > limit:
            text = text[: -len(words.pop()) - 1]
    return text
