"""What a statement does and touches, and its text without literals: never one literal."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from whoholds.text import sql
from whoholds.text.sql import KEPT, LONGEST, LOOK, sanitise, summary

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.once

SUMMARIES = [
    # As OpenTelemetry's "Generating a summary of the query" has it
    ("SELECT * FROM wuser_table WHERE username = ?", "SELECT wuser_table"),
    (
        "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE id = ?",
        "INSERT shipping_details SELECT orders",
    ),
    ("SELECT * FROM songs, artists WHERE songs.artist_id == artists.id", "SELECT songs artists"),
    (
        "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
        "SELECT SELECT orders customers",
    ),
    (
        "SELECT * FROM \"song list\", 'artists'",
        'SELECT "song list"',
    ),  # a string, whatever its place, stays in
    ("{call some_stored_procedure}", "call some_stored_procedure"),
    ("{? = CALL app.proc(?, ?)}", "CALL app.proc"),
    ("EXEC @rc = dbo.proc @a = 1", "EXEC dbo.proc"),
    # What reads and what writes
    (
        "select a, b from t1 as x left join s.t2 y using (id) where x.c in (select d from t3)",
        "select t1 s.t2 select t3",
    ),
    ("SELECT a FROM t1 CROSS JOIN LATERAL (SELECT 1 FROM t2) z, t3", "SELECT t1 SELECT t2 t3"),
    (
        "SELECT * FROM ONLY parent, generate_series(1, 10) g, unnest(ARRAY[a, b]) u",
        "SELECT parent generate_series unnest",
    ),
    ("SELECT EXTRACT(year FROM ts), TRIM(BOTH FROM x) FROM t WHERE a IS DISTINCT FROM b", "SELECT t"),
    ("SELECT (SELECT max(a) FROM t1), b FROM t2 ORDER BY c, d LIMIT 5, 10", "SELECT SELECT t1 t2"),
    ("(SELECT a FROM t1) UNION ALL (SELECT b FROM t2) ORDER BY 1", "SELECT t1 SELECT t2"),
    ("SELECT a FROM t1 FOR UPDATE OF t1, t2 SKIP LOCKED", "SELECT t1"),
    ('SELECT a FROM [my table] WITH (NOLOCK), `b``c`.`d`, e."f"', 'SELECT [my table] `b``c`.`d` e."f"'),
    ("SELECT * FROM users@remote_db", "SELECT users@remote_db"),
    ("SELECT 1", "SELECT"),
    (
        "INSERT OR REPLACE INTO t (a) VALUES (1), (2) ON CONFLICT (a) DO UPDATE SET b = 1 RETURNING c, d",
        "INSERT t",
    ),
    ("INSERT IGNORE t SET a = 1, b = 2", "INSERT t"),
    ("REPLACE INTO t VALUES (1)", "REPLACE t"),
    ("UPDATE ONLY t1 SET a = (SELECT b FROM t2), c = 3 FROM t3 WHERE d", "UPDATE t1 SELECT t2 t3"),
    ("DELETE FROM t1 USING t2 WHERE a = b RETURNING *", "DELETE t1 t2"),
    (
        "MERGE INTO t1 USING (SELECT a FROM t2) s ON x WHEN MATCHED THEN UPDATE SET b = 1, c = 2",
        "MERGE t1 SELECT t2",
    ),
    ("COPY t (a, b) FROM STDIN", "COPY t"),
    ("VALUES (1), (2)", "VALUES"),
    # WITH: its own names are no targets
    (
        "WITH a AS (SELECT 1 FROM t1), b (x) AS MATERIALIZED (SELECT 2 FROM a, t2) SELECT * FROM b JOIN t3",
        "SELECT t1 SELECT t2 SELECT t3",
    ),
    (
        "WITH RECURSIVE r AS (SELECT 1 FROM t UNION ALL SELECT 2 FROM r) SELECT * FROM r",
        "SELECT t SELECT SELECT",
    ),
    (
        "WITH moved AS (DELETE FROM t1 RETURNING *) INSERT INTO t2 SELECT * FROM moved",
        "DELETE t1 INSERT t2 SELECT",
    ),
    ("WITH x AS (SELECT a FROM t1) UPDATE t2 SET b = (SELECT a FROM x)", "SELECT t1 UPDATE t2 SELECT"),
    ("INSERT INTO t1 WITH x AS (SELECT a FROM t2) SELECT a FROM x", "INSERT t1 SELECT t2 SELECT"),
    # What defines
    ("CREATE TABLE IF NOT EXISTS users (id int REFERENCES other, name text)", "CREATE TABLE users"),
    ("CREATE TEMP TABLE a AS SELECT * FROM b", "CREATE TABLE a SELECT b"),
    (
        "CREATE OR REPLACE VIEW v AS WITH c AS (SELECT 1 FROM t) SELECT * FROM c",
        "CREATE VIEW v SELECT t SELECT",
    ),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i"),
    ("CREATE INDEX ON t (a)", "CREATE INDEX t"),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REFRESH MATERIALIZED VIEW v"),
    ("ALTER TABLE t ADD COLUMN a int, DROP COLUMN b", "ALTER TABLE t"),
    ("DROP TABLE IF EXISTS a, b CASCADE", "DROP TABLE a b"),
    ("TRUNCATE TABLE a, b", "TRUNCATE TABLE a b"),
    ("TRUNCATE a", "TRUNCATE a"),
    ("LOCK TABLE a IN EXCLUSIVE MODE", "LOCK TABLE a"),
    (
        "CREATE FUNCTION f() RETURNS int AS $body$ SELECT 1 FROM secret $body$ LANGUAGE sql",
        "CREATE FUNCTION f",
    ),
    # What leads, and what names anew each time
    ("EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1", "EXPLAIN UPDATE t"),
    ("EXPLAIN ANALYZE VERBOSE SELECT a FROM t", "EXPLAIN ANALYZE SELECT t"),
    ("BEGIN", "BEGIN"),
    ("start transaction isolation level serializable", "start transaction"),
    ("SAVEPOINT s_1234", "SAVEPOINT"),
    ("RELEASE SAVEPOINT s_1234", "RELEASE SAVEPOINT"),
    ("DECLARE c_99 CURSOR FOR SELECT a FROM t", "DECLARE SELECT t"),
    ("FETCH FORWARD 10 FROM c_99", "FETCH"),
    ("GRANT SELECT, INSERT ON t TO u", "GRANT"),
    ("SET search_path TO a, b", "SET"),
    ("PRAGMA table_info(t)", "PRAGMA table_info"),
    # Several, none, and what is no statement
    ("SELECT 1 FROM a; DELETE FROM b;;", "SELECT a DELETE b"),
    ("", ""),
    (" ;\n; -- nothing\n/* nor here */", ""),
    ("/* lead */ -- and\n Select a From t", "Select t"),
    ("and now for something completely different", ""),
    ("12345", ""),
    ("'DROP TABLE x'", ""),
    ("SELECT * FROM %s JOIN :x JOIN $1 JOIN %(t)s JOIN @v JOIN ? WHERE a", "SELECT"),
    ("SELECT * FROM 'secret' AS t", "SELECT"),
    ('SELECT * FROM "secret', "SELECT"),
]


@pytest.mark.parametrize(("text", "expected"), SUMMARIES)
def test_summary(text: str, expected: str) -> None:
    """Operations and targets, in order, as they are spelt."""
    assert summary(text) == expected
    assert summary(text.encode()) == expected


SANITISED = [
    (
        "",
        "SELECT 'a', 'it''s', E'it\\'s', N'n', X'0F', B'01', U&'d' FROM t",
        "SELECT ?, ?, ?, ?, ?, ?, ? FROM t",
    ),
    ("", "SELECT 1, -2, +3.5, 1e-5, .5, 0x1F, 1_000, 2. FROM t1", "SELECT ?, ?, ?, ?, ?, ?, ?, ? FROM t1"),
    ("", "SELECT a = -1 AND b<-2 AND c>= - 3 AND d - 4", "SELECT a = ? AND b<? AND c>= ? AND d - ?"),
    ("", "SELECT TRUE, false, NULL", "SELECT ?, ?, NULL"),
    ("", "SELECT a IN (1, 2, 3) AND b in ('x','y') AND c IN (?)", "SELECT a IN (?) AND b in (?) AND c IN (?)"),
    ("", "INSERT INTO t (a) VALUES (1, 'x', NULL), (2, 'y', DEFAULT)", "INSERT INTO t (a) VALUES (?)"),
    ("", "VALUES (1, now(), 'a'), (2, now(), 'b')", "VALUES (?, now(), ?), (?, now(), ?)"),
    ("", "SELECT f(1, 2) numeric(10, 2)", "SELECT f(?, ?) numeric(?, ?)"),
    ("", "SELECT DATE '2024-01-01' + INTERVAL '1 day'", "SELECT DATE ? + INTERVAL ?"),
    ("", "SELECT date'2024-01-01'", "SELECT date?"),
    ("", "  SELECT\n\t1  -- one\n /* two */ ;", "SELECT ? ;"),
    ("", "/* only */ -- this", ""),
    ("", "   ", ""),
    (
        "",
        "SELECT a = %s AND b = %(name)s AND c = ? AND d = :d AND e = :1",
        "SELECT a = %s AND b = %(name)s AND c = ? AND d = :d AND e = :1",
    ),
    ("", "SELECT x::int, arr[1:2], '5'::numeric(3)", "SELECT x::int, arr[?:?], ?::numeric(?)"),
    ("", "SELECT WHERE a = $1", "SELECT WHERE a = ?"),  # it may be money
    ("postgresql", "SELECT WHERE a = $1", "SELECT WHERE a = $1"),
    ("microsoft.sql_server", "SELECT WHERE a = $12.50", "SELECT WHERE a = ?"),
    ("postgresql", "SELECT $$a'b$$ || $x$c$$d$x$ || $x$open", "SELECT ? || ? || ?"),
    ("postgresql", 'SELECT "a"."b", "c""d" FROM "e f"', 'SELECT "a"."b", "c""d" FROM "e f"'),
    ("postgresql", "/* a /* b */ 'c' */ SELECT 1", "SELECT ?"),
    ("postgresql", "SELECT arr['k'], ARRAY['a]b', 'c']", "SELECT arr[?], ARRAY[?, ?]"),
    ("mysql", "/* a /* b */ SELECT 1 # it's\n, 2 --3", "SELECT ? , ? --?"),
    ("mysql", 'SELECT "a", `b``c`, "d""e" FROM `f`', "SELECT ?, `b``c`, ? FROM `f`"),
    ("mysql", "SELECT _utf8mb4'a', n'b'", "SELECT ?, ?"),
    ("sqlite", 'SELECT "a"."b" FROM "c" WHERE d = "e"', 'SELECT "a"."b" FROM "c" WHERE d = ?'),
    ("", 'UPDATE "c" SET d = "e" WHERE f."g" = 1', 'UPDATE "c" SET d = ? WHERE f."g" = ?'),
    (
        "microsoft.sql_server",
        "SELECT [it's], 'x' FROM [a].[b]]c], #t",
        "SELECT [it's], ? FROM [a].[b]]c], #t",
    ),
    ("oracle.db", "SELECT q'[it's]', nq'{a'}', Q'!b'!' FROM dual", "SELECT ?, ?, ? FROM dual"),
    # No statement, whoever it was given to; and passwords that are no literals
    ("postgresql", "postgresql://app:secret@h/shop", ""),
    ("", "secret", ""),
    ("sqlite", "pragma key=secret", "pragma key ?"),
    ("", "SET shop.api TO secret", "SET shop.api TO ?"),
    ("postgresql", "SET search_path TO shop", "SET search_path TO shop"),
    ("", "SELECT id FROM users WHERE password=secret", "SELECT id FROM users WHERE password=***"),
    (
        "mysql",
        "CREATE USER u IDENTIFIED WITH mysql_native_password BY secret",
        "CREATE USER u IDENTIFIED WITH mysql_native_password BY ?",
    ),
    ("mysql", "SET PASSWORD FOR u = secret", "SET PASSWORD ?"),
    ("microsoft.sql_server", "EXEC sp_addlogin app, secret", "EXEC sp_addlogin ?"),
    # Unclosed, or closed here and not there: nothing of what follows
    ("", "SELECT 'open, x FROM t", "SELECT ?"),
    ("", 'SELECT "open, x FROM t', "SELECT ?"),
    ("", "SELECT `open, x FROM t", "SELECT ?"),
    ("", "SELECT 1 /* open, 'x' FROM t", "SELECT ?"),
    ("", "SELECT /* a /* b */ 'c' */ 1", "SELECT"),
    ("", r"SELECT 'C:\', 'secret'", "SELECT ?"),
    ("mysql", r"SELECT 'it\'s', 'secret' FROM t", "SELECT ?"),
    ("", r"SELECT 'a\\', 'b\c' FROM t", "SELECT ?, ? FROM t"),
    ("", "CREATE USER u IDENTIFIED BY Secret1 ACCOUNT LOCK", "CREATE USER u IDENTIFIED BY ?"),
    ("", "ALTER USER u PASSWORD Secret1", "ALTER USER u PASSWORD ?"),
    ("", "CREATE TABLE u (password varchar(9))", "CREATE TABLE u (password varchar(?))"),
]


@pytest.mark.parametrize(("system", "text", "expected"), SANITISED)
def test_sanitise(system: str, text: str, expected: str) -> None:
    """Each literal is a question mark; names and placeholders are as they were."""
    assert sanitise(text, system=system) == expected


def test_limits() -> None:
    """A summary is cut between names; a text where it is too long, and that is said."""
    tables = [f"a_rather_long_table_name_{number}" for number in range(20)]
    cut = summary(f"SELECT * FROM {', '.join(tables)}")
    assert len(cut) <= LONGEST
    assert cut.split() == ["SELECT", *tables[: len(cut.split()) - 1]]
    assert summary("SELECT * FROM users, orders", 17) == "SELECT users"
    assert summary("SELECT * FROM users", 3) == ""
    assert sanitise("SELECT a, b, c FROM t WHERE d = 1", limit=10) == "SELECT a …"
    assert sanitise("SELECT 1", limit=0) == " …"


def test_what_is_no_text() -> None:
    """Nothing of a foreign type is run, and nothing is raised."""

    class Mine(str):
        __slots__ = ()

        def _never(self, *_: object) -> None:
            raise AssertionError

        __hash__ = __eq__ = __len__ = __getitem__ = __str__ = upper = _never  # type: ignore[assignment]

    class Other:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(name)

    assert summary(Mine("SELECT 1 FROM t")) == "SELECT t"
    assert sanitise(Mine("SELECT 1 FROM t")) == "SELECT ? FROM t"
    for nothing in (None, 5, Other(), ["SELECT"]):
        assert summary(nothing) == sanitise(nothing) == ""
    assert summary(b"SELECT \xff FROM t") == "SELECT t"
    assert sanitise("SELECT '\ud800' FROM t") == "SELECT ? FROM t"


# Literals of every kind, each with a marker: MARK in letters, 987654 in digits.
PLAIN: list[Callable[[random.Random], str]] = [
    lambda r: f"'{filling(r, '')}'",
    lambda r: "'" + filling(r, "'").replace("'", "''") + "'",
    lambda r: f"N'{filling(r, '')}'",
    lambda r: f"x'{filling(r, '')}'",
    lambda r: f"987654{r.choice(['', '.5', 'e-5', 'E+9', '.', '_000'])}",
    lambda r: f"{r.choice('+- ')}.987654",
    lambda _: "0xMARK987654".replace("MARK", "FACADE"),
]
QUOTES: dict[str, list[Callable[[random.Random], str]]] = {
    "postgresql": [
        lambda r: "E'" + filling(r, "'").replace("\\", "\\\\").replace("'", "\\'") + "'",
        lambda r: "$$" + filling(r, "'").replace("$", "") + "$$",
        lambda r: "$t1$" + filling(r, "'$") + "$t1$",
        lambda r: f"date'{filling(r, '')}'",
    ],
    "mysql": [
        lambda r: '"' + filling(r, "'") + '"',
        lambda r: f"_utf8'{filling(r, '')}'",
    ],
    "sqlite": [lambda r: 'k = "' + filling(r, "'") + '"'],
    "oracle.db": [lambda r: "q'[" + filling(r, "'").replace("]", "") + "]'"],
    "microsoft.sql_server": [lambda _: "$987654.5"],
}
NAMES: dict[str, list[str]] = {
    "postgresql": ['"it\'s"', '"a""b"', "t$1", "arr[a]", "$1", "%(p)s"],
    "mysql": ["`it's`", '`a"b`', "t$1", "@v", "# it's\n", '-- "\n'],
    "sqlite": ["[it's]", '"it\'s".b', "?1", "$p"],
    "oracle.db": ['"it\'s"', ":1", "t@l"],
    "microsoft.sql_server": ["[it's]", "[a]]'b]", "@p1", "#tmp", '"a\'b"'],
}
KEYWORDS = (
    "SELECT FROM WHERE ( ) , , ; AND = <> a b1 t.c INSERT INTO t VALUES ( UPDATE SET JOIN ON IN ( AS WITH "
    "CASE count(*) ORDER BY LIMIT CALL CREATE TABLE DROP USING DELETE UNION /*c*/ /*it's*/"
)
WORDS = [*KEYWORDS.split(), "-- it's\n", "--\n"]


def filling(rng: random.Random, more: str) -> str:
    """Give the inside of a literal: markers between what could end it for a careless reader."""
    parts = [
        "MARK",
        "987654",
        "MARK",
        "--",
        "/*",
        "*/",
        "#",
        ";",
        "(",
        ")",
        "]",
        "[",
        "`",
        "%s",
        "?",
        " ",
        "\n",
        "FROM ",
        "$",
    ]
    return "MARK " + "".join(rng.choices([*parts, *more], k=rng.randrange(8))) + " MARK"


def statement(rng: random.Random, system: str, length: int) -> str:
    tokens = []
    for _ in range(length):
        kind = rng.randrange(5)
        if kind == 0:
            tokens.append(rng.choice(PLAIN)(rng))
        elif kind == 1 and system:
            tokens.append(rng.choice(QUOTES[system])(rng))
        elif kind == 2 and system:
            tokens.append(rng.choice(NAMES[system]))
        else:
            tokens.append(rng.choice(WORDS) + " ")
    return rng.choice(["", "SELECT ", "INSERT INTO t VALUES (", "SELECT a FROM "]) + " ".join(tokens)


def leaks(text: str) -> list[str]:
    return [marker for marker in ("MARK", "987654", "FACADE") if marker in text]


@pytest.mark.parametrize("system", ["", *QUOTES])
def test_no_literal_survives(system: str) -> None:
    """Thousands of statements of any tokens in any order, each literal marked: no marker gets out."""
    rng = random.Random(f"sql {system}")
    for _ in range(4000):
        text = statement(rng, system, rng.randrange(1, 12))
        assert not leaks(summary(text, system=system)), text
        assert not leaks(sanitise(text, system=system)), (text, sanitise(text, system=system))


@pytest.mark.parametrize("system", ["", *QUOTES])
def test_no_literal_survives_a_cut(system: str) -> None:
    """Cut anywhere, at our boundary or by the program itself, a statement shows no part of a literal."""
    rng = random.Random(f"cut {system}")
    for _ in range(200):
        text = statement(rng, system, 8)
        for end in range(len(text)):
            assert not leaks(sanitise(text[:end], system=system)), text[:end]
            assert not leaks(summary(text[:end], system=system)), text[:end]
        padded = "SELECT " + "a, " * ((LOOK - rng.randrange(len(text) + 7)) // 3) + text
        assert not leaks(sanitise(padded, system=system)), text
        assert not leaks(summary(padded, system=system)), text


@pytest.mark.parametrize("foreign", QUOTES)
def test_a_dialect_that_is_not_known_leaks_nothing(foreign: str) -> None:
    """Where the system is not given, a literal of any system stays in."""
    rng = random.Random(f"unknown {foreign}")
    for _ in range(3000):
        first, second = rng.choice(QUOTES[foreign])(rng), rng.choice(PLAIN)(rng)
        for text in (
            f"SELECT {first}, {second}",
            f"UPDATE t SET a = {second} WHERE b {first} AND c = {second}",
        ):
            assert not leaks(sanitise(text)), (text, sanitise(text))
            assert not leaks(summary(text)), text


HOSTILE = {
    **{
        text: text * 1_000_000
        for text in ("'", '"', "`", "[", "(", "/*", "$a", "a.", "_", " ", "\\", "1e", "-", "q'[", "--")
    },
    **{text: "SELECT '" + text * 1_000_000 for text in ("''", "\\'", "\\\\", "x")},
    "nested": "/* /* /* /* " + "/* x */" * 100_000,
    "lists": "in (?," * 100_000,
    "accounts": "; create user" * 100_000,
    "rows": "INSERT INTO t VALUES " + ", ".join(f"({n}, 'v', NULL)" for n in range(100_000)),
    "columns": "SELECT " + ", ".join(f"column{n}" for n in range(100_000)) + " FROM t",
}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("system", ["", *QUOTES])
def test_megabytes_cost_no_more_than_a_page(text: str, system: str) -> None:
    """Whatever it holds and however long it is, a statement is over soon."""
    began = time.process_time()
    summary(HOSTILE[text], system=system)
    sanitise(HOSTILE[text], system=system)
    assert time.process_time() - began < 10  # seconds; what looks back again and again takes minutes


def test_rows_beyond_the_look_are_not_seen() -> None:
    """A bulk insert is summed up by its beginning."""
    assert summary(HOSTILE["rows"]) == "INSERT t"
    assert sanitise(HOSTILE["rows"]) == "INSERT INTO t VALUES (?) …"


def test_memory_is_bounded_and_long_statements_are_kept_by_their_beginning() -> None:
    """At most KEPT statements a system, of which none keeps more than what was looked at."""
    for number in range(KEPT * 2 + 10):
        summary(f"SELECT {number} FROM t{number}", system="mariadb")
    known = sql._SUMMARIES["mariadb"]
    assert len(known) <= KEPT
    known.clear()
    for number in range(10):
        summary(f"SELECT a FROM t WHERE b = '{'x' * LOOK}{number}'", system="mariadb")
    assert [len(key) for key in known] == [LOOK + 1]


def test_threads_share_the_memory() -> None:
    """Eight threads at once, with more statements than are kept, get each their own."""
    wrong: list[str] = []

    def ask(mine: int) -> None:
        for number in range(3000):
            table = f"t{(number * mine) % (KEPT + 50)}"
            if summary(f"SELECT a FROM {table}") != f"SELECT {table}":
                wrong.append(table)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
