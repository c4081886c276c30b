"""Connection strings with only their harmless parts shown: a URL, a libpq conninfo or an ODBC string.

It must not show what it does not understand: a text that is not wholly one of these three, with known names of
parameters, gives None. The redactor works the other way round, and is for text that may contain anything.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"

_HOSTS: Final = frozenset("host hostname hostaddr address server unix_socket addr datasource".split())
_FILES: Final = frozenset("database db dbname dbq filename path".split())
_USERS: Final = frozenset("user username uid userid login_user".split())
_WORDS: Final = frozenset(
    "port application_name applicationname app program_name client_encoding charset encoding sslmode ssl_mode "
    "connect_timeout timeout login_timeout command_timeout read_timeout write_timeout isolation_level "
    "target_session_attrs schema driver dsn warehouse role gssencmode channel_binding mode cache immutable uri "
    "check_same_thread autocommit auto_commit tds_version trustservercertificate encrypt trusted_connection keepalives "
    "keepalives_idle keepalives_interval keepalives_count minconn maxconn min_size max_size minsize maxsize pool_size "
    "max_overflow pool_name pool_recycle pool_timeout collation sql_mode dialect drivername backend "
    "load_balance_hosts tcp_user_timeout statement_cache_size echo future family name daemon thread_name_prefix "
    "initial_catalog kind".split()
)
_SECRET: Final = re.compile(
    r"(?i).*(?:pass(?:word|wd|phrase|code)?|pwd|pw|secret|token|key|credentials?|signature|sig|auth)\d*\Z"
)
_NETWORKED: Final = re.compile(
    r"(?i)(?:jdbc:)?(?:postgres|postgresql|mysql|mariadb|mssql|sqlserver|oracle|cockroachdb|redshift|snowflake|clickhouse|"
    r"db2|ibmi|firebird|hana|teradatasql|vertica|trino|presto|hive|mongodb|redis|rediss|amqp|amqps)(?:\+[a-z0-9]+)*\Z"
)
_IN_FILES: Final = re.compile(r"(?i)(?:jdbc:)?(?:sqlite|duckdb)(?:\+[a-z0-9]+)*\Z")
_BRACE: Final = r"\{[\w.]{1,60}\}"  # a field of an f-string
_HOST: Final = re.compile(
    rf"(?:(?:[\w.-]|{_BRACE}){{1,120}}|\[?[0-9a-fA-F]{{0,4}}(?::[0-9a-fA-F]{{0,4}}){{2,7}}\]?|/[\w./-]{{0,120}}|%2[Ff][\w.%-]{{1,120}})?"
    rf"(?:[:,](?:\d{{1,5}}|{_BRACE}))?"
)
_USER: Final = re.compile(rf"(?:[\w.+-]|{_BRACE}){{1,64}}(?:@[\w.-]{{1,64}})?")
_WORD: Final = re.compile(rf"(?:[\w.:+-]|{_BRACE}){{0,64}}")
_NAME: Final = re.compile(rf"(?:[\w.-]|{_BRACE}){{0,64}}")
_EXTENSION: Final = r"\.(?:db3?|sqlite3?|sqlite-\w{1,10}|duckdb|ddb|gpkg|mdb)"
_PATH: Final = re.compile(
    rf":memory:|(?:[A-Za-z]:[\\/]{{1,2}}|~?[\\/]|\.{{1,2}}[\\/])?(?:(?:[\w. -]|{_BRACE}){{1,80}}[\\/]{{1,2}}){{0,20}}"
    rf"(?:[\w. -]|{_BRACE}){{0,80}}"
)
_FILE: Final = re.compile(rf":memory:|{_PATH.pattern.partition('|')[2]}{_EXTENSION}")
_FILE_URI: Final = re.compile(
    r"file:(?P<path>[^?#]{0,300})"
    r"(?P<query>(?:[?&](?:mode|cache|immutable|nolock|vfs|psow)=[\w-]{1,20}){0,6})"
)
_PAIR: Final = re.compile(
    r"\s{0,20}(?P<key>[A-Za-z_]\w{0,40})\s{0,20}=\s{0,20}(?P<value>'[^'\\]*(?:\\.[^'\\]*)*'|[^\s'\\]*)(?=\s|\Z)",
    re.DOTALL,
)
_ODBC: Final = re.compile(
    r"\s{0,20}(?P<key>[A-Za-z_][\w ]{0,40}?)\s{0,20}=\s{0,20}"
    r"(?P<value>\{[^}]*(?:\}\}[^}]*)*\}|[^;{}'\"]*)(?:;|\Z)"
)


def is_harmless(name: str) -> bool:
    """Whether a parameter of this name holds no secret: `host`, `dbname`, `application_name`."""
    low = name.lower()
    return low in _HOSTS or low in _FILES or low in _USERS or low in _WORDS


def is_secret(name: str) -> bool:
    """Whether a parameter of this name holds a secret: `password`, `sslkey`, `aws_session_token`."""
    return _SECRET.match(name) is not None


def harmless_value(name: str, value: str) -> str | None:
    """The value of a harmless parameter as it may be shown; None if it does not look like such a value."""
    low = name.lower()
    if "://" in value or "=" in value:
        return connection_text(value)
    if low in _HOSTS:
        fits = all(map(_HOST.fullmatch, value.split(",")))
    elif low in _USERS:
        fits = _USER.fullmatch(value) is not None
    elif low in _FILES:
        return value if _NAME.fullmatch(value) else file_path(value)
    else:
        fits = low in _WORDS and _WORD.fullmatch(value) is not None
    return value if fits else None


def plain_path(value: str) -> str | None:
    """The path of a database's file, or a `file:` URI with known parameters; None for anything else."""
    uri = _FILE_URI.fullmatch(value)
    if uri is not None:
        return value if _PATH.fullmatch(uri["path"].removeprefix("//")) else None
    return value if _PATH.fullmatch(value) else None


def file_path(value: str) -> str | None:
    """Like `plain_path`, but only for a path with a database file's usual ending or with a path's beginning."""
    begins = value.startswith(("/", "./", "../", "~/", "file:"))
    return plain_path(value) if begins or _FILE.fullmatch(value) else None


def connection_text(value: str) -> str | None:
    """`value` with `***` for its secrets, or None if it is not wholly a connection string that is understood."""
    scheme, colon, rest = value.partition("://")
    if colon and re.fullmatch(r"(?:jdbc:)?[A-Za-z][\w+.-]{0,40}", scheme):
        return _url(scheme, rest)
    if ";" in value:
        return _pairs(_ODBC, value, ";")
    if "=" in value:
        return _pairs(_PAIR, value, " ")
    return None


def _url(scheme: str, rest: str) -> str | None:
    place, mark, query = rest.partition("?")
    if "@" in query or "#" in rest:  # the end of the password can be read in two ways
        return None
    shown_query = _query(query) if mark else ""
    if _IN_FILES.match(scheme):
        return f"{scheme}://{place}{shown_query}" if _PATH.fullmatch(place) else None
    credentials, at, where = place.rpartition("@")
    hosts, slash, name = where.partition("/")
    if not _NETWORKED.match(scheme) or not all(map(_HOST.fullmatch, hosts.split(","))) or not _NAME.fullmatch(name):
        return None
    return f"{scheme}://{_credentials(scheme, credentials)}{at}{hosts}{slash}{name}{shown_query}"


def _credentials(scheme: str, text: str) -> str:
    user, colon, _ = text.partition(":")
    token = not colon and scheme.startswith(("redis", "amqp"))
    shown = user if not user or (_USER.fullmatch(user) and not token) else HIDDEN
    return shown + f":{HIDDEN}" * bool(colon)


def _query(text: str) -> str:
    shown = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if not is_harmless(name) and not is_secret(name):
            return f"?{HIDDEN}"
        plain = harmless_value(name, value) if is_harmless(name) and "=" not in value else None
        shown.append(f"{name}={HIDDEN if plain is None else plain}")
    return "?" + "&".join(shown)


def _pairs(pattern: re.Pattern[str], text: str, between: str) -> str | None:
    shown = []
    at = 0
    while at < len(text.rstrip()):
        pair = pattern.match(text, at)
        if pair is None or pair.end() == at:
            return None
        name, value = pair["key"], pair["value"]
        low = name.lower().replace(" ", "_")
        if is_secret(low):
            plain: str | None = HIDDEN if value else ""
        elif is_harmless(low):
            bare = value[1:-1] if value[:1] in ("'", "{") else value
            plain = value if low == "driver" and re.fullmatch(r"\{?[\w .-]{0,60}\}?", value) else None
            plain = value if plain is None and harmless_value(low, bare) == bare else plain
        else:
            return None
        shown.append(f"{name}={HIDDEN if plain is None else plain}")
        at = pair.end()
    return between.join(shown) + (between if text.endswith(";") else "")
