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
from tests.hostile import faults, interrupts
from tests.hostile.programs import World, at_hand, here
from tests.hostile.stretches import STRETCHES

HARNESSES = ("faults", "interrupts")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("harness", nargs="*", default=HARNESSES, help=f"which of {', '.join(HARNESSES)}; all of them")
    parser.add_argument("--program", action="append", default=[], help="only this one, as its table names it")
    parser.add_argument("--only", default="", help="faults: only functions whose file and name contain this")
    parser.add_argument("--spans", choices=("both", "yes", "no"), default="both", help="faults: with statements' spans")
    parser.add_argument("--at", type=int, default=-1, help="interrupts: at this instruction only")
    parser.add_argument("--every", type=int, default=1, help="only every so-manyeth trial")
    parser.add_argument("--verbose", action="store_true", help="how each that failed did")
    options = parser.parse_args()
    results: list[Any] = []
    lines: list[str] = []
    with ExitStack() as stack:
        world = World(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        world.postgres = started(stack, servers.postgres) or ""
        world.mariadb = dict(started(stack, servers.mariadb) or {})
        for harness in options.harness:
            found = _faults(world, options) if harness == "faults" else _interrupts(world, options)
            results += found
            lines += (faults if harness == "faults" else interrupts).table(found)
    failed = [one for one in results if one.verdict]
    for one in failed:
        print(_line(one))
        if options.verbose:
            print("    " + one.detail.replace("\n", "\n    "))
    print("\n".join(lines))
    return bool(failed)


def _line(one: Any) -> str:
    if isinstance(one, faults.Trial):
        return f"{one.verdict:<8} {one.program:<20} {'spans ' if one.spans else ''}{one.function}"
    return f"{one.verdict:<8} {one.stretch:<20} {one.number:>5} {one.at}"


def _faults(world: World, options: argparse.Namespace) -> list[faults.Trial]:
    found: list[faults.Trial] = []
    for name in options.program or at_hand(world):
        for spans in (False, True):
            if options.spans in ("both", "yes" if spans else "no"):
                found += faults.trials(name, world, spans=spans, every=options.every, only=options.only)
                sys.stderr.write(f"{faults.table(found)[-1]} {name}\n")
    return found


def _interrupts(world: World, options: argparse.Namespace) -> list[interrupts.Trial]:
    found: list[interrupts.Trial] = []
    for name, stretch in STRETCHES.items():
        if name in (options.program or STRETCHES) and all(here(need, world) for need in stretch.needs):
            found += interrupts.trials(name, world, every=options.every, at=options.at)
            sys.stderr.write(f"{interrupts.table(found)[-1]} {name}\n")
    return found


def started(stack: ExitStack, server: Any) -> Any:
    """What a server's block gives, or None where it is not installed."""
    try:
        return stack.enter_context(server())
    except servers.NotInstalledError as missing:
        sys.stderr.write(f"{missing}: its programs are left out\n")
        return None


if __name__ == "__main__":
    sys.exit(main())
