"""No secret leaves, whatever grammar it was written in, and what holds none stays readable.

`python -m tests.hostile.secrets` tries 100 000 inputs and prints how many leaked, by form; `--inputs` and `--seed` change
that. tests/hostile/test_secrets.py tries a part of them in CI.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.hostile import grammars as grammar
from whoholds.ledger.database import Database
from whoholds.text.redact import redact, redact_argv, shown_name
from whoholds.text.source_line import source_line
from whoholds.text.sql import sanitise, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Form = Callable[[random.Random], tuple[object, str]]  # what went in, and what would leave


def _source(rng: random.Random) -> tuple[object, str]:
    line = grammar.python(rng)
    return line, source_line(line)


def _text(rng: random.Random) -> tuple[object, str]:
    text = grammar.text(rng)
    return text, redact(text)


def _name(rng: random.Random) -> tuple[object, str]:
    name = rng.choice((grammar.text, lambda one: shlex.join(grammar.arguments(one))))(rng)
    return name, shown_name(name)


def _password_statement(rng: random.Random) -> tuple[object, str]:
    statement = grammar.password_statement(rng)
    return statement, redact(f"cannot run {statement}")


def _statement(rng: random.Random) -> tuple[object, str]:
    system, statement = grammar.sql(rng)
    known = rng.choice((system, system, ""))
    return (known, statement), f"{sanitise(statement, system=known)}\n{summary(statement, system=known)}"


def _argv(rng: random.Random) -> tuple[object, str]:
    argv = grammar.arguments(rng)
    return argv, "\n".join(redact_argv([*rng.choice(([], ["/usr/bin/python3", "-m", "app"])), *argv]))


def _command(rng: random.Random) -> tuple[object, str]:
    command = shlex.join(grammar.arguments(rng))
    return command, redact(command)


def _database(rng: random.Random) -> tuple[object, str]:
    part = rng.choice(grammar.DSNS)(rng)
    where = rng.choice(("name", "host", "user"))
    made = Database("postgresql", **{where: part})
    return (where, part), f"{made.text}\n{made.name}\n{made.host}\n{made.user}\n{made.server}"


FORMS: dict[str, Form] = {
    "a source line": _source,
    "a message": _text,
    "a name of an owner": _name,
    "a password's statement in a message": _password_statement,
    "a span's statement": _statement,
    "arguments": _argv,
    "a command in a message": _command,
    "a database's parts": _database,
}


def leaks(form: str, inputs: int, seed: object) -> Iterator[tuple[object, str]]:
    """Give each input of this form that leaked, with what was shown of it."""
    rng = random.Random(f"{form} {seed}")
    for _ in range(inputs):
        given, shown = FORMS[form](rng)
        if any(chunk in shown for chunk in grammar.CHUNKS):
            yield given, shown


def main() -> int:
    """Try them all; 1 where one leaked."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.secrets")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--shown", type=int, default=3, help="leaks printed for each form")
    options = parser.parse_args()
    began = time.monotonic()
    each = -(-options.inputs // len(FORMS))
    counts: Counter[str] = Counter()
    for form in FORMS:
        for given, shown in leaks(form, each, options.seed):
            counts[form] += 1
            if counts[form] <= options.shown:
                print(f"  leaked: {given!r}\n     shown: {shown!r}")
        print(f"{each:>8} inputs, {counts[form]:>5} leaks: {form}", flush=True)
    total = sum(counts.values())
    print(f"{each * len(FORMS)} inputs, {total} leaks, {time.monotonic() - began:.0f} s, seed {options.seed}")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
