"""What the pytest plug-in costs a suite of 5 000 empty tests: not asked for, reporting, failing.

`python bench/pytest_plugin.py [tests] [rounds]`; the variants take turns, and the fastest round of each counts.
Seconds are of processor time, so that a busy machine does not blur them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

VARIANTS = {
    "without it (-p no:whoholds)": ["-p", "no:whoholds"],
    "installed, not asked for": [],
    "--whoholds": ["--whoholds"],
    "--whoholds=error": ["--whoholds=error"],
}
OTHERS = ("randomly", "xdist", "cov", "timeout", "asyncio", "anyio", "django", "cacheprovider")


def main(tests: int = 5000, rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder, "test_empty.py")
        suite.write_text("import sqlite3\n\n" + "".join(f"def test_{n}(): pass\n" for n in range(tests)))
        best = dict.fromkeys(VARIANTS, float("inf"))
        for _ in range(rounds):
            for name, options in VARIANTS.items():
                best[name] = min(best[name], timed(folder, options))
    bare = next(iter(best.values()))
    print(f"{tests} empty tests, best of {rounds} rounds, Python {sys.version.split()[0]}")
    for name, seconds in best.items():
        print(f"{name:<32}{seconds:7.2f} s{(seconds - bare) / tests * 1e6:+9.1f} µs a test")


def timed(folder: str, options: list[str]) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "--no-header"]
    command += [part for other in OTHERS for part in ("-p", f"no:{other}")]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WHOHOLDS")}
    before = os.times()
    subprocess.run([*command, *options], cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="?", type=int, default=5000)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    main(**vars(parser.parse_args()))
