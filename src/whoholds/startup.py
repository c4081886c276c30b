"""The only place that knows everything: environment → running Watch, and the calls of the public interface."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from whoholds import registry
from whoholds.analysis import frames
from whoholds.drivers import table
from whoholds.hooks import exits as leaving
from whoholds.hooks import forks, signals
from whoholds.hooks import imports as waiting
from whoholds.hooks import spawning as spawn
from whoholds.ledger.ledger import Ledger
from whoholds.limits import OUTPUTS, Limits
from whoholds.matching import WrongSetting
from whoholds.plugins import is_quiet_in_blocks
from whoholds.switch import OFF, is_on, stands_aside
from whoholds.text.streams import say
from whoholds.watching import ticker as ticking
from whoholds.watching.aside import failure
from whoholds.watching.running import current, watches
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from whoholds.analysis.finding import Finding
    from whoholds.plugins import Driver, Output, OutputMaker, Predicate
    from whoholds.watching.holders import Holders


_current: list[Watch] = []  # the one that was started for the process, or none
_asked: list[bool] = []  # [True] once a watch of the process was started, or could not be
_predicates: list[Predicate] = []
_signals: list[Callable[[], None]] = []  # each gives a signal's handler back


def from_environment() -> Watch | None:
    """Start as the environment says. A wrong setting is said on stderr, and the program runs on unwatched."""
    try:
        return start()
    except WrongSetting as wrong:
        say(f"whoholds: not watching: {wrong}")
        return None


def start(**settings: Any) -> Watch:
    """Watch this process until `stop` or its end; settings are the fields of `Limits` and win over the environment.

    Started already, it gives back the running Watch, with these settings applied; what only a start can change, as
    `outputs`, is said where it differs. Raises `WrongSetting` and TypeError.
    """
    if _current:
        if settings:
            _current[0].use(_current[0].limits.with_settings(**settings))
        return _current[0]
    _asked[:] = [True]
    limits = limits_for(**settings)
    if stands_aside():
        return Watch(limits)
    watch = _made(limits)
    _current.append(watch)
    ticking.attend(watch)
    _begin(watch)
    _listen_for_dump(limits)
    return watch


def limits_for(**settings: Any) -> Limits:
    """The environment's settings with these on top."""
    environ = dict(os.environ)
    if environ.get("WHOHOLDS", "").strip().lower() in OFF:
        environ.pop("WHOHOLDS", None)
    return Limits.from_environment(environ).with_settings(**settings)


def stop() -> list[Finding]:
    """A last look, then every name of every library is as it was. What is found is a Python warning here."""
    if not _current:
        return []
    watch = _current.pop()
    while _signals:
        _step(watch, _signals.pop())
    return _stopped(watch)


@contextmanager
def watch(**settings: Any) -> Iterator[Watch]:
    """Watch while the block lasts: `with whoholds.watch() as watch:`. What is found at its end is a Python warning.

    Where the process is watched already, it gives the running Watch, with these settings while the block lasts, and
    judges at its end what the block opened. Raises `WrongSetting` and TypeError.
    """
    if watches():
        with _within(watches()[-1], settings) as running:
            yield running
        return
    limits = limits_for(**settings)
    if stands_aside():
        yield Watch(limits)
        return
    running = _made(limits, in_block=True)
    ticking.attend(running)
    _begin(running)
    try:
        yield running
    finally:
        _stopped(running)


@contextmanager
def _within(running: Watch, settings: dict[str, Any]) -> Iterator[Watch]:
    from whoholds.scopes import scope

    before = running.limits
    if settings:
        running.use(before.with_settings(**settings))
    try:
        with scope("the watch"):
            yield running
    finally:
        if settings:
            running.use(before)


def _made(limits: Limits, *, in_block: bool = False) -> Watch:
    """A Watch with its outputs; `in_block` for one whose findings the end of a block raises as warnings."""
    ledger = Ledger(frames=limits.frames, most=limits.max_handles)
    running = Watch(limits, ledger=ledger)
    for name in limits.outputs:
        try:
            made = output(name, limits)
        except Exception as error:  # noqa: BLE001 - one output's fault must not keep the others from reporting
            running.stand_aside("output-failed", f"output {name} is switched off: {failure(error)}")
        else:
            if not (in_block and is_quiet_in_blocks(made)):
                running.outputs.append(made)
    if not in_block:
        running.fallback = partial(_stderr, limits)
        if running.failed and not running.outputs:
            running.outputs.append(_stderr(limits))
    for point in registry.registered(registry.RULES):
        try:
            running.add_rule(point.load())
        except Exception as error:  # noqa: BLE001 - a third party's fault must not keep the other rules from being found
            running.stand_aside("detector-failed", f"the rule {point.name} is not looked for: {failure(error)}")
    running.predicates = _predicates
    from whoholds.reporting import note as refusal

    if limits.ask_server:
        from whoholds.watching.server_limit import asking

        ledger.ask = asking(ledger.server_limits)
    if limits.notes:
        ledger.on_refused = refusal.note
    return running


def _begin(running: Watch) -> None:
    frames.shown_below_here()
    spawn.watch()
    running.start()
    for module, where in table.DRIVERS.items():
        _enter_when_imported(running, module, partial(_named, where))
    for driver in _added:
        running.enter(driver)
    for point in registry.registered(registry.DRIVERS):
        _enter_when_imported(running, point.name, point.load)


def _named(where: str) -> Any:
    """What a table's `module:name` names."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


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


def _stopped(running: Watch) -> list[Finding]:
    """What the last look says, once everything is given back; a step that fails is said and leaves out no other."""
    said: list[Finding] = []
    _step(running, lambda: ticking.leave(running))
    for enter in running.waits:
        _step(running, partial(waiting.forget, enter))
    _step(running, lambda: said.extend(running.stop()))
    if not _current and not watches():
        for give_back in (spawn.forget, leaving.forget, forks.forget, signals.leave_sigterm):
            _step(running, give_back)
        frames.shown_below(None)
    warn_caller(said)
    return said


def _step(running: Watch, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - our fault must not become the program's
        running.stand_aside("driver-not-undone", f"a name may not be given back: {failure(error)}")


def warn_caller(findings: Iterable[Finding]) -> None:
    """Python warnings, in the calling thread, of what the end of a watch or scope brought."""
    from whoholds.outputs import warn

    warn.warn_caller(findings)


def output(name: str, limits: Limits) -> Output:
    """The output of that name, made from the settings. Raises whatever keeps it from being there."""
    maker: OutputMaker
    if name in OUTPUTS:
        maker = _named(OUTPUTS[name])
    else:
        (point,) = (point for point in registry.registered(registry.OUTPUTS) if point.name == name)
        maker = point.load()
    return maker(limits)


def _stderr(limits: Limits) -> Output:
    """What reports where every other output has failed."""
    from whoholds.outputs.log import LogOutput

    return LogOutput(limits, logging=False)


_added: list[Driver] = []


def add_driver(driver: Driver) -> None:
    """One more driver, for the Watch that runs and for those that start later.

    Where the environment asks for a Watch and no library that it waits for has been imported yet, it starts now.
    """
    running = watches()
    _added.append(driver)
    for watch in running:
        watch.enter(driver)
    if not (running or _asked) and is_on(os.environ.get("WHOHOLDS", "")):
        from_environment()


def watch_module(module: ModuleType, system: str = "") -> None:
    """Watch a DB-API 2.0 `module`, asynchronous or not, from now on: in the Watch that runs or the next that starts.

    With `WHOHOLDS` set the Watch runs from here on at the latest.

    `system` is OpenTelemetry's `db.system.name` (`microsoft.sql_server`, `oracle.db`, …); without it the module's
    name stands. Raises TypeError where the module has no `connect`, ValueError where it has a driver: watched twice,
    each of its connections would be two.
    """
    from whoholds.drivers import generic

    library = _watched_already(module.__name__)
    if library:
        raise ValueError(f"watch_module({module.__name__}): {library} is watched already by whoholds' own driver")
    add_driver(generic.driver_for(module, system))


def _watched_already(module: str) -> str:
    """The library that the module is a part of, where whoholds has a driver for it; "" where it has none."""
    top = module.partition(".")[0]
    return next((name for name in table.DRIVERS if name == module or name.partition(".")[0] == top), "")


# --- asked at any moment ----------------------------------------------------------------------------------------


def holders() -> Holders:
    """Who holds what now, in this process."""
    from whoholds.watching.holders import holders_of

    return holders_of(current())


def ignore(predicate: Predicate) -> Predicate:
    """Findings for which `predicate(finding)` is true are meant: they are not said. Usable as a decorator."""
    _predicates.append(predicate)
    return predicate


def _listen_for_dump(limits: Limits) -> None:
    if limits.dump_signal:
        from whoholds.watching.holders import dump_on_signal

        _signals.append(dump_on_signal(limits.dump_signal, holders))
