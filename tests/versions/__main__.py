"""`python -m tests.versions LIBRARY…`: run the drivers' tests with the oldest and the newest version of each library.

Each version is installed into a folder of its own, under .cache/versions, and found before the versions of the test
environment. It ends with the table of docs/libraries.md, and with 1 where a version fails.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import interpreters
from tests.closing import counts
from tests.foreign.sources import SourceError, run
from tests.versions.matrix import MATRIX, Trial

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
MILDER = ("-W", "ignore::DeprecationWarning")  # of an old library, about itself or a newer Python
HEAD = ("library", "version", "Python", "passed", "skipped", "failed")


def main(arguments: list[str] | None = None) -> int:
    """Try what was asked for, and give the exit code."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    rows: list[tuple[str, ...]] = []
    for library in options.libraries or MATRIX:
        trials = MATRIX[library].trials()
        chosen = trials[:1] * options.oldest + trials[-1:] * options.newest or trials
        for trial in chosen:
            version = options.python or trial.way.python or interpreters.here()
            rows.append((trial.library, trial.version, version, *_try(trial, version)))
            print(_line(rows[-1]), flush=True)
    print("\n".join(["", _line(HEAD), _line(("---",) * len(HEAD)), *map(_line, rows)]), flush=True)
    return 0 if all(row[-1] == "0" for row in rows) else 1


def _try(trial: Trial, version: str) -> tuple[str, ...]:
    """Run the tests with one version on one Python: how many passed, were skipped and failed, or why none was run."""
    place = CACHE / "versions" / f"{trial.library}-{trial.version}-{version}"
    try:
        python = _environment(version)
        packages = _installed(trial, python, place)
    except SourceError as problem:
        print(f"{trial.library} {trial.version}: {problem}", flush=True)
        return "-", "-", "not run"
    variables = {**os.environ, **trial.way.variables, "PYTHONPATH": f"{packages}{os.pathsep}{ROOT / 'src'}"}
    command = [str(python), "-m", "pytest", "-q", *MILDER, "-o", f"cache_dir={place / 'pytest'}", *trial.tests]
    passed, skipped, failed = _tests(command, variables, place / "report.xml")
    if failed:  # on a busy machine some tests look at the clock too late: what failed has to pass alone
        mended, _, failed = _tests([*command, "--last-failed"], variables, place / "again.xml")
        passed += mended
    return str(passed), str(skipped), str(failed) if passed else "none ran"


def _tests(command: list[str], variables: dict[str, str], report: Path) -> tuple[int, int, int]:
    """Run pytest, whose output goes beside its report: how many tests passed, were skipped and failed."""
    report.unlink(missing_ok=True)
    with report.with_suffix(".log").open("w", encoding="utf-8") as log:
        command = [*command, f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    return counts(report)


def _environment(version: str) -> Path:
    """Give an interpreter with everything that the tests need: this one, or that of `python -m tests`."""
    if version == interpreters.here():
        return Path(sys.executable)
    python = CACHE / "venvs" / version / "bin" / "python"
    if not python.exists():
        pythons = interpreters.found()
        if version not in pythons:
            raise SourceError(f"no Python {version} here; there are {', '.join(pythons)}")
        run([str(pythons[version]), "-m", "venv", str(python.parents[1])])
        run([str(python), "-m", "pip", "install", "--quiet", "-e", f"{ROOT}[test]"])
    return python


def _installed(trial: Trial, python: Path, place: Path) -> Path:
    """Give the folder below `place` with the version and what it depends on; SourceError if pip cannot install it.

    It is called as those are that packages are installed in: so findings tell a library's files from the program's.
    """
    packages = place / "site-packages"
    if not packages.exists():
        part = place / f"installing-{os.getpid()}"
        run([str(python), "-m", "pip", "install", "--quiet", "--target", str(part), *trial.requirements])
        part.rename(packages)
    return packages


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__)
    parser.add_argument("libraries", nargs="*", choices=[*MATRIX, []], metavar="LIBRARY", help="all, if none")
    parser.add_argument("--oldest", action="store_true", help="only the oldest version of each")
    parser.add_argument("--newest", action="store_true", help="only the newest version of each")
    parser.add_argument("--python", metavar="3.11", help="for all, instead of the one that the matrix names")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
