"""The redactor for everything that leaves: source lines, arguments, notes, messages, connection strings.

It must not let a secret through for the sake of a nicer text, take more than linear time, or look at more than the
first 16384 characters. It recognises a secret by the name before it, by its place in a URL or a command, and a few by
their shape; a secret in a text without any such sign cannot be recognised.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from whoholds.text import redact_patterns as known
from whoholds.text.commands import COMMANDS, ORACLE, USER, Command, redact_commands
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN: Final = known.HIDDEN
LOOK: Final = 16_384
"""Characters looked at; the rest is not shown."""


def redact(text: str) -> str:
    """`text`, of any length, with each secret in it replaced by `***`. Any thread may call it.

    Text beyond LOOK characters is left out, and " …" stands in its place.
    """
    cut = len(text) > LOOK
    if cut:  # do not cut within a word
        text = "".join(text[:LOOK].rsplit(None, 1)[:1])
    small = text.lower()
    if _any(known.NAMES, small):
        text = _named(text)
    if "://" in small and "@" in small:
        text = _urls(text, cut=cut)
    if _any(known.SHAPES, small):
        text = _shaped(text)
    text = redact_commands(text)
    return f"{text} …" if cut else text


@lru_cache(maxsize=1024)
def shown_name(name: str) -> str:
    """The name of a thread, task, pool, scope or work, which the program or its user chose, as it may be shown."""
    return visible(redact(name))


def redact_part(part: str, *, user: bool = False) -> str:
    """A database's name, host or `user` as it may be shown, for it may be a whole connection string by mistake."""
    if user and "://" not in part:
        name = re.split("[/:=]", part, maxsplit=1)[0]
        return part if name == part else f"{name}/{HIDDEN}"
    shown = _urls(redact(part), whole=True)
    if shown == part and re.search(r"[:/].*@", part) and not re.match(r"[/.~]|[A-Za-z]:[\\/]", part):
        return f"{HIDDEN}{part[part.rindex('@') :]}"
    return shown


def _any(words: tuple[str, ...], text: str) -> bool:
    for word in words:  # noqa: SIM110 - a generator costs as much as the ten tests
        if word in text:
            return True
    return False


def redact_argv(argv: Sequence[str]) -> list[str]:
    """The arguments of a command, as a list, with each secret in them replaced by `***`."""
    shown: list[str] = []
    words: list[str] = []
    commands: list[Command] = []
    follows = user = oracle = False
    for item in argv:
        head = item[:LOOK]
        if follows and not known.pattern(known.FLAG).fullmatch(head.partition("=")[0]):
            text, follows = HIDDEN, False
        else:
            text, follows = _argument(item, commands, user=user, oracle=oracle)
        shown.append(text)
        user = known.pattern(USER).fullmatch(head) is not None
        words = [*words[-2:], head.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")]
        called = {" ".join(words[-count:]) for count in (1, 2, 3)}
        commands += [command for command in COMMANDS if any(map(known.pattern(command.names).fullmatch, called))]
        oracle = oracle or known.pattern(ORACLE).fullmatch(words[-1]) is not None
    return shown


def _argument(item: str, commands: list[Command], *, user: bool, oracle: bool) -> tuple[str, bool]:
    """An argument as it may be shown, and whether the next argument is a secret."""
    head = item[:LOOK]
    for command in commands:
        flag = re.match(command.flags, head)  # the case of a flag counts
        if flag and head[flag.end() :]:
            return flag[0] + HIDDEN, False
        if flag and not command.only_glued:
            return head, True
    if known.pattern(rf"--?[\w.-]*?{known.KEY}").fullmatch(head):
        return head, True
    named = known.pattern(rf"(-{{0,2}}[\w.-]*?{known.KEY}=).+").fullmatch(head)
    named = named or known.pattern(rf"({USER}=[^:/]*:)(?!\d+\Z).+").fullmatch(head)
    named = named or (known.pattern(r"([^:/]*:)(?!\d+\Z).+").fullmatch(head) if user else None)
    if named:
        return named[1] + HIDDEN, False
    name, slash, rest = head.partition("/")
    if oracle and slash and name and name[0] not in "-.@":
        at = rest.rfind("@")
        return f"{name}/{HIDDEN}{rest[at:] if at >= 0 else ''}", False
    return _urls(redact(item), whole=True), False


def _named(text: str) -> str:
    """`text` with the values hidden whose names are those of secrets."""
    parts: list[str] = []
    at = done = 0
    while match := known.pattern(known.NAMED).search(text, at):
        at, value = match.end(), _value(text, match)
        if value is not None:
            start, at, shown = value
            parts += (text[done:start], shown)
            done = at
    return "".join((*parts, text[done:]))


def _value(text: str, match: re.Match[str]) -> tuple[int, int, str] | None:
    """Where the value begins and ends and the text to show for it; None for no value or a harmless one."""
    start = match.end()
    before = text[max(0, match.start() - 64) : match.start()]
    if match["colon"] and (kind := known.pattern(known.TYPE).match(text, start)):
        if not kind["default"]:
            return None
        start = kind.end()
    quoted = known.pattern(known.QUOTED).match(text, start)
    if match["space"] and not quoted and not known.pattern(r"(?:\A|[\s\"'\[(,])--?[\w-]*\Z").search(before):
        return None
    if match["comma"] and not known.pattern(r"(?:\(\s*[\"'][\w.-]*|[\"']--?[\w-]*)\Z").search(before):
        return None
    harmless = known.pattern(known.HARMLESS).match(text, start)
    end, shown = (harmless.end(), "") if harmless else _end(text, start, before, match[0], quoted)
    goes_on = known.pattern(known.BESIDE if quoted and not match["space"] else known.FALLBACK)
    while more := goes_on.match(text, end):
        end, shown = more.end(), shown or HIDDEN
    return (start, end, shown) if shown else None


def _end(text: str, start: int, before: str, name: str, quoted: re.Match[str] | None) -> tuple[int, str]:
    """Where the value that begins at `start` ends, and the text to show for it: "" if it is empty.

    `name` is the name with all between it and the value; `before` is the text before the name.
    """
    if inner := known.pattern(known.SHELL).match(text, start):
        return inner.end(), HIDDEN
    if quoted:
        mark = next(letter for letter in quoted[0] if letter in "\"'$")
        return _matched(known.TOUCHING, text, start), f"{mark}{HIDDEN}{mark}"
    if escaped := known.pattern(rf"(?P<mark>{known.ESCAPED}).*?(?:(?<!\\)(?P=mark)|\Z)").match(text, start):
        return escaped.end(), f"{escaped['mark']}{HIDDEN}{escaped['mark']}"
    if (opening := known.pattern(r"[\"'](?=-{0,2}[\w.-]*\Z)").search(before)) and "'" not in name and '"' not in name:
        whole = _matched(known.TOUCHING, text, start - len(name) - len(before) + opening.start())
        if whole > start:  # '--password=a b', 'PGPASSWORD=a b': the quotes are around the name, too
            return whole, HIDDEN + opening[0]
    stop = "&" if known.pattern(r"[?&][\w.-]*\Z").search(before) else ""  # in a URL's query
    stop = ";" if known.pattern(r";\s*[\w. -]*\Z").search(before) else stop  # in an ODBC string
    stop = "&" if name.lower().endswith("%3d") else stop  # in a string that was quoted for a URL
    end = _matched(known.BARE.format(stop), text, _matched(known.BRACED, text, start))
    value = text[start:end]
    line = text.find("\n", end)
    line = len(text) if line < 0 else line
    if any(value.count(opened) > value.count(closed) for opened, closed in ("()", "[]", "{}")):
        return line, HIDDEN  # a call whose arguments go on after a space
    for mark in "\"'":  # PGPASSWORD=a"b c"d: this quote opens here, for the quotes before it are closed
        opened = value.find(mark)
        if opened >= 0 and text.count(mark, text.rfind("\n", 0, start) + 1, start) % 2 == 0:
            closed = text.find(mark, start + opened + 1, line)
            if closed >= end:
                end = _matched(known.BARE.format(""), text, closed)
    value = text[start:end]
    value = value if value.startswith("{") else value.rstrip("\"')]},;>")
    return start + len(value), HIDDEN if value else ""


def _matched(source: str, text: str, start: int) -> int:
    """Where a match of `source` that begins at `start` ends; `start` if there is no match."""
    match = known.pattern(source).match(text, start)
    return match.end() if match else start


def _urls(text: str, *, cut: bool = False, whole: bool = False) -> str:
    """`text` with the passwords of URLs hidden, each from the first `:` to the last `@`, which it may contain itself.

    A URL ends at a space, or where the quote before it closes; with `whole` the text is one URL if it begins like one.
    `cut` says that the end of the text was cut off.
    """
    parts: list[str] = []
    at = done = 0
    while match := known.pattern(known.URL).search(text, at):
        start = match.end()
        ending = rf"[{match['quote']}\n]" if match["quote"] else r"\s"
        if whole and match.start() == 0:
            ending = r"(?!)"
        closing = known.pattern(ending).search(text, start)
        at = closing.start() if closing else len(text)
        last = at if cut and not closing else text.rfind("@", start, at)
        colon = text.find(":", start, last)
        if last <= start or text[start] in "/[":
            continue
        if colon >= 0:
            parts += (text[done : colon + 1], HIDDEN)
            done = last
        elif match["scheme"].lower() in {"http", "https"} and not re.search(r"[/?#]", text[start:last]):
            parts += (text[done:start], HIDDEN)  # a token without a user
            done = last
    return "".join((*parts, text[done:]))


def _shaped(text: str) -> str:
    """`text` with the secrets hidden that have a known shape, and the password of `user/password@place`."""
    text = known.pattern(known.SHAPED).sub(HIDDEN, text)
    return known.pattern(known.CREDENTIALS).sub(rf"\g<user>{HIDDEN}", text) if "@" in text else text
