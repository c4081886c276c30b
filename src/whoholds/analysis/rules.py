"""Rules: the faults that can be found. A rule is one row here and one function of the same name in `detectors`.

Whatever another room needs to know about a rule is a column of its row. A room must not keep a list of the rules that
have some property.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """The properties of one rule that the watch, the pytest plug-in and the reports need."""

    name: str
    of_one_database: bool = False  # two databases give two findings even if the lines are the same
    fails_tests: bool = False  # the rule is about a leak: `--whoholds=error` fails the test; others are only reported
    of_the_run: bool = False  # it judges a program over time; in a test suite it counts only if a test chose it
    at_an_end: bool = False  # only the end of a scope, of a watch or of the process can show it
    named_by_scope: bool = False  # its finding carries the name of the scope that ended
    a_collection_may_clear_it: bool = False  # garbage collection may close the handles it names: collect first
    retracted: bool = False  # `given-back` reports when a handle that this rule named is closed after all
    said_in_suites: bool = True  # its findings are reported at the end of a test
    contained_in: str = ""  # the rule whose finding makes this one superfluous if it names all of its handles
    compared_with_a_limit: bool = False  # its count is a peak: the share of one test is compared with the limit anew
    shows_holders: bool = False  # the report shows the live stacks of the holders
    also_below: bool = True  # the report has a separate line for `Finding.also`, which the first line names
    of_adopted: bool = False  # it also judges connections that were open before the watch, whose history is not known
    of_its_own: bool = False  # it does not blame that its handles are held: never one matter with rules that do
    hurts_now: bool = False  # calls of the program fail, or may: named before other findings of the same severity


# In the order of docs/findings.md. A new rule goes to the end, because `Handle.told` has one bit for each position.
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
    Rule("idle-in-transaction", retracted=True, shows_holders=True, of_adopted=True),
    Rule(
        "cursor-left-open",
        fails_tests=True,
        at_an_end=True,
        a_collection_may_clear_it=True,
        contained_in="left-open",
        shows_holders=True,
        of_its_own=True,
    ),
    Rule("too-many-at-once", of_one_database=True, compared_with_a_limit=True, shows_holders=True),
    Rule("connect-storm", of_one_database=True, of_the_run=True, of_its_own=True),
    Rule("second-while-holding", shows_holders=True, of_its_own=True),
    Rule("shared-at-once", of_its_own=True, hurts_now=True),
    Rule("shared-across-fork", of_its_own=True, hurts_now=True),
    Rule("refused", of_one_database=True, shows_holders=True, also_below=False, hurts_now=True),
    Rule("growing", of_the_run=True, retracted=True, shows_holders=True),
    Rule("given-back", said_in_suites=False),
    Rule("waiting-too-long", of_one_database=True, shows_holders=True, also_below=False, hurts_now=True),
    Rule("locked", of_one_database=True, shows_holders=True, also_below=False, hurts_now=True),
)

RULES = {row.name: row for row in _ROWS}
BITS = {name: 1 << place for place, name in enumerate(RULES)}  # the bit that `Handle.told` has for each rule


def register(row: Rule) -> None:
    """Add the rule of a third party. Adding the same row again changes nothing.

    Raises ValueError if there is a rule of that name with other properties.
    """
    if RULES.setdefault(row.name, row) != row:
        raise ValueError(f"a rule named {row.name!r} is there already, with other properties")
    BITS.setdefault(row.name, 1 << len(BITS))


def rule_of(name: str) -> Rule:
    """The row of the rule `name`. For a name that is no rule (`max-open` of a test), a row with the defaults."""
    return RULES.get(name) or Rule(name)
