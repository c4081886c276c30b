"""Rules: what can be found. A rule is one row here, and one function of the same name in `detectors`.

Whatever another room needs to know of a rule is a column of its row, never a list of names of its own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """What the watch, the tests' judge and the reports have to know of one rule."""

    name: str
    of_one_database: bool = False  # findings for two databases are two findings, also where their lines are the same
    fails_tests: bool = False  # a leak: `--whoholds=error` fails the test; other rules are reported only
    of_the_run: bool = False  # judges a program over time, and a test suite is no program: only where a test chose it
    at_an_end: bool = False  # what only the end of a scope, a watch or the process brings to light
    named_by_scope: bool = False  # its finding bears the name of the scope that ended
    a_collection_may_clear_it: bool = False  # the garbage collector may close what it accuses: collect, look again
    retracted: bool = False  # `given-back` says so when a handle that it named is closed after all
    said_in_suites: bool = True  # a test that ends hears of it
    contained_in: str = ""  # a rule whose finding says this too, where it has named all of the handles
    shows_holders: bool = False  # the report shows where the holders are at that moment
    also_below: bool = True  # the report has a line of its own for `Finding.also`, which the first line names


# In the order of docs/findings.md. A new rule goes to the end: `Handle.told` keeps a bit for each place.
_ROWS = (
    Rule(
        "left-open",
        fails_tests=True,
        at_an_end=True,
        named_by_scope=True,
        a_collection_may_clear_it=True,
        retracted=True,
        shows_holders=True,
    ),
    Rule("collected-open", fails_tests=True),
    Rule("owner-gone", fails_tests=True, a_collection_may_clear_it=True, retracted=True, contained_in="left-open"),
    Rule("held-too-long", retracted=True, shows_holders=True),
    Rule("idle-in-transaction", retracted=True, shows_holders=True),
    Rule(
        "cursor-left-open",
        fails_tests=True,
        at_an_end=True,
        a_collection_may_clear_it=True,
        contained_in="left-open",
        shows_holders=True,
    ),
    Rule("too-many-at-once", of_one_database=True, shows_holders=True),
    Rule("connect-storm", of_one_database=True, of_the_run=True),
    Rule("second-while-holding", shows_holders=True),
    Rule("shared-at-once"),
    Rule("shared-across-fork"),
    Rule("refused", of_one_database=True, shows_holders=True, also_below=False),
    Rule("growing", of_the_run=True, retracted=True, shows_holders=True),
    Rule("given-back", said_in_suites=False),
)

RULES = {row.name: row for row in _ROWS}
BITS = {name: 1 << place for place, name in enumerate(RULES)}  # what `Handle.told` is made of


def register(row: Rule) -> None:
    """Let `row` be a rule, too: that of a third party. Twice is once; ValueError where the name is another rule's."""
    if RULES.setdefault(row.name, row) != row:
        raise ValueError(f"a rule named {row.name!r} is there already, with other properties")
    BITS.setdefault(row.name, 1 << len(BITS))


def rule_of(name: str) -> Rule:
    """The row of that name; one without any property for a name that is no rule: a test's `max-open`."""
    return RULES.get(name) or Rule(name)
