"""Judge two runs of one suite: what is new with whoholds, and what only looks so."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING

from tests.foreign.runs import EXIT, GOOD, Outcome, Run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
REPEATS = 3
MORE_REPEATS = 12  # of a test that with whoholds fails now and then
CHANCE = 0.01  # how likely a difference in numbers may be by chance alone, and still count


@dataclass(frozen=True)
class Exempt:
    """A known difference: a test's id or a warning as a glob, the Pythons it holds for, and why."""

    suite: str
    reason: str
    test: str = ""
    warning: str = ""
    python: tuple[str, ...] = ()

    def matches(self, test: str = "", warning: str = "") -> bool:
        """Tell whether this is about that test, or that warning."""
        return bool(
            (test and self.test and fnmatchcase(test, self.test))
            or (warning and self.warning and fnmatchcase(warning, self.warning))
        )


@dataclass
class Verdict:
    """What differs between a bare run and a watched one.

    `new`, `new_warnings` and `aside`, what of whoholds stood aside, are what counts; `exempt` is listed;
    `shaky` differed once and then, run again both ways, failed without whoholds too or not at all;
    `idle` are exceptions nothing needed.
    """

    new: dict[str, tuple[str, Outcome]] = field(default_factory=dict)
    new_warnings: list[str] = field(default_factory=list)
    exempt: dict[str, str] = field(default_factory=dict)
    shaky: dict[str, str] = field(default_factory=dict)
    idle: list[Exempt] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Tell whether nothing counts."""
        return not (self.new or self.new_warnings or self.aside)


def listed(path: Path = EXCEPTIONS) -> list[Exempt]:
    """Read all exceptions."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("exception", [])
    return [Exempt(**{**entry, "python": tuple(entry.get("python", ()))}) for entry in entries]


def exemptions(suite: str, python: str) -> list[Exempt]:
    """Give the exceptions that hold for this suite on this Python."""
    return [each for each in listed() if each.suite == suite and (not each.python or python in each.python)]


def judge(bare: Run, watched: Run, exempt: list[Exempt], again: Callable[[str, Iterable[str] | None], Run]) -> Verdict:
    """Compare test by test; `again("bare" or "watched", tests or None for all)` runs once more.

    A test that ends differently is run again alone, REPEATS times each way. It counts if it differs
    each time with whoholds and never without; if it differs some of the times, MORE_REPEATS tell whether
    that is more often than chance allows. If that shows nothing, because alone it never differs or
    always does (it leans on its neighbours), the whole suite runs once more each way, and it counts
    if the same happens again; but a test that failed only without is let go. A warning counts if a
    second run of the whole suite each way shows it again with whoholds and not without.
    """
    verdict = Verdict(aside=watched.aside)
    differing = {
        test: (kind, watched.tests.get(test, Outcome("missing")))
        for test, kind in _kinds(bare, watched)
        if not _same(kind, watched.tests.get(test, Outcome("missing")).kind)
    }
    used: set[Exempt] = set()
    for test in list(differing):
        for each in exempt:
            if each.matches(test=test):
                used.add(each)
                verdict.exempt[test] = each.reason
                differing.pop(test, None)
    warned = _unlisted_warnings(bare, watched, exempt, used, verdict)
    verdict.idle = [each for each in exempt if each not in used]
    alone, once_only = _alone(differing, again, verdict)
    verdict.new |= {test: differing[test] for test in alone}
    if once_only or warned:
        bare_again, watched_again = again("bare", None), again("watched", None)
        for test in once_only:
            before, kind = (run.tests.get(test, Outcome("missing")).kind for run in (bare_again, watched_again))
            if before != differing[test][0]:
                verdict.shaky[test] = f"{differing[test][0]} without, and the next time {before}"
            elif not _same(before, kind):
                verdict.new[test] = differing[test]
            else:
                verdict.shaky[test] = "differed once, not again"
        for warning in warned:
            if warning in watched_again.warnings and warning not in bare_again.warnings:
                verdict.new_warnings.append(warning)
            else:
                verdict.shaky[warning] = "warned once, not again, or without whoholds too"
    return verdict


def _kinds(bare: Run, watched: Run) -> list[tuple[str, str]]:
    """Give every test of either run with its bare outcome."""
    tests = {**bare.tests, **watched.tests}
    return [(test, bare.tests.get(test, Outcome("missing")).kind) for test in tests]


def _same(bare: str, watched: str) -> bool:
    """Tell whether an outcome is as without; a failure that became an error is still one failure."""
    return bare == watched or (bare not in GOOD and watched in {"failed", "error"} and bare != "missing")


def _unlisted_warnings(bare: Run, watched: Run, exempt: list[Exempt], used: set[Exempt], verdict: Verdict) -> list[str]:
    """Give the warnings that only the watched run showed and no exception lists."""
    unlisted = []
    for warning in sorted(set(watched.warnings) - set(bare.warnings)):
        known = [each for each in exempt if each.matches(warning=warning)]
        used.update(known)
        if known:
            verdict.exempt[warning] = known[0].reason
        else:
            unlisted.append(warning)
    return unlisted


def _alone(
    differing: dict[str, tuple[str, Outcome]],
    again: Callable[[str, Iterable[str] | None], Run],
    verdict: Verdict,
) -> tuple[list[str], list[str]]:
    """Run the differing tests alone: those that differ again, and those that do not when alone."""
    tests = [test for test in differing if test != EXIT]
    if not tests:
        return [], list(differing)
    times = dict.fromkeys(tests, REPEATS)
    wrong = {"bare": dict.fromkeys(tests, 0), "watched": dict.fromkeys(tests, 0)}

    def repeat(some: list[str], number: int) -> None:
        for _ in range(number):
            for side, counts in wrong.items():
                run = again(side, some)
                for test in some:
                    counts[test] += run.tests.get(test, Outcome("missing")).kind != differing[test][0]

    repeat(tests, REPEATS)
    unsteady = [test for test in tests if 0 < wrong["watched"][test] < REPEATS and not wrong["bare"][test]]
    if unsteady:
        repeat(unsteady, MORE_REPEATS)
        times.update(dict.fromkeys(unsteady, REPEATS + MORE_REPEATS))
    real = [
        test
        for test in tests
        if (wrong["watched"][test] == REPEATS == times[test] and not wrong["bare"][test])
        or (test in unsteady and _by_chance(wrong["bare"][test], wrong["watched"][test], times[test]) < CHANCE)
    ]
    better = [test for test in tests if differing[test][0] not in GOOD and differing[test][1].kind in GOOD]
    unstable = [
        test
        for test in tests
        if test not in real and (test in unsteady or wrong["bare"][test] % REPEATS or test in better)
    ]
    for test in unstable:
        told = f"{wrong['bare'][test]} of {times[test]} without, {wrong['watched'][test]} of {times[test]} with"
        verdict.shaky[test] = f"alone it differed {told}"
    return real, [test for test in differing if test not in real and test not in unstable]


def _by_chance(bare: int, watched: int, times: int) -> float:
    """Give how likely so many more are `watched`, both of `times`, if both were alike (Fisher's exact test)."""
    both = bare + watched
    worse = sum(comb(times, many) * comb(times, both - many) for many in range(watched, min(both, times) + 1))
    return worse / comb(2 * times, both)
