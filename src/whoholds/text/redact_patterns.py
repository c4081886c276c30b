"""What a secret looks like, and what stands around it.

Must not match one text in two ways, nor leave a repetition without a bound or an end: a hostile text costs no
more than a long one. All are meant for any case, with a dot that takes line ends too.
"""

from __future__ import annotations

from typing import Final

# In small letters; a text without any of them holds nothing that we would know for a secret.
NAMES: Final = ("pass", "pw", "secret", "token", "key", "credential", "identified", "authorization")
SHAPES: Final = (
    *("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "glpat-", "sk-", "eyj"),
    *("-----begin", "bearer", "-p"),
)

# The end of the name of a secret: db_password, PGPASSWORD, clientSecret, aws_secret_access_key; but neither
# passfile and sslkey, which are paths, nor token_type, bypass, compass.
KEY: Final = (
    r"(?:pass(?:words?|wd|phrase|code)|pwd|secrets?|token|credentials?|(?:(?<![a-z])|db|user|pg|root|admin)pass"
    r"|(?<![a-z])pw|(?:api|access|account|secret|private|signing|encryption|master)[_-]?key)"
    r"(?:[_-]?(?:value|hash|text|plain|raw|old|new|str|b64|base64|\d{1,3}))?"
)
# What stands between the name and the value: = := => == != and :, a closed quote before it; or only a space,
# after a flag and in PASSWORD 'x'; or a comma, in get("PGPASSWORD", "x") and ["--password", "x"].
_PREFIX: Final = r"(?:[bfu]r?|r[bf]?)?"  # Python's, before a quote
_START: Final = rf"(?:\(\s{{0,80}})?(?={_PREFIX}\\*[\"'])"
NAMED: Final = (
    rf"{KEY}(?:[\"'\\\] \t]{{0,8}}(?:[=!]?={{1,2}}>?|(?P<colon>:)=?)(?:\s{{0,80}}{_START}|[ \t]{{0,80}})"
    rf"|(?P<space>[\"']?[ \t]{{1,80}})(?!-)|(?P<comma>[\"']\s{{0,80}},\s{{0,80}}{_START}))"
    r"|\bidentified\s{1,80}by\s{1,80}(?:password\s{1,80})?"
    r"|\bauthorization[\"' ]{0,3}[:=][\"' ]{0,3}(?:(?:basic|bearer|digest|token|apikey) +)?"
)
ESCAPED: Final = r"\\+[\"']"
QUOTED: Final = (
    rf"{_PREFIX}(?:"
    r"'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*(?:'''|\\?\Z)"
    r'|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:"""|\\?\Z)'
    r"|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\\?\Z)|\"[^\"\\]*(?:\\.[^\"\\]*)*(?:\"|\\?\Z))"
)
# What goes on: shell and SQL join what touches, Python what a +, an "or" or only a space parts.
TOUCHING: Final = rf"(?:{QUOTED}|[^\s\"',;)\]}}&:]+)+"
FALLBACK: Final = rf"\s{{0,80}}\+[^\n]*|[ \t]{{1,80}}(?:or|else|if [^\n]{{1,80}}? else)[ \t]{{1,80}}{QUOTED}"
BESIDE: Final = rf"\s{{0,80}}{QUOTED}|{FALLBACK}"
BARE: Final = r"[^\s\\{0}]*(?:\\.[^\s\\{0}]*)*\\?"  # up to a space, or to what is put in for {0}
BRACED: Final = r"\{[^}]*(?:\}\}[^}]*)*\}?"  # ODBC
TYPE: Final = (  # password: str | None = "x"
    r"(?:typing\.|t\.|pydantic\.)?(?:str|bytes|SecretStr|Any|object|None|Optional|Final)\b"
    r"(?:\[[\w., |]{0,80}\])?(?: ?\| ?\w+)*[ ]{0,3}(?:(?P<default>=(?!=)\s{0,80})|(?=[,)\n]|\Z|->))"
)
# Where the value comes from is no secret, nor is its absence, nor a placeholder.
HARMLESS: Final = (
    r"(?:None|null|true|false|\"\"|''|%s|%\(\w+\)s|\?|\$\d+|\.\.\.|(?:YES|NO)(?=\))"
    r"|(?:os\.)?environ\[[\"']\w+[\"']\]|(?:os\.)?(?:environ\.get|getenv)\([\"']\w+[\"']\)"
    r"|(?:getpass\.)?getpass\([^()\n]{0,80}\)|\$\{[A-Z_][A-Z0-9_]*\}"
    r"|(?:self|cls|settings|config|conf|cfg|args|options|opts|env|app)\.[a-z_][\w.]*)(?=[\s,;)\]}]|\Z)"
)
URL: Final = r"(?P<quote>[\"'])?\b(?P<scheme>[a-z][a-z0-9+.-]{1,30})://"
CLIENT: Final = r"\b(?:mysql|mariadb|mycli)[\w-]{0,20}\b[^\n|;&]{0,200}?\s(?=[\"']?-p[^\s=])"
SHAPED: Final = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abeoprs]-[\w-]{10,}"
    r"|\bbearer +[\w.~+/=-]{8,}|\bglpat-[\w-]{15,}|\bsk-[\w-]{20,}|\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}-----|\Z)"
)

# Flags whose value is secret for these commands only; mysql's is glued to its flag.
FLAGS: Final = {"sshpass": "-p", "redis-cli": "-a", "sqlcmd": "-P", "bcp": "-P", "tsql": "-P", "curl": "-u"}
