"""The operations of a statement and their targets, in the order in which they stand.

It must not hold the grammar of any database: it knows the words after which a name stands, and where such a word is
only a word. It must not take a literal for a name.
"""

from __future__ import annotations

from typing import Final

from whoholds.text.sql_tokens import Dialect, names

# What the next word can be, at one depth of parentheses. In states up to _MUTED most words mean nothing.
_IDLE, _OPEN, _LIST, _MUTED, _NAME, _START, _WITH, _KIND = range(8)


def _rows(*rows: tuple[int, int, str]) -> dict[str, tuple[int, int]]:
    return {word: (then, after) for then, after, words in rows for word in words.split()}


def _words(*rows: tuple[int, str]) -> dict[str, int]:
    return {word: means for means, words in rows for word in words.split()}


# The operations, which stand at the start: the state after the operation, and the state after its target's name.
OPERATIONS: Final = _rows(
    (_OPEN, _LIST, "SELECT"),
    (_NAME, _OPEN, "INSERT REPLACE UPSERT MERGE"),
    (_NAME, _LIST, "UPDATE DELETE TRUNCATE LOCK"),
    (_NAME, _IDLE, "CALL EXEC EXECUTE USE COPY PRAGMA VACUUM"),
    (_KIND, _IDLE, "CREATE ALTER REFRESH BEGIN START COMMIT ROLLBACK RELEASE"),
    (_KIND, _LIST, "DROP"),
    (_START, _IDLE, "EXPLAIN ANALYZE"),
    (_MUTED, _MUTED, "GRANT REVOKE SHOW SET"),
    # Their targets are made anew for each use, as savepoints and cursors are, or are no collection.
    (_IDLE, _IDLE, "VALUES SAVEPOINT DECLARE FETCH MOVE CLOSE PREPARE DEALLOCATE LISTEN UNLISTEN NOTIFY"),
    (_IDLE, _IDLE, "DESCRIBE DO ATTACH DETACH COMMENT REINDEX CLUSTER CHECKPOINT DISCARD RESET KILL UNLOCK"),
    (_IDLE, _IDLE, "ABORT LOAD"),
)

# The kinds of object that CREATE and its like make, and the state after the kind.
_KINDS: Final = _words(
    (_NAME, "TABLE VIEW INDEX SEQUENCE SCHEMA DATABASE FUNCTION PROCEDURE TRIGGER TYPE DOMAIN EXTENSION"),
    (_NAME, "ROLE USER POLICY RULE SYNONYM PACKAGE KEYSPACE"),
    (_IDLE, "TRANSACTION SAVEPOINT"),
    (_KIND, "MATERIALIZED"),
)

# Words with a meaning anywhere. Each is kept in three spellings, for upper() is half of what a word costs.
_SELECTS, _WITHS, _FROMS, _JOINS, _AS, _ENDS, _NOISE, _COMMA, _IN, _OUT, _NEXT = range(11)
_CAPITALS: Final = _words(
    (_SELECTS, "SELECT"),
    (_WITHS, "WITH"),
    (_FROMS, "FROM USING"),
    (_JOINS, "JOIN APPLY STRAIGHT_JOIN"),
    (_AS, "AS"),
    (_ENDS, "WHERE SET VALUES VALUE GROUP ORDER HAVING LIMIT OFFSET FETCH WINDOW FOR UNION INTERSECT EXCEPT"),
    (_ENDS, "MINUS RETURNING WHEN QUALIFY CONNECT PREWHERE OUTPUT"),
    (_NOISE, "INTO ONLY LATERAL TABLE TABLES IF NOT EXISTS CONCURRENTLY ON OR"),
    (_NOISE, "IGNORE OVERWRITE QUICK DELAYED LOW_PRIORITY HIGH_PRIORITY"),
    (_COMMA, ","),
    (_IN, "("),
    (_OUT, ")"),
    (_NEXT, ";"),
)
_WORDS: Final = {spelt: means for word, means in _CAPITALS.items() for spelt in (word, word.lower(), word.capitalize())}


def walk(sql: str, dialect: Dialect) -> list[str]:  # noqa: C901, PLR0912, PLR0915 - one sequence: parts of it would cost calls or clarity
    """The operations and their targets in order, as they are spelt; a kEYWORD spelt like that is not recognised."""
    found: list[str] = []
    depths: list[int] = []  # the states to return to at a closing parenthesis
    own: set[str] = set()  # the names that WITH defines
    naming = False  # is the next word such a name?
    unnamed = False  # was the last token a placeholder, a literal or a comment? Then "x" may be a string
    state, after = _START, _IDLE
    last = token = ""
    meaning = _WORDS.get
    for token in names(dialect).findall(sql):
        means = meaning(token)
        if means is None and state <= _MUTED:
            last = token
            continue
        if not token or (state == _MUTED and means != _NEXT):
            unnamed = True
            continue
        if (state == _START or (state == _WITH and last == ")")) and token.upper() in OPERATIONS:
            found.append(token)
            state, after = OPERATIONS[token.upper()]
        elif state == _KIND and token.upper() in _KINDS:
            found.append(token)
            state = _KINDS[token.upper()]
        elif means is None:
            if state == _NAME:
                if last.upper() != "OR":  # INSERT OR REPLACE
                    state = after
                    if token.upper() not in own and not (unnamed and token[0] == '"'):
                        found.append(token)
            elif naming and token.upper() != "RECURSIVE":
                own.add(token.upper())
                naming = False
            elif state == _START and not found:  # otherwise EXPLAIN VERBOSE …
                state = _IDLE
        elif means == _FROMS:
            if state in {_OPEN, _LIST} and last.upper() != "DISTINCT":
                state, after = _NAME, _LIST
        elif means == _ENDS:
            if state in {_NAME, _LIST}:
                state = _OPEN
        elif means == _COMMA:
            if state == _LIST:
                state, after = _NAME, _LIST
            naming = state == _WITH
        elif means == _JOINS:
            if state in {_OPEN, _LIST}:
                state, after = _NAME, _LIST
        elif means == _OUT:
            if depths:
                state = depths.pop()
        elif means == _IN:
            explained = last.upper() == "EXPLAIN"
            depths.append(after if state == _NAME else _IDLE if state == _START and not explained else state)
            if state == _WITH or (state == _NAME and last.upper() == "USING"):
                state = _START
            elif state != _NAME and (state != _START or explained):
                state = _IDLE
        elif means == _SELECTS:
            found.append(token)
            state = _OPEN
        elif means == _AS:
            if state == _NAME:
                state = after
        elif means == _WITHS:
            if state in {_IDLE, _OPEN, _START}:
                state, naming = _WITH, True
        elif means == _NEXT:
            depths.clear()
            own.clear()
            state = _START
        elif last.upper() in {"TRUNCATE", "LOCK"}:
            found.append(token)
        last, unnamed = token, False
    return found
