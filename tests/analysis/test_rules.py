"""The rules' table: what the watch, the judge of tests and the reports read of a rule stands in its row and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

from whoholds import detectors
from whoholds.analysis.rules import BITS, RULES, Rule, rule_of

SOURCE = Path(__file__).parents[2] / "src" / "whoholds"


def test_every_rule_has_a_bit_of_its_own() -> None:
    """`Handle.told` is made of them."""
    assert list(BITS) == list(RULES)
    assert sorted(BITS.values()) == [1 << place for place in range(len(RULES))]


def test_a_name_that_is_no_rule_has_no_property() -> None:
    """A test's own demands, `max-open` and `max-connects`, are findings too."""
    assert rule_of("max-open") == Rule("max-open")


def test_rules_are_named_by_their_detectors_and_by_their_rows_only() -> None:
    """A list of rules' names anywhere else is a property that has no column."""
    names = [rule for rule in RULES if rule != "refused"]  # that is a type of the journal's records, too
    quoted = re.compile(rf'"({"|".join(names)})"')
    elsewhere = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if path.parent.name != "detectors"
        for line in path.read_text(encoding="utf-8").splitlines()
        if quoted.search(line) and "BITS[" not in line  # the mark of one rule, where what it has named is remembered
    }
    assert elsewhere == {"analysis/rules.py"}


def test_a_detector_speaks_of_its_own_rule() -> None:
    """The table's key is the detector's name."""
    assert [detector.__name__ for detector in detectors.ALL.values()] == [
        rule.replace("-", "_") for rule in detectors.ALL
    ]


def test_every_name_that_a_line_ends_in_is_explained() -> None:
    """What stands aside is said with a name in brackets, and docs/settings.md has a section for each."""
    names = {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(
            r'(?:stand_aside|asides\.note)\(\s*"([a-z-]+)"|\[([a-z]+(?:-[a-z]+)+)\]"', path.read_text(encoding="utf-8")
        )
    }
    used = {one or other for one, other in names}
    page = (SOURCE.parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    page = page[page.index("## What whoholds says of itself") :]
    assert used == set(re.findall(r"^### ([a-z-]+)$", page, re.MULTILINE))
