"""`whoholds doctor`: whether whoholds is active here, why not, what it watches, where it reports, and its limits."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds import registry
from whoholds.analysis.frames import shown_path
from whoholds.assembling import is_installed
from whoholds.drivers.versions import FOUNDATIONS, LIBRARIES, Versions, numbers
from whoholds.remote.polling import polling, settle
from whoholds.remote.processes import can_be_listed
from whoholds.reporting.held import cost_text
from whoholds.reporting.words import number_of
from whoholds.settings.config import sources
from whoholds.settings.matching import WrongSetting
from whoholds.startup import environment, limits_for
from whoholds.switch import OFF, unsupported
from whoholds.text.streams import AUTO, forget, has_color, in_color
from whoholds.version import VERSION

if TYPE_CHECKING:
    from whoholds.settings.limits import Limits

PATIENCE_S = 2.0  # until a watched process is left out
_IN_WORDS = {("WHOHOLDS_SERVER_LIMIT", "0"): "unknown"}


def doctor(color: str = AUTO) -> int:
    """Print the diagnosis. Returns 0 if whoholds is active here, and 1 if it is not."""
    reasons, limits = _reasons()
    try:
        _print(reasons, limits, color)
    except BrokenPipeError:  # the reader has read enough
        forget(sys.stdout)
    return 1 if reasons else 0


def _print(reasons: list[str], limits: Limits | None, color: str) -> None:
    colored = has_color(sys.stdout, color)

    def say(text: str) -> None:
        sys.stdout.write(in_color(text) if colored else text)

    say(f"whoholds {VERSION}, Python {sys.version.split()[0]} at {sys.executable}\n")
    say(f"with {' and '.join(f'{name} {_installed(name, known)}' for name, known in FOUNDATIONS.items())}\n")
    say("active here: yes\n" if not reasons else "active here: no\n")
    for reason in reasons:
        say(f"  because {reason}\n")
    say("libraries it watches, and the versions installed here:\n")
    for name, installed in _libraries():
        say(f"  {name:<24} {installed}\n")
    for what, group in (("drivers", registry.DRIVERS), ("outputs", registry.OUTPUTS), ("rules", registry.RULES)):
        if registry.names(group):
            say(f"{what} of other packages: {', '.join(registry.names(group))}\n")
    if limits is not None:
        say(f"outputs: {', '.join(limits.outputs)}\n")
        say("settings, and where those that are set come from:\n")
        come_from = sources(environment())
        for variable, text in limits.as_text().items():
            shown = shown_path(text) if variable == "WHOHOLDS_CONFIG" and text else text
            shown = "unset" if variable == "WHOHOLDS" and variable not in come_from else shown
            remarks = "; ".join(_remarks(variable, limits, come_from))
            say(f"  {variable:<30} {_IN_WORDS.get((variable, text)) or shown or '-'}{remarks and f'   ({remarks})'}\n")
    for line in _watched_now():
        say(f"{line}\n")
    sys.stdout.flush()


def _watched_now() -> list[str]:
    """A head and a line for each watched process that answers this user: its cost, what was open before; or none."""
    if not can_be_listed():
        return []
    with polling(patience_s=PATIENCE_S) as poller:
        answers = settle(poller).descriptions
    lines = [
        f"  {pid:>7} {said['process']['program']}: {cost_text(said['cost'])}{_opened_before(said)}"
        for pid, said in answers.items()
    ]
    return ["processes of this machine that are watched now:", *lines] if lines else []


def _opened_before(said: dict[str, Any]) -> str:
    """How many of the connections that a process holds were adopted, as the end of its line; nothing without any."""
    groups = (group for database in said["databases"] for group in database["groups"])
    count = sum(group["count"] for group in groups if group.get("referrer"))
    return f"; {number_of(count, 'connection')} opened before whoholds came" if count else ""


def _remarks(variable: str, limits: Limits, come_from: dict[str, str]) -> list[str]:
    """Where the value of this setting comes from, if it is set, and what is wrong with it here."""
    remarks = [come_from[variable]] if variable in come_from else []
    if variable == "WHOHOLDS_WATCH":
        missing = [module for module in limits.watch if not is_installed(module)]
        remarks += [f"{', '.join(missing) if len(limits.watch) > 1 else ''} not installed here".strip()] * bool(missing)
    return remarks


def _reasons() -> tuple[list[str], Limits | None]:
    """The reasons why whoholds is not active here, none if it is, and the limits, None if they cannot be read."""
    reasons = [unsupported()] if unsupported() else []
    value = os.environ.get("WHOHOLDS", "")
    if value.strip().lower() in OFF:
        state = f"is {value!r}" if value else "is unset"
        reasons.append(f"WHOHOLDS {state}: set WHOHOLDS=1, or import whoholds.auto in the program")
    if not reads_pth():
        reasons.append(
            "whoholds.pth lies in no site-packages of this Python (a folder on PYTHONPATH is not read for it): "
            "install whoholds with pip, or import whoholds.auto in the program"
        )
    if sys.flags.no_site:
        reasons.append("Python runs with -S and reads no .pth file")
    try:
        limits = limits_for()
    except WrongSetting as wrong:
        return [*reasons, str(wrong)], None
    return reasons, limits


def reads_pth() -> bool:
    """Whether this Python reads the `.pth` line, so that a program starts whoholds by itself."""
    return any((Path(folder) / "whoholds.pth").exists() for folder in sys.path if folder.endswith("-packages"))


def _libraries() -> list[tuple[str, str]]:
    """Each library that has a driver, and which version is installed, by name."""
    installed = [(name, _installed(name, known)) for name, known in LIBRARIES.items()]
    return sorted([*installed, ("sqlite3", "with Python")], key=lambda library: library[0].lower())


def _installed(name: str, known: Versions) -> str:
    """The version of a library that is installed, and what there is to say of it."""
    for distribution in known.packages or (name,):
        try:
            return remarked(version(distribution), known)
        except PackageNotFoundError:
            continue
    return "not installed"


def remarked(installed: str, known: Versions) -> str:
    """The version, and whether it is one that the driver does not take, or one that is newer than tested."""
    if known.below and not numbers(known.oldest) <= numbers(installed) < numbers(known.below):
        return f"{installed}, not watched: its driver knows {known.oldest} to below {known.below}"
    if numbers(installed) > numbers(known.newest):
        return f"{installed}, newer than tested ({known.newest})"
    return installed
