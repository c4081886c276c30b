"""Grammars that write a secret down in every way we know: each gives texts that no list of examples holds.

A rule is a function of a random source and a secret; a secret is a few chunks, each unmistakable, with what the form
allows between them, so that a part that survives shows, too.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Grammar = Callable[[random.Random], tuple[str, object]]

CHUNKS = ("Zq9Wx", "Kv7Jy", "Xj4Qz", "Wy8Vk")
SAFE = "-_.+!*~^"
TIGHT = SAFE + "@:/?#%&=$()[]{},;|<>"
LOOSE = TIGHT + " \"'\\`\t"

HOSTS = ("db", "db.internal", "10.0.0.5", "h", "localhost", "pg-primary-1.example.com", "[::1]")
NAMES = ("shop", "cars", "app_prod", "db1", "postgres")
USERS = ("app", "root", "u", "svc-cars", "scott", "admin.user")
ENGINES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "redis", "mongodb", "amqp", "clickhouse")
PLUGINS = ("", "+psycopg2", "+asyncpg", "+pymysql", "+pyodbc", "+srv")
SECRET_KEYS = (
    "password",
    "passwd",
    "pwd",
    "PASSWORD",
    "db_password",
    "pass_",
    "dbpw",
    "pgpw",
    "secret",
    "api_key",
    "token",
)
OTHER_KEYS = ("sslmode", "connect_timeout", "application_name", "charset", "timeout")


def secret(rng: random.Random, marks: str) -> str:
    """One to four chunks, with up to two of the marks behind each."""
    chunks = rng.sample(CHUNKS, rng.randrange(1, 5))
    return "".join(chunk + "".join(rng.choices(marks, k=rng.randrange(3))) for chunk in chunks)


def plain_secret(rng: random.Random) -> str:
    """A secret that is a word."""
    return secret(rng, "_")


# --- connection strings -----------------------------------------------------------------------------------------------


def url(rng: random.Random) -> str:
    """scheme://user:secret@host:port/name?parameters, or the secret in a parameter."""
    scheme = rng.choice(ENGINES) + rng.choice(PLUGINS)
    hosts = ",".join(rng.choice(HOSTS) + rng.choice(("", ":5432", ":1521")) for _ in range(rng.choice((1, 1, 1, 2))))
    name = rng.choice(("", f"/{rng.choice(NAMES)}"))
    parameters = [f"{key}={rng.choice(('5', 'x', 'require'))}" for key in rng.sample(OTHER_KEYS, rng.randrange(3))]
    user = rng.choice((*USERS, ""))
    hidden = secret(rng, SAFE + "@:/&=$()[]{},;|")  # what URLs in the wild have, though they should not
    where = rng.randrange(4)
    if where == 0:
        return f"{scheme}://{user}:{quote(secret(rng, LOOSE), safe='')}@{hosts}{name}" + _query(parameters)
    if where == 1:
        return f"{scheme}://{user}:{hidden}@{hosts}{name}" + _query(parameters)
    parameters.insert(
        rng.randrange(len(parameters) + 1), f"{rng.choice(SECRET_KEYS)}={quote(secret(rng, LOOSE), safe='')}"
    )
    if where == 2:
        return f"{scheme}://{user}@{hosts}{name or '/x'}" + _query(parameters)
    encoded = quote(f"Driver={{X}};SERVER=h;UID=u;PWD={plain_secret(rng)};Database=d", safe="")
    return f"mssql+pyodbc:///?odbc_connect={encoded}"


def _query(parameters: list[str]) -> str:
    return "?" + "&".join(parameters) if parameters else ""


def signed_url(rng: random.Random) -> str:
    """A URL with a signature, or a token of a known kind in it."""
    value = plain_secret(rng)
    key = rng.choice(
        ("X-Amz-Signature", "sig", "Signature", "X-Amz-Security-Token", "X-Goog-Signature", "access_token")
    )
    return f"https://{rng.choice(HOSTS[:4])}/bucket/key?X-Amz-Date=20240101&{key}={value}&x=1"


def conninfo(rng: random.Random) -> str:
    """libpq's keywords, quoted or not, in any order."""
    value = secret(rng, TIGHT.replace("'", ""))
    if rng.random() < 0.5:
        quoted = secret(rng, TIGHT + " '\\\"").replace("\\", "\\\\").replace("'", "\\'")
        value = f"'{quoted}'"
    pairs = [f"host={rng.choice(HOSTS)}", f"user={rng.choice(USERS)}", f"dbname={rng.choice(NAMES)}", "port=5432"]
    pairs = rng.sample(pairs, rng.randrange(1, 5))
    space = rng.choice(("", "", " "))
    pairs.insert(
        rng.randrange(len(pairs) + 1),
        f"{rng.choice(('password', 'passfile_password', 'sslpassword'))}{space}={space}{value}",
    )
    return " ".join(pairs)


def odbc(rng: random.Random) -> str:
    """ODBC's pairs, the secret in braces or plain."""
    braced = "{" + secret(rng, LOOSE).replace("}", "}}") + "}"
    value = rng.choice((braced, secret(rng, SAFE + "@:/?#%&$()[]")))
    pairs = ["Driver={ODBC Driver 17 for SQL Server}", f"SERVER={rng.choice(HOSTS)}", "UID=app", "Database=shop"]
    pairs = rng.sample(pairs, rng.randrange(1, 5))
    pairs.insert(rng.randrange(len(pairs) + 1), f"{rng.choice(('PWD', 'Password', 'pwd'))}={value}")
    return ";".join(pairs) + rng.choice(("", ";"))


def easy_connect(rng: random.Random) -> str:
    """Oracle's user/password@place, and the same with a colon."""
    return f"{rng.choice(USERS)}{rng.choice('/:')}{secret(rng, SAFE + '#$%')}@{rng.choice(HOSTS[:4])}:1521/shop"


DSNS = (url, conninfo, odbc, easy_connect)


def text(rng: random.Random) -> str:
    """A connection string among words: a message, a thread's name, a scope's."""
    dsn = rng.choice((url, conninfo, easy_connect, signed_url, token))(rng)
    before = rng.choice(("", "import ", "cannot reach ", "worker 5 of ", "load: ", "GET "))
    return before + dsn + rng.choice(("", " failed", " (3 times)", "\nnext line"))


_HEX = "0123456789abcdef"


def token(rng: random.Random) -> str:
    """A token that is known by its first letters."""
    tail = "".join(rng.choices(_HEX, k=24)) + "".join(rng.sample(CHUNKS, 2)) + "".join(rng.choices(_HEX, k=8))
    kinds = (
        "hvs.{}",
        "AIza{}",
        "npm_{}",
        "pypi-{}",
        "sk_live_{}",
        "rk_test_{}",
        "SG.{}.abc",
        "ghp_{}",
        "glpat-{}",
        "sk-{}",
    )
    kinds += (
        "xoxb-{}",
        "hf_{}",
        "dop_v1_{}",
        "shpat_{}",
        "whsec_{}",
        "ya29.{}",
        "github_pat_{}",
        "glsa_{}",
        "nvapi-{}",
    )
    kinds += ("Bearer {}", "eyJhbGci{}.eyJzdWIi{}.abc")
    return rng.choice(kinds).replace("{}", tail)


# --- Python -----------------------------------------------------------------------------------------------------------

CALLS = (
    "MySQLdb.connect",
    "psycopg2.connect",
    "connect",
    "pymysql.connect",
    "pyodbc.connect",
    "URL.create",
    "create_engine",
)
CALLS += ("asyncpg.create_pool", "cx_Oracle.connect", "db.connect", "self._connect", "psycopg.AsyncConnection.connect")
NAMED = ("password", "passwd", "pwd", "pаssword", "pass_", "dbpw", "cred", "pin", "auth", "secret", "token", "p", "key")


def literal(rng: random.Random, value: str) -> str:
    """`value` as a literal of Python, in one of the ways in which it can be written."""
    way = rng.randrange(7)
    if way == 0:
        return json.dumps(value)
    if way == 1 and "\\" not in value and '"' not in value:
        return f'r"{value}"'
    if way == 2 and '"""' not in value and not value.endswith('"'):
        return '"""' + value.replace("\\", "\\\\") + '"""'
    if way == 3 and not set(value) & set("{}\\\"'"):
        return f'f"{value}"'
    if way == 4:
        half = len(value) // 2
        return f"{value[:half]!r} {value[half:]!r}"
    return repr(value)


def expression(rng: random.Random, value: str) -> str:
    """An expression that gives `value`, sometimes by a way round."""
    written = literal(rng, value)
    ways = (
        written,
        written,
        written,
        f"get() or {written}",
        f"lambda: {written}",
        f'"%s" % {written}',
        f'"".join(["a", {written}])',
        f'os.environ.get("X", {written})',
        f"x if x else {written}",
        f'("u", {written})',
        f"decode({written})",
        f"{written}.strip()",
        f'"a" + {written}',
        f'f"{{get({written})}}"',
        f'{{"k": {written}}}["k"]',
    )
    return rng.choice(ways)


def python(rng: random.Random) -> str:  # noqa: PLR0911 - a form each
    """A line that opens a connection: positional, by keyword, a string, a dict, an assignment."""
    value = secret(rng, LOOSE)
    call = rng.choice(CALLS)
    way = rng.randrange(8)
    if way == 0:
        before = [literal(rng, rng.choice(one)) for one in rng.sample((HOSTS, USERS, NAMES), rng.randrange(1, 4))]
        before.insert(rng.randrange(1, len(before) + 1), expression(rng, value))
        return f"conn = {call}({', '.join(before)})"
    if way == 1:
        pairs = [
            f'host="{rng.choice(HOSTS)}"',
            f"user='{rng.choice(USERS)}'",
            f'dbname="{rng.choice(NAMES)}"',
            "port=5432",
        ]
        pairs.insert(rng.randrange(5), f"{rng.choice(NAMED)}={expression(rng, value)}")
        return f"with {call}({', '.join(pairs)}) as conn:  # {value}"
    if way == 2:
        return f"{call}({literal(rng, rng.choice(DSNS)(rng))})"
    if way == 3:
        return f'{call}(**{{"host": "h", "{rng.choice(NAMED)}": {expression(rng, value)}, "user": "u"}})'
    if way == 4:
        return f"{rng.choice(NAMED)}, host = {literal(rng, value)}, {literal(rng, value)}"
    if way == 5:
        return f"cur.execute({literal(rng, sql(rng)[1])})"
    if way == 6:
        return f"{call}(dbname={literal(rng, rng.choice(DSNS)(rng))}, {rng.choice(('host', 'user', 'name'))}={literal(rng, url(rng))})"
    return f"subprocess.run({literal(rng, shlex.join(arguments(rng)))}, shell=True)"


# --- SQL --------------------------------------------------------------------------------------------------------------

SYSTEMS = ("postgresql", "mysql", "sqlite", "oracle.db", "microsoft.sql_server", "")


def quoted_sql(rng: random.Random, system: str) -> str:
    """A secret as a literal of one dialect."""
    value = secret(rng, SAFE + '@:/?#%&=()[]{},;| "').replace("'", "''")
    tag = rng.choice(("", "x", "body"))
    ways = [f"'{value}'"]
    if system in ("postgresql", ""):
        ways += [f"E'{value}'", f"U&'{value}'", f"${tag}${secret(rng, SAFE)}${tag}$"]
    if system == "mysql":
        ways += [f'"{secret(rng, SAFE)}"', f"_utf8mb4'{value}'"]
    if system == "microsoft.sql_server":
        ways.append(f"N'{value}'")
    return rng.choice(ways)


def quoted_password(rng: random.Random, system: str) -> str:
    """The same where a password stands, which Oracle takes as it takes a name."""
    ways = [quoted_sql(rng, system), f'"{secret(rng, SAFE)}"', plain_secret(rng)]
    return rng.choice(ways if system in ("oracle.db", "mysql") else ways[:1])


def sql(rng: random.Random) -> tuple[str, str]:
    """A statement with a secret in it, and the system whose dialect it is in."""
    system = rng.choice(SYSTEMS)
    value = quoted_sql(rng, system)
    password = quoted_password(rng, system)
    word = plain_secret(rng)
    statements = [
        f"SELECT * FROM users WHERE name = 'x' AND password = {value}",
        f"INSERT INTO t (a, b) VALUES (1, {value}), ({value}, 2)",
        f"UPDATE users SET token = {value} WHERE id = 5",
        f"SELECT {value}",
        f"CREATE USER app IDENTIFIED BY {password}",
        f"ALTER USER app IDENTIFIED BY {word} ACCOUNT UNLOCK PASSWORD EXPIRE",
        f"-- {word}\nSELECT 1 /* {word} */",
        f"SET app.api_key TO {word}",
        f"SET app.anything = {word}",
        f"SELECT * FROM users WHERE password={word}",
        f"CALL login({value}, 5)",
    ]
    statements += {
        "postgresql": [
            f"ALTER ROLE app WITH ENCRYPTED PASSWORD {value} VALID UNTIL 'infinity'",
            f"CREATE USER MAPPING FOR app SERVER s OPTIONS (user 'x', password {value})",
            f"DO $$ BEGIN PERFORM f({value.replace('$', '')}); END $$",
            f"COPY t FROM 's3://b' CREDENTIALS {value}",
        ],
        "mysql": [
            f"CREATE USER 'app'@'%' IDENTIFIED WITH mysql_native_password BY {password}",
            f"SET PASSWORD FOR 'app'@'h' = {password}",
            f"SET PASSWORD = PASSWORD({password})",
            f"CHANGE MASTER TO MASTER_PASSWORD = {value}, MASTER_PORT = 3",
            f"GRANT ALL ON *.* TO app IDENTIFIED BY {password}",
        ],
        "sqlite": [
            f"PRAGMA key = {value}",
            f"PRAGMA key={word}",
            f"PRAGMA main.rekey = {word}",
            f"PRAGMA hexkey='{word}'",
            f"ATTACH DATABASE 'x.db' AS y KEY {value}",
            f"ATTACH 'x.db' AS y KEY {word}",
        ],
        "oracle.db": [
            f"ALTER USER app IDENTIFIED BY {word} REPLACE {word}",
            f"CREATE DATABASE LINK l CONNECT TO app IDENTIFIED BY {password} USING 'tns'",
            f"SELECT q'[{secret(rng, SAFE)}]' FROM dual",
        ],
        "microsoft.sql_server": [
            f"CREATE LOGIN app WITH PASSWORD = {value}, CHECK_POLICY = OFF",
            f"EXEC sp_addlogin app, {word}",
            f"OPEN SYMMETRIC KEY k DECRYPTION BY PASSWORD = {value}",
            f"CREATE DATABASE SCOPED CREDENTIAL c WITH IDENTITY = 'x', SECRET = {value}",
        ],
        "": [],
    }[system]
    no_sql = (url(rng), conninfo(rng), word, easy_connect(rng))
    return system, rng.choice((*statements, *statements, *no_sql))


# --- the shell --------------------------------------------------------------------------------------------------------


def arguments(rng: random.Random) -> list[str]:
    """A command with a secret among its arguments, as its process has them."""
    value = secret(rng, LOOSE)
    ways: list[list[str]] = [
        ["sshpass", f"-p{value}", "ssh", "h"],
        ["sshpass", "-p", value, "ssh", "h"],
        ["/usr/bin/redis-cli", f"-a{value}", "ping"],
        ["redis-cli", "-h", "h", "-a", value],
        ["sqlcmd", "-S", "h", f"-P{value}"],
        ["sqlcmd", "-S", "h", "-U", "sa", "-P", value],
        ["bcp", "t", "out", "f", "-P", value],
        ["curl", f"-uu:{value}", "https://h/"],
        ["curl", "-sSu", f"u:{value}", "https://h/"],
        ["curl", "--user", f"u:{value}", "https://h/"],
        ["tool", f"--user=u:{value}"],
        ["tool", "--auth", f"u:{value}"],
        ["tool", f"--auth=u:{value}"],
        ["mongosh", "-u", "root", "-p", value, "h"],
        ["mongodump", f"-p{value}"],
        ["mysqldump", "-u", "root", f"-p{value}", "shop"],
        ["mariadb", f"--password={value}"],
        ["sqlplus", f"scott/{secret(rng, SAFE + '#$%')}@shop"],
        ["sqlplus", "-S", f"scott/{secret(rng, SAFE)}"],
        ["impdp", f"userid=scott/{secret(rng, SAFE)}@shop", "full=y"],
        ["psql", "--password", value, "-h", "h"],
        ["tool", "--password", f"--{value}"],
        ["tool", f"--password={value}", "--host", "h"],
        ["env", f"PGPASSWORD={value}", "psql"],
        ["env", f"MYSQL_PWD={value}", "mysql"],
        ["python", "load.py", "--api-key", value],
        ["python", "load.py", "--db-password", value, "--verbose"],
        ["docker", "login", "-u", "me", "-p", value, "h"],
        ["psql", url(rng)],
        ["psql", conninfo(rng)],
        ["tool", signed_url(rng)],
        ["tool", token(rng)],
    ]
    return rng.choice(ways)


def password_statement(rng: random.Random) -> str:
    """A statement that sets a password, in any dialect."""
    value = f"'{secret(rng, SAFE + '@:/?#%&=()[]{},;| ')}'"
    dollar = rng.choice(("", "x"))
    ways = (
        f"ALTER ROLE app WITH PASSWORD {value}",
        f"ALTER ROLE app WITH ENCRYPTED PASSWORD E{value}",
        f"ALTER ROLE app PASSWORD U&{value}",
        f"CREATE ROLE app PASSWORD ${dollar}${secret(rng, SAFE)}${dollar}$",
        f"CREATE LOGIN app WITH PASSWORD = N{value}",
        f"CREATE USER app IDENTIFIED BY {value}",
        f"CREATE USER app IDENTIFIED BY {plain_secret(rng)}",
        f"CREATE USER app IDENTIFIED WITH caching_sha2_password BY {value}",
        f"SET PASSWORD FOR 'app'@'h' = {value}",
        f"SET PASSWORD = PASSWORD({value})",
        f"PRAGMA key = {value}",
        f"pragma rekey={plain_secret(rng)}",
        f"ATTACH 'x.db' AS y KEY {value}",
    )
    return rng.choice(ways)
