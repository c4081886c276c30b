"""The public calls: they start a Watch from the environment, stop it, and add to the one that runs.

The file is long because it is the one list of these calls, each with what a reader of its documentation must know.
"""

from __future__ import annotations

import os
import threading  # noqa: F401 - so that the main thread has its Thread before it opens anything: see `here`
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from whoholds import registry
from whoholds.analysis import frames
from whoholds.assembling import adopt, assembled, begin, driver_for, keep_quiet, speak_up
from whoholds.drivers import table
from whoholds.hooks import exits as leaving
from whoholds.hooks import forks, signals
from whoholds.hooks import imports as waiting
from whoholds.hooks import spawning as spawn
from whoholds.ledger import here
from whoholds.ledger.scope import WATCH
from whoholds.ledger.scope import current as current_scope
from whoholds.reporting.losses import LOST, mark
from whoholds.scopes import Block, left_in
from whoholds.settings.config import limits_from
from whoholds.settings.matching import WrongSetting
from whoholds.switch import OFF, is_on, stands_aside
from whoholds.text.streams import say
from whoholds.watching import attending
from whoholds.watching.aside import failure
from whoholds.watching.running import current, watches
from whoholds.watching.users import Use, turn, users
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from typing_extensions import Unpack

    from whoholds.analysis.finding import Finding
    from whoholds.plugins import Driver, Output, Predicate
    from whoholds.settings.keywords import Settings
    from whoholds.settings.limits import Limits
    from whoholds.watching.holders import Holders


_process: list[Use] = []  # the use of `start`, until `stop`
_asked: list[bool] = []  # [True] once a watch for the process was started, failed to start, or was stopped
_predicates: list[Predicate] = []


def from_environment(*, with_first_library: bool = False) -> Watch | None:
    """Start the watch that the environment asks for; None, and a message on stderr, if a setting is wrong.

    The program then runs on unwatched. With the first library, no connection can be open that must be looked for.
    """
    try:
        return _begun({}, adopts=not with_first_library)
    except WrongSetting as wrong:
        say(f"whoholds: not watching: {wrong}")
        mark(LOST)
        return None


def start(**settings: Unpack[Settings]) -> Watch:
    """Watch this process until `stop` or its end; settings are the fields of `Limits` and win over the environment.

    If the process is watched already, this returns the running Watch, with these settings applied; where a setting
    differs that takes effect only at a start, such as `outputs`, a message says so. Raises `WrongSetting` and
    TypeError.
    """
    return _begun(settings, adopts=True)


def _begun(settings: Settings, *, adopts: bool) -> Watch:
    _asked[:] = [True]
    with turn():
        for use in _process:
            if use.watch is not None and use.watch.ledger.active and use in users(use.watch):
                _apply(use, use.watch, settings)
                return use.watch
        _process.clear()  # its watch has ended with the process, after whose end somebody starts another
        use = Use()
        return _join(use, settings, adopts=adopts, enlist=_process)


def _join(
    use: Use, settings: Settings, *, adopts: bool = False, in_block: bool = False, enlist: list[Use] | None = None
) -> Watch:
    """The Watch that `use` uses from now on: the running one, with these settings, or one that begins.

    In its turn. The use is noted in `enlist` before anything begins that a signal's handler could interrupt. Raises
    `WrongSetting` and TypeError.
    """
    for ended in [watch for watch in watches() if not watch.ledger.active]:  # its end was interrupted
        attending.leave(ended)
    running = current()
    is_new = running is None
    if running is None:
        limits = limits_for(**settings)
        if stands_aside():
            return Watch(limits)
        running = assembled(limits, _predicates, in_block=in_block)
        use.begin(running)
        if settings:
            use.has_set(_without_settings(limits), limits, settings)
    else:
        limits = running.limits.with_settings(**settings)  # a wrong one raises before the watch is used
        use.begin(running)
        _apply(use, running, settings)
    if enlist is not None:
        enlist.append(use)
    if is_new:
        attending.attend(running)
        begin(running, _added.values(), _added_outputs)
        if adopts:
            adopt(running.ledger)
    elif not in_block:
        use.undo.append(partial(keep_quiet, running))
        speak_up(running)
    if not in_block:
        _listen_for_dump(use, running.limits)
    return running


def _apply(use: Use, running: Watch, settings: Settings) -> None:
    if settings:
        before = running.limits
        running.use(before.with_settings(**settings))
        use.has_set(before, running.limits, settings)


def _without_settings(limits: Limits) -> Limits:
    """The settings of the environment, with those of `limits` that only a start can change."""
    try:
        return limits_from(environment()).fixed_by(limits)
    except WrongSetting:  # of the environment, and given in code
        return limits


def begin_by_itself() -> None:
    """Start the watch that the environment asks for, because the first library has come.

    After a start in code the program decides, also if it has stopped its watch since then.
    """
    if not _asked:
        from_environment(with_first_library=True)


def limits_for(**settings: Unpack[Settings]) -> Limits:
    """The settings of the environment and of the settings file, over which `settings` win.

    Raises `WrongSetting` and TypeError.
    """
    limits = limits_from(environment(), **settings)
    if limits.journal:
        _refuse_other(limits.journal)
    for name in limits.watch:
        library = _watched_already(name)
        if library:
            why = f"{library} is watched already, by a driver of its own; leave it out"
            raise WrongSetting("WHOHOLDS_WATCH", name, "", why=why)
    return limits


def _refuse_other(journal: str) -> None:
    """Raise `WrongSetting` if there is a file at the journal's path, or where it is rotated to, that is no journal."""
    from whoholds.reporting.files import expanded, refuse_other
    from whoholds.reporting.journal import path_of
    from whoholds.reporting.reading import JOURNAL

    try:
        for path in (journal, f"{journal}.1"):
            refuse_other(path_of(expanded(path)), JOURNAL)
    except OSError as error:
        takes = f"the path of a journal or of a new file ({error})"
        raise WrongSetting("WHOHOLDS_JOURNAL", journal, takes) from None


def environment() -> dict[str, str]:
    """A copy of the environment, without a `WHOHOLDS` that switches whoholds off: a start in code is asked for."""
    environ = dict(os.environ)
    if environ.get("WHOHOLDS", "").strip().lower() in OFF:
        environ.pop("WHOHOLDS", None)
    return environ


def stop() -> list[Finding]:
    """Take a last look, give every name of every library back, and return the findings.

    Each finding is a Python warning, too. If a `with whoholds.watch()` block goes on, the Watch goes on until its end.
    After a stop, nothing starts by itself, also with `WHOHOLDS` set.
    """
    said = take_out()
    warn_caller(said)
    return said


def take_out() -> list[Finding]:
    """The same as `stop`, without the Python warnings: for a caller that is not the program."""
    _asked[:] = [True]
    said: list[Finding] = []
    for use in _process.copy():
        said += let_go(use)
    return said


@contextmanager
def watch(**settings: Unpack[Settings]) -> Iterator[Watch]:
    """Watch while the block lasts: `with whoholds.watch() as watch:`. Findings at its end are Python warnings.

    If the process is watched already, the block gets the running Watch, with these settings while it lasts, and at its
    end what it opened is judged. The Watch lives until the last block that uses it ends, and until `stop` if the
    program has called `start`. Raises `WrongSetting` and TypeError.
    """
    block = Block("the watch", WATCH, current_scope(here.current_owner()))
    use = Use(block)
    try:
        with turn():
            running = _join(use, settings, in_block=True)
        block.enter()
        yield running
    finally:
        block.leave()
        warn_caller(let_go(use))


def hold(**settings: Unpack[Settings]) -> tuple[Use, Watch]:
    """Use the running Watch, or one that begins, until `let_go`: as `start` does, but the program's `stop` leaves it.

    Raises `WrongSetting` and TypeError.
    """
    use = Use()
    with turn():
        return use, _join(use, settings, adopts=True)


def let_go(use: Use) -> list[Finding]:
    """End one use of the Watch, and with the last one the Watch. Returns the findings of the last look.

    Where others go on using it, a block is judged for what it has opened. A second call returns an empty list.
    """
    running = use.watch
    if running is None or use not in users(running):
        return []
    said: list[Finding] = []
    if users(running) != [use]:
        _step(running, lambda: said.extend(running.tick() if use.scope is None else left_in(use.scope, running)))
    with turn():
        try:
            while use.undo:
                _step(running, use.undo.pop())
            if users(running) == [use]:
                said += _stopped(running)
            else:
                _step(running, use.give_settings_back)
        finally:
            use.end()
            if use in _process:
                _process.remove(use)
    return said


def _stopped(running: Watch) -> list[Finding]:
    """The findings of the last look, after every name was given back. If a step fails, a message says so.

    The other steps are taken all the same.
    """
    said: list[Finding] = []
    for enter in running.waits:
        _step(running, partial(waiting.forget, enter))
    _step(running, lambda: attending.rest(running))
    _step(running, lambda: said.extend(running.stop()))
    _step(running, lambda: attending.leave(running))  # last: whoever comes earlier finds it, and makes no second one
    if not watches():
        for give_back in (spawn.forget, leaving.forget, forks.forget, signals.leave):
            _step(running, give_back)
        frames.shown_below(None)
    return said


def _step(running: Watch, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - our fault must not become the program's
        running.stand_aside("driver-not-undone", f"a name may not be given back: {failure(error)}")


def warn_caller(findings: Iterable[Finding]) -> None:
    """Raise the findings at the end of a watch or scope as Python warnings, in the calling thread."""
    from whoholds.outputs import warn

    warn.warn_caller(findings)


_added: dict[object, tuple[Driver, str]] = {}  # by the library's name or the id of what was given; setdefault is atomic
_added_outputs: list[Output] = []


def add_driver(driver: Driver, library: str = "") -> None:
    """Add a driver to the Watch that runs and to those that start later.

    `library` is the module that the driver watches. Of several drivers for one library the first counts, and a driver
    that was added already is not added again.

    If the environment asks for a Watch that has not started yet, for no library that it waits for has been imported,
    it starts now.
    """
    _add(library or id(driver), driver, library)


def _add(key: object, driver: Driver, library: str) -> None:
    running = watches()
    entry = (driver, library)
    if _added.setdefault(key, entry) is entry:
        for watch in running:
            watch.enter(driver, library)
    _start_if_asked()


def add_output(output: Output) -> None:
    """Add an output to the Watch that runs and to those that start later, as `add_driver` adds a driver."""
    _added_outputs.append(output)
    for watch in watches():
        watch.outputs.append(output)
    _start_if_asked()


def remove_output(output: Output) -> None:
    """Take back what `add_output` has added."""
    for outputs in (_added_outputs, *(watch.outputs for watch in watches())):
        if output in outputs:
            outputs.remove(output)


def _start_if_asked() -> None:
    if not (watches() or _asked) and is_on(os.environ.get("WHOHOLDS", "")):
        from_environment()


def watch_module(module: ModuleType, system: str = "") -> None:
    """Watch a DB-API 2.0 `module`, asynchronous or not, in the Watch that runs or in the next that starts.

    With `WHOHOLDS` set the Watch starts now at the latest.

    `system` is OpenTelemetry's `db.system.name` (`microsoft.sql_server`, `oracle.db`, …), by default the module's
    name. Raises TypeError if it is no module or has no `connect`, and ValueError if it has a driver, for each of its
    connections would count twice. A module that was given before, that `WHOHOLDS_WATCH` names, or that an added driver
    watches, is watched already, and nothing is done.
    """
    name = getattr(module, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"watch_module takes a module, got {module!r}; import it first, or name it in WHOHOLDS_WATCH")
    library = _watched_already(name)
    if library:
        raise ValueError(f"watch_module({name}): {library} is watched already by whoholds' own driver")
    if name not in _added and not any(name in running.limits.watch for running in watches()):
        _add(id(module), driver_for(module, system), name)


def _watched_already(module: str) -> str:
    """The module that has a driver and shares `module`'s top-level package; "" if there is none."""
    top = module.partition(".")[0]
    known = (*table.DRIVERS, *registry.names(registry.DRIVERS))
    return next((name for name in known if name == module or name.partition(".")[0] == top), "")


# --- calls for any moment ---------------------------------------------------------------------------------------


def holders() -> Holders:
    """Who holds which connections now, in this process."""
    from whoholds.watching.holders import holders_of

    return holders_of(current())


def ignore(predicate: Predicate) -> Predicate:
    """Mark findings for which `predicate(finding)` is true as intended, so that they are not reported.

    Returns `predicate`, and so can be used as a decorator. Raises TypeError if it cannot be called.
    """
    if not callable(predicate):
        takes = "a function that takes a finding; WHOHOLDS_IGNORE takes rules as text"
        raise TypeError(f"whoholds.ignore takes {takes}, got {predicate!r}")
    _predicates.append(predicate)
    return predicate


def _listen_for_dump(use: Use, limits: Limits) -> None:
    if limits.dump_signal:
        from whoholds.watching.holders import dump_on_signal

        use.undo.append(dump_on_signal(limits.dump_signal, holders))
