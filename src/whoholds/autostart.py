"""The module that the `.pth` line imports when WHOHOLDS is set: it waits for the first library that has a driver.

Until then it must import neither typing nor threading nor asyncio, let alone wrapt or OpenTelemetry.
"""

import os
import sys

from whoholds.hooks import imports
from whoholds.switch import is_on, stands_aside

GROUP = "[whoholds.drivers]"  # in a distribution's entry_points.txt; its lines are: module to wait for = driver


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
    from whoholds.settings.toml_files import names_to_watch

    for name in {*_third_parties(), *names_to_watch()}:
        if name not in sys.modules:  # a start within this import would import what is being imported
            imports.when_imported(name, _start)


def _third_parties() -> list[str]:
    """The modules that the entry points of installed drivers name.

    The entry points are read from files: importlib.metadata gives the same, but importing it takes 20 ms.
    """
    names = []
    for folder in sys.path:
        try:
            found = [one.path for one in os.scandir(folder or ".") if one.name.endswith((".dist-info", ".egg-info"))]
        except OSError:  # an archive, or a folder that does not exist
            continue
        for path in found:
            try:
                with open(f"{path}/entry_points.txt", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not imported
                    _, _, section = file.read().partition(GROUP)
            except (OSError, ValueError):
                continue
            lines = section.partition("\n[")[0].splitlines()
            names += [line.partition("=")[0].strip() for line in lines if "=" in line]
    return names


begin()
