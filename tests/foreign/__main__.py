"""`python -m tests.foreign SUITE…`: run foreign suites with and without whoholds, and compare.

Ends with a table, and with 1 where something that no exception lists went otherwise than without.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tests import interpreters
from tests.foreign import compare, runs, suites
from tests.foreign.sources import SourceError
from tests.servers import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = (
    "suite",
    "version",
    "Python",
    "outputs",
    "tests",
    "failing bare",
    "newly failing",
    "new warnings",
    "exceptions",
)


@dataclass(frozen=True)
class Options:
    """What the command line asked for; `against` are the variants to compare with bare."""

    names: list[str]
    pythons: list[str]
    against: list[str]
    cache: Path
    sources: dict[str, Path]
    verbose: bool
    summary: Path | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for, and give the exit code."""
    options = _options(arguments)
    # Told to end, end by the way of the exceptions: it is they that end the servers and the suites.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    rows: list[tuple[str, ...]] = []
    clean = True
    for version in options.pythons:
        for name in options.names:
            try:
                ok, more = _suite(suites.ALL[name], version, options)
            except (SourceError, NotInstalledError) as problem:
                print(f"{name} on {version}: {problem}", flush=True)
                ok, more = False, [(name, suites.ALL[name].version, version, "not run")]
            clean = clean and ok
            rows += more
    print("\n" + _table(rows), flush=True)
    if options.summary is not None:
        options.summary.parent.mkdir(parents=True, exist_ok=True)
        options.summary.write_text(json.dumps(_summary(rows)), encoding="utf-8")
    return 0 if clean else 1


def _summary(rows: list[tuple[str, ...]]) -> list[tuple[str, str, int, int]]:
    """Suite, Python, how many tests, and how many newly failing in all its variants: for the closing table."""
    counted: dict[tuple[str, str], tuple[int, int]] = {}
    for name, _, version, _, *numbers in rows:
        if len(numbers) > 2:  # it was run
            tests, new = counted.get((name, version), (0, 0))
            counted[name, version] = max(tests, int(numbers[0])), new + int(numbers[2])
    return [(*key, *value) for key, value in counted.items()]


def _suite(suite: suites.Suite, version: str, options: Options) -> tuple[bool, list[tuple[str, ...]]]:
    """Run one suite bare and in each variant; whether all is well, and its rows of the table."""
    pythons = interpreters.found()
    if version not in pythons:
        raise SourceError(f"no Python {version} here; there are {', '.join(pythons)}")
    if interpreters.SUPPORTED.index(version) < interpreters.SUPPORTED.index(suite.oldest):
        return True, [(suite.name, suite.version, version, f"needs {suite.oldest}")]
    source = options.sources.get(suite.name) or suite.source.unpack(options.cache)
    watched = options.against != ["bare"]
    python = runs.environment(suite, pythons[version], version, options.cache, watched=watched)
    work = options.cache / "work" / f"{suite.name}-{version}"
    repeats = count(1)

    def once(variant: str, place: str, only: Iterable[str] | None = None) -> runs.Run:
        return runs.once(suite, python, version, source, variant, work / place, only)

    def again(variant: str, side: str, only: Iterable[str] | None) -> runs.Run:
        chosen = "bare" if side == "bare" else variant
        return once(chosen, f"repeat-{next(repeats)}-{chosen}", only)

    bare = once("bare", "bare")
    _say(suite, version, "bare", bare)
    if not bare.tests.keys() - {runs.EXIT}:
        raise SourceError(f"it ran no test: {bare.tests}")
    ok, rows = True, []
    for variant in options.against:
        run = once(variant, variant if watched else "again")
        _say(suite, version, variant, run)
        verdict = compare.judge(
            bare,
            run,
            compare.exemptions(suite.name, version) if watched else [],
            partial(again, variant),
        )
        _report(verdict, verbose=options.verbose)
        ok = ok and verdict.clean
        counts = (len(bare.bad()), len(verdict.new), len(verdict.new_warnings), len(verdict.exempt))
        label = suite.version or version
        rows.append((suite.name, label, version, variant, str(len(run.tests) - 1), *map(str, counts)))
    return ok, rows


def _say(suite: suites.Suite, version: str, variant: str, run: runs.Run) -> None:
    """Tell how a run went."""
    kinds: dict[str, int] = {}
    for test, outcome in run.tests.items():
        if test != runs.EXIT:
            kinds[outcome.kind] = kinds.get(outcome.kind, 0) + 1
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    print(f"{suite.name} on {version}, {variant}: {told} in {run.seconds:.0f} s", flush=True)


def _report(verdict: compare.Verdict, *, verbose: bool) -> None:
    """Print what differs: first what counts."""
    for test, (before, outcome) in verdict.new.items():
        lines = outcome.text.strip().splitlines()
        text = "\n".join(f"      {line}" for line in (lines if verbose else lines[-8:]))
        print(f"  NEW  {test}: {before} without, {outcome.kind} with\n{text}", flush=True)
    for warning in verdict.new_warnings:
        print(f"  NEW WARNING  {warning}", flush=True)
    for reason in verdict.aside:
        print(f"  ASIDE  {reason}", flush=True)
    for test, reason in verdict.exempt.items():
        print(f"  exception  {test}: {reason}", flush=True)
    for test, reason in verdict.shaky.items():
        print(f"  unstable by itself  {test}: {reason}", flush=True)
    for each in verdict.idle:
        print(f"  listed, but no exception now  {each.test or each.warning}", flush=True)


def _table(rows: list[tuple[str, ...]]) -> str:
    """Give the rows as a Markdown table."""
    filled = [row + ("",) * (len(HEAD) - len(row)) for row in rows]
    lines = [HEAD, ("---",) * len(HEAD), *filled]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _options(arguments: list[str] | None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.foreign", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*suites.ALL, []], metavar="SUITE", help="all, if none")
    parser.add_argument("--short", action="store_true", help="only those that CI runs")
    parser.add_argument("--python", action="append", metavar="3.11", help="repeatable; `all` for all found")
    parser.add_argument("--with", dest="against", action="append", choices=[*runs.VARIANTS], metavar="VARIANT")
    parser.add_argument("--cache", type=Path, default=runs.ROOT / ".cache" / "foreign", metavar="FOLDER")
    parser.add_argument("--source", action="append", default=[], metavar="SUITE=FOLDER", help="instead of fetching")
    parser.add_argument("--verbose", action="store_true", help="whole tracebacks")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write the counts there too, as JSON")
    parser.add_argument("--list", action="store_true", help="name the suites, and end")
    got = parser.parse_args(arguments)
    if got.list:
        for suite in suites.ALL.values():
            print(f"{suite.name:20}{suite.version:10}{'long' if suite.long else 'short'}")
        sys.exit()
    names = got.suites or [name for name, suite in suites.ALL.items() if not (got.short and suite.long)]
    pythons = got.python or [interpreters.here()]
    given = [each.partition("=") for each in got.source]
    for name, _, folder in given:
        if name not in suites.ALL or not folder or not Path(folder).is_dir():
            parser.error(f"--source {name}={folder}: it takes a suite of --list and a folder that is there")
    return Options(
        names=names,
        pythons=list(interpreters.found()) if pythons == ["all"] else pythons,
        against=got.against or ["plain", "journal"],
        cache=got.cache.resolve(),
        sources={name: Path(folder).resolve() for name, _, folder in given},
        verbose=got.verbose,
        summary=got.summary,
    )


if __name__ == "__main__":
    sys.exit(main())
