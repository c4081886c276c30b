"""The module that the `.pth` line imports when WHOHOLDS is set: it waits for the first library that has a driver.

Until then it must import neither typing nor threading nor asyncio, let alone wrapt or OpenTelemetry.
"""

import os
import sys

from whoholds.hooks import imports
from whoholds.switch import is_on, stands_aside

_started: list[bool] = []  # [True] once a library has come: one that is waited for twice starts the watch once


def _start(module: object) -> None:  # noqa: ARG001 - which library it was makes no difference
    if _started:
        return
    _started.append(True)
    imports.forget(_start)
    imports.before_first_foreign(None)
    from whoholds import startup

    startup.begin_by_itself()


def _watch_spawning(module: object) -> None:  # noqa: ARG001 - threading, which everything imports that starts owners
    imports.forget(_watch_spawning)
    from whoholds.hooks import spawning

    spawning.watch()


def begin() -> None:
    """Wait for the libraries, if the environment asks for a watch. A second call changes nothing.

    In a virtual environment a .pth line can run twice.
    """
    if is_on(os.environ.get("WHOHOLDS", "")) and not stands_aside():
        if os.environ.get("_WHOHOLDS_RUN"):
            from whoholds.reporting.losses import WATCHED, mark

            mark(WATCHED)
        from whoholds.drivers.table import DRIVERS, WAKES
        from whoholds.hooks import exits

        # not with the first database library: a thread that was started before it has its spawn line, too
        imports.when_imported("threading", _watch_spawning)
        # registered first, hence called last: the program's own exit handlers have closed connections before we look
        exits.watch()
        named = os.environ.get("WHOHOLDS_WATCH", "").replace(" ", "").split(",")
        for name in (*DRIVERS, *WAKES, *filter(None, named)):
            imports.when_imported(name, _start)
        imports.before_first_foreign(_wait_for_others)


def _wait_for_others() -> None:
    """Wait also for the libraries whose drivers other distributions bring, and for those that the settings file names.

    Called in the thread that imports, before the first import of a module that does not come with Python.
    """
    from whoholds import registry
    from whoholds.settings.toml_files import names_to_watch

    for name in {*registry.modules_to_wait_for(), *names_to_watch()}:
        if name not in sys.modules:  # a start within this import would import what is being imported
            imports.when_imported(name, _start)


begin()
