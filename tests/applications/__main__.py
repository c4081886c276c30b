"""`python -m tests.applications [NAME…] [--quiet-seconds 600]`: run applications, and print what whoholds said.

Ends with 1 where whoholds said anything else than the catalogue's row allows.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests import servers
from tests.applications.catalogue import APPLICATIONS
from tests.applications.environments import environment, versions
from tests.applications.running import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.applications.catalogue import Application
    from tests.applications.running import Outcome, Said

HEAD = ("application", "versions", "while it ran", "at its end", "as expected")


def outcome(application: Application, folder: Path, quiet_s: float) -> Outcome:
    """Run one application in the folder, with a server of its own where it needs one."""
    with ExitStack() as stack:
        place = Place(folder, environment(application.requirements), quiet_s)
        if application.postgres:
            dsn = stack.enter_context(servers.postgres())
            place.settings[application.postgres] = dsn
        stack.callback(place.kill)
        return application.use(place)


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for, print the table, and give the exit code."""
    names = {application.name: application for application in APPLICATIONS}
    parser = argparse.ArgumentParser(prog="python -m tests.applications", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all, if none is given")
    parser.add_argument("--quiet-seconds", type=float, default=600.0, help="how long each is left alone (600)")
    parser.add_argument("--keep", type=Path, help="a folder for outputs and journals; a temporary one if not given")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"unknown application {', '.join(unknown)}; there are {', '.join(names)}")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    rows = [HEAD]
    clean = True
    with tempfile.TemporaryDirectory(prefix="applications-") as temporary:
        for name in options.names or names:
            application = names[name]
            folder = (options.keep or Path(temporary)).resolve() / name
            folder.mkdir(parents=True)
            came = outcome(application, folder, options.quiet_seconds)
            expected = application.allows(came)
            clean = clean and expected
            pinned = versions(application.requirements)
            shown = ", ".join(f"{package} {pinned[package]}" for package in application.packages)
            rows.append((name, shown, _counted(came.running), _counted(came.ending), "yes" if expected else "NO"))
            print(" | ".join(rows[-1]), flush=True)
            if not expected:
                print(came.output, flush=True)
    print("\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return not clean


def _counted(said: Iterable[Said]) -> str:
    return "; ".join(f"{telling} (×{count})" for telling, count in Counter(said).items()) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
