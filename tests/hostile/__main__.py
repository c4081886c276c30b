"""`python -m tests.hostile`: every harness, whole, and a table of what was tried and what came of it.

Exit code 1 where anything reached a program, hung, was lost or left inside.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import servers
from tests.hostile import faults
from tests.hostile.programs import World, at_hand


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument(
        "--program", action="append", default=[], help="only this one, a name of tests/hostile/programs.py"
    )
    parser.add_argument("--only", default="", help="only functions whose file and name contain this")
    parser.add_argument("--every", type=int, default=1, help="only every so-manyeth trial")
    parser.add_argument("--verbose", action="store_true", help="how each that reached the program did")
    parser.add_argument("--spans", choices=("both", "yes", "no"), default="both")
    options = parser.parse_args()
    bad = 0
    with ExitStack() as stack:
        world = World(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        world.postgres = started(stack, servers.postgres) or ""
        world.mariadb = dict(started(stack, servers.mariadb) or {})
        names = options.program or list(at_hand(world))
        results = []
        for name in names:
            for spans in (False, True):
                if options.spans in ("both", "yes" if spans else "no"):
                    results += faults.trials(name, world, spans=spans, every=options.every, only=options.only)
                    sys.stderr.write(f"{faults.table(results)[-2]}\n")
        for one in results:
            if one.verdict:
                bad += 1
                print(f"{one.verdict:<8} {one.program:<20} {'spans ' if one.spans else ''}{one.function}")
                if options.verbose:
                    print("    " + one.detail.replace("\n", "\n    "))
        print("\n".join(faults.table(results)))
    return bool(bad)


def started(stack: ExitStack, server: Any) -> Any:
    """What a server's block gives, or None where it is not installed."""
    try:
        return stack.enter_context(server())
    except servers.NotInstalledError as missing:
        sys.stderr.write(f"{missing}: its programs are left out\n")
        return None


if __name__ == "__main__":
    sys.exit(main())
