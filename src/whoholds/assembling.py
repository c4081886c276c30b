"""Assembles a Watch: its outputs, the rules of other packages, what the ledger does for it, and its drivers.

Only this module imports drivers and outputs, each when it is wanted. What goes wrong with one of them is said, and the
rest works on.
"""

from __future__ import annotations

import itertools
import os
import sys
from functools import partial
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from whoholds import registry
from whoholds.analysis import frames
from whoholds.analysis.habits import Habits
from whoholds.drivers import table
from whoholds.hooks import imports as waiting
from whoholds.hooks import lazily
from whoholds.hooks import spawning as spawn
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.plugins import is_quiet_in_blocks, name_of
from whoholds.settings.limits import OUTPUTS, Limits
from whoholds.settings.matching import nearest
from whoholds.watching.aside import failure
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from whoholds.plugins import Driver, Output, OutputMaker, Predicate


_stamps: itertools.count[int] = itertools.count(1)  # of all watches of the process: the keys of handles and pools


def assembled(limits: Limits, predicates: list[Predicate], *, in_block: bool = False) -> Watch:
    """A Watch with its outputs, not started; `in_block` is true for a block, whose end raises findings as warnings.

    It asks `predicates` whether a finding is intended, those also that are added later.
    """
    ledger = Ledger(stamp=_stamps, frames=limits.frames, most=limits.max_handles)
    running = Watch(limits, ledger=ledger)
    _add_outputs(running, in_block=in_block)
    for point in registry.registered(registry.RULES):
        try:
            running.add_rule(point.load())
        except Exception as error:  # noqa: BLE001 - a third party's fault must not keep the other rules from being found
            running.stand_aside("detector-failed", f"the rule {point.name} is not looked for: {failure(error)}")
    running.predicates = predicates
    _prepare(ledger, limits)
    if limits.ask_server:
        from whoholds.watching.others import Others

        running.others = Others()
    _remember_habits(running)
    return running


def _add_outputs(running: Watch, *, in_block: bool) -> None:
    limits = running.limits
    for name in limits.outputs:
        try:
            ready = output(name, limits)
        except Exception as error:  # noqa: BLE001 - one output's fault must not keep the others from reporting
            running.stand_aside("output-failed", f"output {name} is switched off: {failure(error)}")
        else:
            is_quiet = in_block and is_quiet_in_blocks(ready)
            (running.quiet if is_quiet else running.outputs).append(ready)
    if not in_block:
        running.fallback = partial(_stderr, limits)
        if running.failed and not running.outputs:
            running.outputs.append(_stderr(limits))


def speak_up(running: Watch) -> None:
    """From now on the Watch of a block says what it finds to the outputs, too, that a block does without."""
    for ready in running.quiet:
        if ready in running.outputs:
            continue
        running.outputs.append(ready)
        listen = getattr(ready, "begin", None)
        if listen is not None:
            try:
                listen(running.ledger)
            except Exception as error:  # noqa: BLE001 - one output's fault must not keep the others from reporting
                running.outputs.remove(ready)
                running.stand_aside("output-failed", f"output {name_of(ready)} is switched off: {failure(error)}")


def keep_quiet(running: Watch) -> None:
    """Take back what `speak_up` has done."""
    for ready in running.quiet:
        if ready in running.outputs:
            running.outputs.remove(ready)


def _remember_habits(running: Watch) -> None:
    """Read what was usual in earlier runs from the file that `WHOHOLDS_LEARN` names, if it names one."""
    file = running.limits.learn
    if file in ("", "1"):
        return
    from whoholds.reporting import habits
    from whoholds.reporting.files import expanded

    try:
        running.history.habits = Habits(habits.read(expanded(file)))
    except (OSError, ValueError) as error:
        running.stand_aside("habits-not-read", f"WHOHOLDS_LEARN={file}: {failure(error)}; it learns anew")


def _prepare(ledger: Ledger, limits: Limits) -> None:
    """Give the ledger what settings ask to be done in the user's thread, before a driver stands anywhere."""
    from whoholds.reporting import note

    if limits.tag:
        from whoholds.watching.tags import tag

        ledger.tag = tag
    if limits.ask_server:
        from whoholds.watching.server_limit import asking

        ledger.ask = asking(ledger.server_limits)
    if limits.notes:
        ledger.on_refused = note.of_refusal
        ledger.on_locked = note.of_lockout


def begin(running: Watch, added: Iterable[tuple[Driver, str]], added_outputs: Iterable[Output]) -> None:
    """Start the Watch with the outputs that were added in code, and enter its drivers.

    Those `added` in code, each with the name of its library, are entered now, the others when their modules are
    imported.
    """
    running.outputs += added_outputs
    frames.shown_below_here()
    spawn.watch()
    running.start()
    for module, where in table.DRIVERS.items():
        _enter_when_imported(running, module, partial(imported, where))
    for driver, library in list(added):
        running.enter(driver, library)
    in_file = running.limits.config and not os.environ.get("WHOHOLDS_WATCH", "").strip()
    for module in running.limits.watch:
        if not (in_file or is_installed(module)):  # a file may serve several programs, not all with every module
            near = nearest(module, table.WAKES) if module not in table.WAKES else ""
            running.stand_aside("setting-not-applied", f"WHOHOLDS_WATCH={module}: no such module is installed{near}")
        _enter_when_imported(running, module, partial(_by_its_connect, module))
    for point in registry.registered(registry.DRIVERS):
        _enter_when_imported(running, point.name, point.load)
    lazily.import_ours()


def adopt(ledger: Ledger) -> int:
    """Enter in the ledger what the program has open already, and return how much; nothing of it is imported before.

    A library whose driver does not know it is left out, with a note.
    """
    from whoholds.adopting.table import ADOPTABLE

    rows: list[Any] = []
    for module, where in ADOPTABLE.items():
        if module in sys.modules:
            try:
                rows.append(imported(where)())
            except Exception as error:  # noqa: BLE001 - a version of the library that the driver does not know
                faults.note(error, f"{module}.adoptable")
    if not rows:
        return 0
    from whoholds.adopting.adopt import adopt as search

    return search(ledger, rows)


def imported(where: str) -> Any:
    """The object that a table's `module:name` names; the module is imported."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def _by_its_connect(name: str) -> Driver:
    """The driver for a DB-API module that is imported. Raises TypeError if it has no `connect`."""
    return driver_for(sys.modules[name])


def driver_for(module: ModuleType, system: str = "") -> Driver:
    """The driver for a DB-API module. Raises TypeError if it has no `connect`."""
    from whoholds.drivers import generic

    return generic.driver_for(module, system)


def is_installed(module: str) -> bool:
    """Whether the top-level package of `module` is imported or on `sys.path`; only the path itself is searched."""
    top = module.partition(".")[0]
    return top in sys.modules or PathFinder.find_spec(top) is not None


def _enter_when_imported(running: Watch, name: str, load: Callable[[], Driver]) -> None:
    def enter(module: ModuleType) -> None:
        del module
        if running.ledger.active:
            try:
                driver = load()
            except Exception as error:  # noqa: BLE001 - a driver's fault must not become the program's import error
                running.stand_aside("driver-failed", f"{name} is not watched: {failure(error)}")
            else:
                running.enter(driver, name)

    running.waits.append(enter)
    waiting.when_imported(name, enter)


def output(name: str, limits: Limits) -> Output:
    """The output of that name, made from the settings. Raises whatever its import or its maker raises."""
    maker: OutputMaker
    if name in OUTPUTS:
        maker = imported(OUTPUTS[name])
    else:
        (point,) = (point for point in registry.registered(registry.OUTPUTS) if point.name == name)
        maker = point.load()
    return maker(limits)


def _stderr(limits: Limits) -> Output:
    """The output on stderr that is used where every other output has failed."""
    from whoholds.outputs.log import LogOutput

    return LogOutput(limits, logging=False)
