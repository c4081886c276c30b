"""No secret leaves, however it is written down; what holds none leaves as it came."""

from __future__ import annotations

import json
import random
import shlex
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from whoholds.text.redact import LOOK, redact, redact_argv

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.once

SHOWN = [
    # URLs
    ("postgresql://user:pa%40ss@host/db", "postgresql://user:***@host/db"),
    ("postgresql://user:p@s:s/w?@h1:5432,h2:5433/db?a=b", "postgresql://user:***@h1:5432,h2:5433/db?a=b"),
    ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
    (
        "postgresql://h/db?user=u&password=p%20q&sslmode=on",
        "postgresql://h/db?user=u&password=***&sslmode=on",
    ),
    ("postgresql://h:1/db?sslpassword=p@q&a=b", "postgresql://h:1/db?sslpassword=***&a=b"),
    ('connect("postgresql://u:my pass@h/db", timeout=5)', 'connect("postgresql://u:***@h/db", timeout=5)'),
    ("""connect("postgresql://u:it's@h/db")""", """connect("postgresql://u:***@h/db")"""),
    (
        "a postgresql://u:p@h/x and postgresql://v:q@i/y",
        "a postgresql://u:***@h/x and postgresql://v:***@i/y",
    ),
    ("https://ghp_x@github.com/a", "https://***@github.com/a"),
    # libpq and ODBC
    ("host=h password=secret user=u", "host=h password=*** user=u"),
    (r"password = 'it''s \' secret' host=h", "password = '***' host=h"),
    (r"password=a\ b host=h", "password=*** host=h"),
    ("Driver={X};SERVER=h;UID=u;PWD={p;}}@ss};Database=d", "Driver={X};SERVER=h;UID=u;PWD=***;Database=d"),
    ("SERVER=h;PWD=abc;Database=d", "SERVER=h;PWD=***;Database=d"),
    # Python
    ('connect(host="h", password="my secret", user="u")', 'connect(host="h", password="***", user="u")'),
    ("connect(passwd='x', pwd='y', db_pass='z')", "connect(passwd='***', pwd='***', db_pass='***')"),
    ('connect("dbname=x password=secret")', 'connect("dbname=x password=***")'),
    ('{"password": "x", "user": "u"}', '{"password": "***", "user": "u"}'),
    ('settings["PASSWORD"] = "x"', 'settings["PASSWORD"] = "***"'),
    ('password = "a" "b"', 'password = "***"'),
    ('password = "a" + b + "c"', 'password = "***"'),
    ('password = rb"x"', 'password = "***"'),
    ('password=os.environ["X"] or "hunter2"', "password=***"),
    ('password=os.environ.get("X", "hunter 2")', "password=***"),
    ('os.environ.get("PGPASSWORD", "hunter2")', 'os.environ.get("PGPASSWORD", "***")'),
    ('def f(user: str, password: str = "x"):', 'def f(user: str, password: str = "***"):'),
    ('if token == "abc":', 'if token == "***":'),
    ('f"postgresql://{user}:{password}@{host}/db"', 'f"postgresql://{user}:***@{host}/db"'),
    # JSON
    (r'"{\"password\": \"x y\"}"', r'"{\"password\": \"***\"}"'),
    ('{"clientSecret":"x","n":1}', '{"clientSecret":"***","n":1}'),
    # commands
    ("psql --password X -h h", "psql --password *** -h h"),
    ("psql --password=X -h h", "psql --password=*** -h h"),
    ("PGPASSWORD='a b' psql", "PGPASSWORD='***' psql"),
    ('PGPASSWORD=a"b c"d psql', "PGPASSWORD=*** psql"),
    ("MYSQL_PWD=x mysql -u root -phunter2 db", "MYSQL_PWD=*** mysql -u root -p*** db"),
    ("['psql', '--password', 'x y', '-h']", "['psql', '--password', '***', '-h']"),
    # SQL, headers, keys
    ("ALTER USER u PASSWORD 'x y'", "ALTER USER u PASSWORD '***'"),
    ("CREATE USER u IDENTIFIED BY x", "CREATE USER u IDENTIFIED BY ***"),
    ("Authorization: Bearer abc", "Authorization: Bearer ***"),
    ("aws_secret_access_key = wJalr/K7+x", "aws_secret_access_key = ***"),
    ("AKIAIOSFODNN7EXAMPLE", "***"),
    ("api_key=a token: b secret='c'", "api_key=*** token: *** secret='***'"),
]

INNOCENT = [
    "",
    "whoholds: too-many-at-once: 36 connections to postgresql://app@127.0.0.1:5432/shop, 35 opened at a.py:4",
    "sqlite:///C:/data/a@b.db",
    "http://host:80/path and mail to a@b.c",
    "conn = psycopg2.connect(DSN, connection_factory=Tracked)",
    'connect(user="u", password=os.environ["X"], host="h")',
    'connect(user="u", password=os.getenv("X"))',
    "connect(password=settings.DB_PASSWORD, host=h)",
    "connect(password=None, user='u')",
    "def connect(user: str, password: str) -> None:",
    "def connect(user: str, *, token: str | None = None) -> None:",
    "sslkey=/etc/key.pem passfile=/home/u/.pgpass token_type=bearer",
    'fields = ["id", "password", "email"]',
    "for token in tokens: yield token",
    "UPDATE u SET password = %s WHERE id = %s",
    'FATAL:  password authentication failed for user "app"',
    "Access denied for user 'a'@'h' (using password: YES)",
    "fe_sendauth: no password supplied",
    "shop/token.py:42  in refresh_token",
    "bypass = compass = 5; passenger=7",
    "the key of a dict, -print, task-1, high and right",
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_hides(text: str, shown: str) -> None:
    """The secret is gone, and what stands around it is still there."""
    assert redact(text) == shown


@pytest.mark.parametrize("text", INNOCENT)
def test_leaves_alone(text: str) -> None:
    """Text without a secret leaves as it came."""
    assert redact(text) == text


@pytest.mark.parametrize("text", [shown for _, shown in SHOWN])
def test_twice_is_once(text: str) -> None:
    """What was redacted is not torn by a second time."""
    assert "***" in redact(text)
    assert redact(redact(text)) == redact(text)


def test_argv() -> None:
    """Each argument is judged as one, by the flag before it and by the command."""
    argv = [
        *(
            "/usr/bin/mysql",
            "-u",
            "root",
            "-phunter2",
            "--password",
            "a b",
            "--password=a b",
            "PGPASSWORD=a b",
        ),
        *("postgresql://u:my pass@h", "-p", "--port=3", "host=h password='x'", "--token", "--host", "h"),
    ]
    assert redact_argv(argv) == [
        *("/usr/bin/mysql", "-u", "root", "-p***", "--password", "***", "--password=***", "PGPASSWORD=***"),
        *("postgresql://u:***@h", "-p", "--port=3", "host=h password='***'", "--token", "--host", "h"),
    ]
    assert redact_argv(["sshpass", "-p", "x", "ssh", "-p", "22"])[:4] == ["sshpass", "-p", "***", "ssh"]
    assert redact_argv(["python", "-m", "app", "-phello"]) == ["python", "-m", "app", "-phello"]


# A secret is a few chunks, each unmistakable, with what the form allows between them: a part that survives
# shows, too.
CHUNKS = ("Zq9Wx", "Kv7Jy", "Xj4Qz", "Wy8Vk")
TIGHT = "@:/?#%&=+!$()[]{}*,;~^<>|-_."
LOOSE = TIGHT + " \"'\\\n\t`"


def secret_of(rng: random.Random, marks: str) -> str:
    return "".join(
        chunk + "".join(rng.choices(marks, k=rng.randrange(3))) for chunk in rng.sample(CHUNKS, rng.randrange(1, 5))
    )


FORMS: dict[str, tuple[str, Callable[[str], str]]] = {
    "url": (TIGHT + "'\"", lambda s: f"postgresql://u:{s}@h:5432/db?x=y"),
    "url in words": (TIGHT, lambda s: f"cannot reach postgresql+psycopg://u:{s}@h1,h2/db today"),
    "url in quotes": (TIGHT + "' \\", lambda s: f'connect("mysql://u:{s}@h/db", 5)'),
    "url encoded": (LOOSE, lambda s: f"postgresql://u:{quote(s, safe='')}@h/db"),
    "url query": (LOOSE, lambda s: f"postgresql://h:5/db?a=b&password={quote(s, safe='')}&c=d"),
    "libpq": (TIGHT, lambda s: f"host=h password={s} user=u"),
    "libpq escaped": (
        TIGHT + " '\\",
        lambda s: f"host=h password={escaped(s, chr(92) + ' ' + chr(39))} user=u",
    ),
    "libpq quoted": (
        TIGHT + " '\\\"",
        lambda s: f"host=h password = '{escaped(s, chr(92) + chr(39))}' user=u",
    ),
    "python": (LOOSE, lambda s: f"connect(host='h', password={s!r}, user='u')"),
    "python dict": (LOOSE, lambda s: repr({"user": "u", "db_password": s, "port": 5})),
    "python list": (LOOSE, lambda s: repr(["x", "--password", s, "-h"])),
    "python default": (LOOSE, lambda s: f"os.environ.get('PGPASSWORD', {s!r})"),
    "python call": (LOOSE, lambda s: f"password=environ.get('X', {s!r}), user='u'"),
    "python dsn": (TIGHT, lambda s: f"connect('host=h password={s}')"),
    "json": (LOOSE, lambda s: json.dumps({"user": "u", "password": s, "n": 1})),
    "json in json": (LOOSE, lambda s: json.dumps(json.dumps({"token": s, "n": 1}))),
    "json, dense": (LOOSE, lambda s: json.dumps({"a": "b", "api_key": s, "n": 1}, separators=(",", ":"))),
    "shell": (LOOSE, lambda s: shlex.join(["psql", "--password", s, "-h", "h"])),
    "shell, glued": (LOOSE, lambda s: shlex.join(["psql", f"--password={s}", "-h", "h"])),
    "shell, assigned": (LOOSE, lambda s: f"PGPASSWORD={shlex.quote(s)} psql -h h"),
    "shell, env": (LOOSE, lambda s: shlex.join(["env", f"PGPASSWORD={s}", "psql"])),
    "shell, mysql": (LOOSE, lambda s: shlex.join(["mysqldump", "-u", "root", f"-p{s}", "db"])),
    "argv": (LOOSE, lambda s: "\n".join(redact_argv(["psql", "--password", s, "-h", "h"]))),
    "argv, glued": (
        LOOSE,
        lambda s: "\n".join(redact_argv(["mysql", f"-p{s}", f"--secret={s}", f"X_TOKEN={s}"])),
    ),
    "argv, url": (TIGHT + " '\"", lambda s: "\n".join(redact_argv(["-d", f"postgresql://u:{s}@h/db"]))),
    "odbc": (LOOSE.replace("\n", ""), lambda s: f"UID=u;PWD={{{s.replace('}', '}}')}}};Database=d;"),
    "sql": (TIGHT + ' "', lambda s: f"CREATE USER u IDENTIFIED BY '{s}' ACCOUNT LOCK"),
    "sql, doubled": (
        TIGHT + " '",
        lambda s: "ALTER ROLE u WITH PASSWORD '" + s.replace("'", "''") + "' LOGIN",
    ),
    "yaml": (TIGHT, lambda s: f"user: u\npassword: {s}\nhost: h"),
    "cut": (LOOSE, lambda s: ("x " * LOOK)[: LOOK - 12] + f"password={s!r}"),
    "cut url": (TIGHT, lambda s: ("x " * LOOK)[: LOOK - 16] + f"redis://u:{s}@h"),
}


def escaped(text: str, marks: str) -> str:
    return "".join("\\" + letter if letter in marks else letter for letter in text)


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_secret_survives(form: str) -> None:
    """Thousands of secrets of all kinds of characters, written in every way: not one chunk gets out."""
    marks, written = FORMS[form]
    rng = random.Random(f"redact {form}")
    for _ in range(2000):
        secret = secret_of(rng, marks)
        text = written(secret)
        shown = redact(text)
        assert not [chunk for chunk in CHUNKS if chunk in shown], (secret, text, shown)


def test_innocent_words_survive() -> None:
    """Words in any order, without a name of a secret before a sign, leave as they came."""
    rng = random.Random("innocent")
    words = [
        "connect",
        "host=h",
        "user='u'",
        "port=5432",
        "open,",
        "(close)",
        "{'a': 1}",
        "x@y.z",
        "s3://b/k",
    ]
    words += ["file.py:42", "->", ":=", "%s", ";", "|", "$X", '"quoted"', "keyring", "passenger=7"]
    for _ in range(2000):
        text = " ".join(rng.choices(words, k=rng.randrange(30)))
        assert redact(text) == text


HOSTILE = {
    **{text: text * 400_000 for text in ("password ", "password=", "a://", "a://b:c@", "mysql -p", "&token=a")},
    **{text: text * 2_000_000 for text in ("a", "_", " ", "-", "'", '"', "\\", "(", "@")},
    **{f"password{text}": "password=" + text * 2_000_000 for text in ("'", '\\"', ")", "{", "'a'", "\\", "+", "'''")},
    **{
        f"{text} often": text * 4000
        for text in ("token=a'", ";pwd=a", "pw: str |", "pw='a' or ", "eyJaaaaa.", '("pw",')
    },
}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_costs_no_more_than_a_long_one(text: str) -> None:
    """Megabytes made to be slow are looked at to a bound, in a time that is linear in it."""
    began = time.process_time()
    shown = redact(HOSTILE[text])
    redact_argv([HOSTILE[text]])
    assert time.process_time() - began < 1.0
    assert len(shown) <= LOOK * 2
