"""Decides which findings are intended: by a rule of WHOHOLDS_IGNORE, a comment on the opening line, or a predicate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.source import line_of
from whoholds.plugins import name_of
from whoholds.watching.aside import failure, place_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.finding import Finding
    from whoholds.plugins import Predicate
    from whoholds.settings.matching import IgnoreRule
    from whoholds.watching.aside import Asides

MARKER = "# whoholds: ignore"


class Intended:
    """The ignore rules, each with the number of findings it matched, and the predicates of `whoholds.ignore`."""

    def __init__(self, rules: Iterable[IgnoreRule], asides: Asides) -> None:
        self.matched = dict.fromkeys(rules, 0)
        self.predicates: list[Predicate] = []
        self._asides = asides

    def use(self, rules: Iterable[IgnoreRule]) -> None:
        """Apply these rules from now on. A rule that was applied before keeps its count."""
        self.matched = {rule: self.matched.get(rule, 0) for rule in rules}

    def covers(self, finding: Finding) -> bool:
        """True if `finding` is intended. The ticking thread calls this; it never raises."""
        for rule in self.matched:
            if rule.matches(finding.rule, finding.lines):
                self.matched[rule] += 1
                return True
        opened = finding.opened
        if opened is not None and says_ignore(opened.file, opened.line, finding.rule):
            return True
        return any(self._says(predicate, finding) for predicate in self.predicates)

    def _says(self, predicate: Predicate, finding: Finding) -> bool:
        """The answer of the predicate; False if it raises, which is reported once with the line that raised."""
        try:
            return bool(predicate(finding))
        except Exception as error:  # noqa: BLE001 - somebody else's code: it must not hide the other findings
            note_failed(predicate, error, self._asides, "whoholds.ignore")
            return False

    def remarks(self) -> list[str]:
        """Sentences for the end of the process on the rules that matched nothing."""
        return [f"ignore rule {rule} matched nothing" for rule, count in self.matched.items() if not count]


def note_failed(predicate: Predicate, error: Exception, asides: Asides, of: str) -> None:
    """Report once that a predicate, which was given to the function named `of`, raised, with the line that raised."""
    name, place = name_of(predicate), place_in(error, predicate)
    at = f" at {place}" if place else ""
    reason = f"predicate {name} of {of} raised{at}: {failure(error)}; that counts as no match"
    asides.note("predicate-failed", reason, key=(id(predicate), place))


def says_ignore(file: str, line: int, rule: str) -> bool:
    """True if the line has the comment `# whoholds: ignore[rule]`, or `# whoholds: ignore`, which is for all rules."""
    _, marker, rest = line_of(file, line).partition(MARKER)
    if not marker:
        return False
    if not rest.startswith("["):
        return True
    return rule in [name.strip() for name in rest[1:].partition("]")[0].split(",")]
