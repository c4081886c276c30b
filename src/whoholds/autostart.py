"""What the `.pth` line imports when WHOHOLDS is set: it waits for the first library that concerns us.

Until then it has imported neither typing nor threading nor asyncio, let alone wrapt or OpenTelemetry.
"""

import os

from whoholds.hooks import imports
from whoholds.switch import is_on


def _start(module: object) -> None:  # noqa: ARG001 - which library it was makes no difference
    imports.forget(_start)
    from whoholds import startup

    startup.from_environment()


def begin() -> None:
    """Wait, if the environment asks for it; twice is once (in a virtual environment a .pth can run twice)."""
    if is_on(os.environ.get("WHOHOLDS", "")):
        from whoholds.drivers.table import DRIVERS, WAKES
        from whoholds.hooks import exits, spawning

        # at once, so that a thread started before the first database library is imported has its spawn line
        spawning.watch()
        # first of all, hence last: what the program's own handlers close at its end is closed when we look
        exits.watch()
        for name in (*DRIVERS, *WAKES):
            imports.when_imported(name, _start)


begin()
