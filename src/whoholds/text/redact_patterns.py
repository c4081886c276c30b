"""Patterns of what a secret looks like, and of what stands around it.

A pattern must not match a text in two ways, nor contain a repetition without a bound or an end, so that a hostile text
costs no more than a long one. All are compiled to ignore case, with a dot that matches line ends, too.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

HIDDEN: Final = "***"


@cache
def pattern(source: str) -> re.Pattern[str]:
    """`source` compiled. It is compiled at its first use, so that a program's start need not wait for it."""
    return re.compile(source, re.IGNORECASE | re.DOTALL)


# In lower case; a text that contains none of them contains nothing that would be recognised as a secret.
NAMES: Final = (
    *("pass", "pw", "secret", "token", "key", "cred", "identified", "auth", "signature", "sig=", "sig%3d"),
    *("pin=", "pin:", "pin "),
)
SHAPES: Final = (
    *("akia", "asia", "abia", "acca", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "xapp-", "eyj"),
    *("glpat-", "glrt-", "gldt-", "sk-", "sk_", "rk_", "pk_live", "whsec_", "hvs.", "hvb.", "dapi", "aiza", "ya29."),
    *("npm_", "pypi-", "sg.", "shpat_", "shpss_", "dop_v1", "doo_v1", "hf_", "sntry", "lin_api_", "pul-", "glsa_"),
    *("glc_", "nvapi-", "pscale_", "sbp_", "age-secret", "key-", "rubygems_", "pmak-", "atlasv1.", "dckr_pat_"),
    *("figd_", "sq0", "napi_", "r8_", "-----begin", "bearer", "basic ", "@"),
)

# The end of the name of a secret: db_password, PGPASSWORD, clientSecret, aws_secret_access_key; but neither
# passfile and sslkey, which are paths, nor token_type, bypass, compass.
KEY: Final = (
    r"(?:pass(?:words?|wd|phrase|code)|pwd|secrets?|token|credentials?|(?:(?<![a-z])|db|user|pg|root|admin)pass_?"
    r"|(?:(?<![a-z])|db|pg|user|root|admin|my|sql)pw|(?<![a-z])(?:creds?|pin|auth)"
    r"|(?:api|access|account|secret|private|signing|encryption|master|shared)[_-]?key"
    r"|(?<=[?&-])signature|accesssignature|(?<=[?&])sig)"
    r"(?:[_-]?(?:value|hash|text|plain|raw|old|new|str|b64|base64|\d{1,3}))?"
)
# The text between the name and the value: = := => == != and :, with a closed quote before it; or only a space,
# after a flag and in PASSWORD 'x'; or a comma, in get("PGPASSWORD", "x") and ["--password", "x"].
_PREFIX: Final = r"(?:[bfut]r?|r[bft]?|[enx]|u&)?"  # Python's and SQL's prefixes of a quote
_START: Final = rf"(?:\(\s{{0,80}})?(?={_PREFIX}\\*[\"'])"
# A flag that is not the value of the flag before it: psql --password --host h.
FLAG: Final = (
    r"-{1,2}(?:[a-z?]|host(?:name)?|port|user(?:name)?|dbname|database|db|command|file|version|help|verbose|quiet|silent"
    r"|no-password|list|echo|table|tables|data-only|schema-only|format|ssl[\w-]{0,20}|tls[\w-]{0,20}|config|protocol"
    r"|socket|execute|batch|url|uri|server|prompt|interactive|reload|bind|workers|log-level|debug|env|name|output|input"
    r"|default-character-set|dry-run|force|yes)(?=[\s=\"']|\Z)"
)
NAMED: Final = (
    rf"{KEY}(?:[\"'\\\] \t]{{0,8}}(?:[=!]?={{1,2}}>?|%3d|(?P<colon>:)=?)(?:\s{{0,80}}{_START}|[ \t]{{0,80}})"
    rf"|(?P<space>[\"']?(?:[ \t]{{1,80}}|\s{{1,80}}(?={_PREFIX}[\"'])))(?!{FLAG})"
    rf"|(?P<comma>[\"']\s{{0,80}},\s{{0,80}}{_START}))"
    r"|\bidentified\s{1,80}(?:with\s{1,80}\S{1,80}\s{1,80})?(?:by|as|using)\s{1,80}(?:(?:password|values)\s{1,80})?"
    r"|\bset\s{1,80}password\s{1,80}for\s{1,80}[^=]{1,200}=\s{0,80}"
    r"|\bpragma\s{1,80}(?:\w{1,60}\.)?(?:hex|text)?(?:re)?key\s{0,80}[=(]\s{0,80}"
    r"|\battach\b[^;\n]{1,300}?\bkey\s{1,80}"
    r"|\bauthorization[\"' ]{0,3}[:=][\"' ]{0,3}(?:(?:basic|bearer|digest|token|apikey) +)?"
)
ESCAPED: Final = r"\\+[\"']"
QUOTED: Final = (
    rf"{_PREFIX}(?:"
    r"'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*(?:'''|\\?\Z)"
    r'|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:"""|\\?\Z)'
    r"|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\\?\Z)|\"[^\"\\]*(?:\\.[^\"\\]*)*(?:\"|\\?\Z))"
    r"|\$(?:[^\W\d]\w{0,30})?\$(?:.*\$\w{0,31}\$|.*)"  # PostgreSQL's dollar quotes, to the last that could close it
)
# A quote within quotes, as shells write it: 'password='"'"'a b'"'"' host=h'. It ends with the word around it.
SHELL: Final = r"'(?:\"'\"|\\')'(?:[^']|'(?:\"'\"|\\')')*"
# Where a value goes on: shells and SQL join strings that touch, Python those with a +, an "or" or a space between.
TOUCHING: Final = rf"(?:{QUOTED}|[^\s\"',;)\]}}&:]+)+"
FALLBACK: Final = rf"\s{{0,80}}\+[^\n]*|[ \t]{{1,80}}(?:or|else|if [^\n]{{1,80}}? else)[ \t]{{1,80}}{QUOTED}"
BESIDE: Final = rf"\s{{0,80}}{QUOTED}|{FALLBACK}"
BARE: Final = r"[^\s\\{0}]*(?:\\.[^\s\\{0}]*)*\\?"  # up to a space, or to a character put in for {0}
BRACED: Final = r"\{[^}]*(?:\}\}[^}]*)*\}?"  # ODBC
TYPE: Final = (  # password: str | None = "x"
    r"(?:typing\.|t\.|pydantic\.)?(?:str|bytes|SecretStr|Any|object|None|Optional|Final)\b"
    r"(?:\[[\w., |]{0,80}\])?(?: ?\| ?\w+)*[ ]{0,3}(?:(?P<default>=(?!=)\s{0,80})|(?=[,)\n]|\Z|->))"
)
# A value's source is no secret, nor is its absence, nor a placeholder.
HARMLESS: Final = (
    r"(?:None|null|true|false|\"\"|''|%s|%\(\w+\)s|\?|\$\d+|\.\.\.|(?:YES|NO)(?=\))"
    r"|(?:os\.)?environ\[[\"']\w+[\"']\]|(?:os\.)?(?:environ\.get|getenv)\([\"']\w+[\"']\)"
    r"|(?:getpass\.)?getpass\([^()\n]{0,80}\)|\$\{[A-Z_][A-Z0-9_]*\}"
    r"|(?:self|cls|settings|config|conf|cfg|args|options|opts|env|app)\.[a-z_][\w.]*)(?=[\s,;)\]}]|\Z)"
)
URL: Final = r"(?P<quote>[\"'])?\b(?P<scheme>[a-z][a-z0-9+.-]{1,30})://"
SHAPED: Final = (
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{12,}\b|\bgh[pousr]_\w{16,}|\bgithub_pat_\w{16,}|\bxox[a-z]{1,2}[-.][\w.-]{10,}"
    r"|\bxapp-[\w-]{10,}|\bbearer +[\w.~+/=-]{8,}|\bbasic +[\w+/=-]{8,}|\bgl(?:pat|rt|dt|cbt|ptt|ft|soat)-[\w-]{15,}"
    r"|\bsk-[\w-]{16,}|\b(?:sk|rk|pk)_(?:live|test)_\w{8,}|\bwhsec_[\w+/=]{8,}|\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"
    r"|\bhv[sbr]\.[\w.-]{8,}|\bdapi[0-9a-f]{16,}[\w-]*|\bAIza[\w-]{20,}|\bya29\.[\w-]{10,}|\bnpm_\w{16,}|\bpypi-[\w-]{16,}"
    r"|\bSG\.[\w-]{8,}\.[\w-]*|\bshp(?:at|ss|ca|pa)_\w{16,}|\bdo[opr]_v1_\w{16,}|\bhf_\w{16,}|\bsntry[su]_[\w=/+-]{16,}"
    r"|\blin_api_\w{16,}|\bpul-\w{16,}|\bgl(?:sa|c)_[\w=/+-]{16,}|\bnvapi-[\w-]{16,}|\bpscale_[a-z]{2,8}_[\w.-]{8,}"
    r"|\bsbp_\w{16,}|\bAGE-SECRET-KEY-\w{16,}|\bkey-[0-9a-f]{16,}|\brubygems_\w{16,}|\bPMAK-[\w-]{16,}|\bnapi_\w{16,}"
    r"|\b\w{10,20}\.atlasv1\.[\w-]{16,}|\bdckr_pat_[\w-]{12,}|\bfigd_[\w-]{16,}|\bsq0[a-z]{3}-[\w-]{12,}|\br8_\w{16,}"
    r"|-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,30}-----|\Z)"
)
# A user and a password without a scheme before them: scott/tiger@shop, app:secret@host.
CREDENTIALS: Final = (
    r"(?<![\w/.:@%+&=-])(?![A-Za-z]:[\\/])(?P<user>[A-Za-z][\w$#.-]{0,62}(?::(?!//)|/(?!\S{0,300}\.pyw?\b)))"
    r"[^\s\"']{1,300}(?=@[\w\[])"
)
