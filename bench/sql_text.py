"""What the summary and the text of a statement cost, beside the well-kept tokenizers, in one interleaved run.

    python bench/sql_text.py        # and `pip install "sqlglot[c]" sqlparse` for the others' columns

Prints the best of many rounds in µs, each round asking all in turn, and the others as a multiple of ours.
"""

from __future__ import annotations

import importlib
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

from whoholds.text import sql

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, CALLS = 60, 40

STATEMENTS = {
    "100 characters": "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id "
    "WHERE u.id = %s AND o.x = 'a'",
    "by key": "SELECT id, name FROM users WHERE id = 42",
    "insert": "INSERT INTO shop.audit (at, who, what) VALUES (now(), 'alice', 'it''s here') RETURNING id",
    "WITH": "WITH late AS (SELECT id FROM orders WHERE due < '2024-01-01') "
    "UPDATE users u SET flag = 1 FROM late l WHERE u.id = l.id",
    "ORM, 2 KB": "SELECT " + ", ".join(f'"shop"."orders"."column_{n}"' for n in range(60)) + ' FROM "shop"."orders" '
    'JOIN "shop"."users" ON "shop"."users"."id" = "shop"."orders"."user_id" WHERE "shop"."users"."id" = 42',
    "bulk, 4 MB": "INSERT INTO t (a, b) VALUES " + ", ".join(f"({n}, 'value {n}')" for n in range(180_000)),
}


def forget() -> None:
    for known in (*sql._SUMMARIES.values(), *sql._TEXTS.values()):
        known.clear()


def others() -> dict[str, Callable[[str], Any]]:
    """Give what others need to find the operation and the tables, as far as they are installed."""
    found: dict[str, Callable[[str], Any]] = {}
    try:
        sqlglot = importlib.import_module("sqlglot")
        found["sqlglot tokenize"] = lambda text: sqlglot.tokenize(text, read="postgres")
        found["sqlglot tables"] = lambda text: [
            table.name for table in sqlglot.parse_one(text.replace("%s", "?")).find_all(sqlglot.exp.Table)
        ]
    except ImportError:
        print("sqlglot is not installed")
    try:
        lexer = importlib.import_module("sqlparse.lexer")
        sqlparse = importlib.import_module("sqlparse")
        found["sqlparse tokenize"] = lambda text: list(lexer.tokenize(text))
        found["sqlparse parse"] = lambda text: [parsed.get_type() for parsed in sqlparse.parse(text)]
    except ImportError:
        print("sqlparse is not installed")
    return found


def best(asked: dict[str, Callable[[], Any]], rounds: int, calls: int) -> dict[str, float]:
    """Give the least µs a call for each, of rounds in which each has its turn."""
    least = dict.fromkeys(asked, float("inf"))
    for _ in range(rounds):
        for name, ask in asked.items():
            began = time.perf_counter()
            for _ in range(calls):
                ask()
            least[name] = min(least[name], (time.perf_counter() - began) / calls * 1e6)
    return least


def asking(ask: Callable[[str], Any], text: str, *, anew: bool) -> Callable[[], Any]:
    def asked() -> None:
        if anew:
            forget()
        ask(text)

    return asked


def row(text: str, rivals: dict[str, Callable[[str], Any]]) -> dict[str, float]:
    """Give the µs of each column for one statement."""
    huge = len(text) > 1_000_000
    empty = best({"forget": forget}, ROUNDS, CALLS)["forget"]
    asked = {
        "summary, first": asking(sql.summary, text, anew=True),
        "text, first": asking(sql.sanitise, text, anew=True),
    }
    if not huge:
        asked |= {name: asking(ask, text, anew=True) for name, ask in rivals.items()}
    cost = {name: least - empty for name, least in best(asked, ROUNDS, CALLS).items()}
    if huge:  # one call is enough, and to parse would take minutes
        tokenizers = {name: ask for name, ask in rivals.items() if name.endswith("tokenize")}
        cost |= best({name: asking(ask, text, anew=False) for name, ask in tokenizers.items()}, 1, 1)
    again = {
        "summary, again": asking(sql.summary, text, anew=False),
        "text, again": asking(sql.sanitise, text, anew=False),
    }
    return cost | best(again, ROUNDS, CALLS * 10)


def main() -> int:
    """Print the table."""
    rivals = others()
    print(f"CPython {platform.python_version()}, µs; others also as a multiple of our summary, seen first\n")
    columns = ["summary, first", "summary, again", "text, first", "text, again", *rivals]
    print(f"{'':16}" + "".join(f"{column:>19}" for column in columns))
    for title, text in STATEMENTS.items():
        cost = row(text, rivals)
        line = f"{title:16}"
        for column in columns:
            if column not in cost:
                line += f"{'-':>19}"
            elif column in rivals:
                line += f"{cost[column]:>11.0f} x{cost[column] / cost['summary, first']:<6.0f}"
            else:
                line += f"{cost[column]:>19.2f}"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
