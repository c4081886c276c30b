"""Commands that take a secret as an argument: which flags of which command, and how they look in a text.

It must not take a flag for a secret's where it is the port's or the path's flag of that command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from whoholds.text.redact_patterns import BARE, HIDDEN, TOUCHING, pattern

if TYPE_CHECKING:
    import re


class Command(NamedTuple):
    """One kind of command, as patterns of its names and of its flags for secrets."""

    names: str
    flags: str
    only_glued: bool = False


# The flags whose value is a secret, by command; the value is glued to the flag or is the next argument. With
# `only_glued` a flag alone has no value. The case of a flag counts: -P is mysql's port and sqlcmd's password.
COMMANDS: Final = (
    Command(r"mysql[\w-]{0,20}|mariadb[\w-]{0,20}|mycli", "-p", only_glued=True),
    Command(r"7z[az]?|rar|unrar", "-p", only_glued=True),
    Command(r"sshpass|mongo[a-z]{0,10}|cqlsh|dsbulk", "-p"),
    Command(r"(?:docker|podman|helm|buildah|skopeo|nerdctl|az|oc) (?:[\w-]{1,20} )?login", "-p"),
    Command(r"(?:redis|valkey|keydb)-cli", "-a"),
    Command(r"sqlcmd|bcp|tsql|osql|isql|zip|unzip", "-P"),
    Command(r"curl", r"-[a-zA-Z#]{0,12}?[uU]"),
    Command(r"ldap[a-z]{3,12}|vsql", "-w"),
    Command(r"snmp[a-z]{2,12}", "-[AXac]"),
    Command(r"smbclient|rpcclient|smbget", "-U"),
    Command(r"openssl", "-(?:k|K|passin|passout|passwd|pass)"),
)
ORACLE_ONLY: Final = r"sqlplus|sqlcl|sqlldr|expdp|impdp|rman"  # none of these is a word of a language
ORACLE: Final = rf"{ORACLE_ONLY}|exp|imp"
USER: Final = r"-{1,2}(?:u|user|username|login|proxy-user|basic-auth|http-user)"
# A text that contains none of these words, in lower case, contains no such command.
_WORDS: Final = tuple(
    "mysql maria mycli 7z rar sshpass mongo cqlsh dsbulk login redis valkey keydb sqlcmd bcp tsql osql isql zip curl "
    "ldap vsql snmp smb rpcclient openssl sqlplus sqlcl sqlldr expdp impdp rman -u --http --proxy --basic".split()
)


def redact_commands(text: str) -> str:
    """`text` with the secrets in the arguments of known commands hidden, wherever in it a command stands."""
    small = text.lower()
    if not any(word in small for word in _WORDS):
        return text
    value = rf"(?:(?=[\"']){TOUCHING}|{BARE.format('')})"
    for command in COMMANDS:
        joined = r"(?=\S)" if command.only_glued else r"(?:\s{1,3}|=|(?=\S))"
        flag = rf"(?-i:{command.flags})"
        flagged = pattern(
            rf"(?P<before>\b(?:{command.names})\b[^\n|;&]{{0,200}}?\s)"
            rf"(?:(?=[\"']{flag}){TOUCHING}|(?P<flag>{flag}{joined})(?!\*\*\*){value})"
        )
        for _ in range(4):  # each pass hides one more secret of a command
            text, hidden = flagged.subn(_flag_only, text)
            if not hidden:
                break
    text = pattern(rf"({USER}[\s=]{{1,3}})(?=[\"'][^\s\"']{{0,100}}:){TOUCHING}").sub(rf"\1{HIDDEN}", text)
    text = pattern(rf"(?<=[\"'])({USER}=[^\s:\"']{{1,100}}:).+").sub(rf"\1{HIDDEN}", text)
    text = pattern(rf"({USER}[\s=]{{1,3}}[^\s:\"'/]{{1,100}}:)(?!\d+(?:\s|\Z))\S+").sub(rf"\1{HIDDEN}", text)
    name = r"(?:\w{1,20}=)?[\w$#.]{1,60}/"
    return pattern(rf"(\b(?:{ORACLE_ONLY})\b[^\n|;&]{{0,100}}?\s[\"']?{name})(?!\*\*\*)\S+").sub(rf"\1{HIDDEN}", text)


def _flag_only(match: re.Match[str]) -> str:
    return f"{match['before']}{match['flag'] or ''}{HIDDEN}"
