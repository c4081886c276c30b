"""`whoholds run`: runs a program in its own process, watched from its first line; exit code, output and signals stay.

The program's journals are read when it has ended. No code of the program may run in this process.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.analysis.finding import ERROR, INFO
from whoholds.commands.destinations import in_settings_file, private_folder, refuse_wrong_files
from whoholds.commands.doctor import reads_pth
from whoholds.commands.pictures import asked, draw
from whoholds.commands.program import command_of, die_of, exit_code_of, script_of, signal_name
from whoholds.picture.gathering import Gathered
from whoholds.reporting.ci import github_lines
from whoholds.reporting.files import at_home, expanded
from whoholds.reporting.journal import path_of
from whoholds.reporting.losses import RUN, anybody_watched, lost_in
from whoholds.reporting.reading import Journal
from whoholds.reporting.summary import Contents, lines_of
from whoholds.settings.matching import WrongSetting
from whoholds.startup import limits_for
from whoholds.switch import OFF, ON, stands_aside
from whoholds.text.streams import COLOR_OF_RUN, NEVER, say
from whoholds.text.visible import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from whoholds.testing.baseline import Known

FAILED = 3  # the exit code where a finding is an error


def run(options: argparse.Namespace, wrong: Callable[[str], Any]) -> int:
    """Run the target. Returns the program's own exit code, 128 + n if signal n ended it, or `FAILED`.

    `wrong` is called with a message if the command line is wrong.
    """
    if options.update_baseline and not options.baseline:
        wrong("--update-baseline needs --baseline FILE")
    if not (options.module or options.code or (options.target and script_of(options.target))):
        wrong(
            f"{options.target or repr('')}: no such script, and no Python console script of that name on the PATH; "
            f"for a module, write: whoholds run -m {options.target}"
        )
    if stands_aside():
        return _unwatched(options, wrong)
    known = _known(options, wrong)
    _settings_are_right(options, wrong)
    refuse_wrong_files(options, wrong)
    if not reads_pth():
        say(f"whoholds: not active in the program: {_NO_PTH}", color=options.color)
    outer, folder = private_folder(wrong)
    try:
        environ, journals = _environment(options, folder)
        code = _code_of_program(options, environ, wrong)
        told = Told.by(sorted(journals()), folder)
        code = _verdict(options, told, code, known)
        if asked(options):
            _draw(options, told)
    finally:
        shutil.rmtree(outer, ignore_errors=True)
    return code if code >= 0 else die_of(-code)


def _code_of_program(options: argparse.Namespace, environ: dict[str, str], wrong: Callable[[str], Any]) -> int:
    try:
        return exit_code_of(command_of(options), environ)
    except OSError as error:  # the Python of a console script is gone
        wrong(f"{options.target}: {command_of(options)[0]} cannot be started ({error.strerror or error})")
        raise


def _unwatched(options: argparse.Namespace, wrong: Callable[[str], Any]) -> int:
    """Runs the program on a Python that cannot be watched, and returns its own exit code.

    The program gets no WHOHOLDS, for this command has already said that nothing is watched.
    """
    environ = {name: value for name, value in os.environ.items() if name != "WHOHOLDS"}
    code = _code_of_program(options, environ, wrong)
    return code if code >= 0 else die_of(-code)


def _known(options: argparse.Namespace, wrong: Callable[[str], Any]) -> dict[str, Known]:
    """The baseline's findings, read before the program runs: a wrong file is a wrong command line."""
    if not options.baseline or options.update_baseline:
        return {}
    from whoholds.testing.baseline import WrongBaselineError, load

    try:
        return load(at_home(options.baseline))
    except WrongBaselineError as error:
        wrong(str(error))
        raise


def _settings_are_right(options: argparse.Namespace, wrong: Callable[[str], Any]) -> None:
    """Refuse settings with which the program would run unwatched: it would look clean, and pass `--fail`.

    Another Python may have other plug-ins, whose outputs and rules are right there.
    """
    if command_of(options)[0] == sys.executable:
        try:
            limits_for()
        except WrongSetting as error:
            wrong(str(error))


_NO_PTH = (
    "whoholds.pth is in no site-packages that this Python reads; install whoholds with pip, or import whoholds.auto"
)


def _environment(options: argparse.Namespace, folder: Path) -> tuple[dict[str, str], Callable[[], list[Path]]]:
    environ = dict(os.environ)
    if environ.get("WHOHOLDS", "").strip().lower() in OFF:
        environ["WHOHOLDS"] = "1"
    in_file = in_settings_file()
    path = options.journal or environ.get("WHOHOLDS_JOURNAL") or in_file.get("journal") or str(folder / "{pid}.jsonl")
    environ["WHOHOLDS_JOURNAL"] = str(expanded(path))
    if not environ.get("WHOHOLDS_SIGTERM", "").strip() and "sigterm" not in in_file:
        environ["WHOHOLDS_SIGTERM"] = "1"  # whoever stops this run stops the program by SIGTERM
    environ[RUN] = str(folder)  # this command prints the last line of a run, not the program
    environ[COLOR_OF_RUN] = options.color
    if options.verbose:
        environ["WHOHOLDS_VERBOSE"] = "1"
    if options.baseline and _learns() and environ.get("WHOHOLDS_LEARN", "1").strip().lower() in ON:
        baseline = at_home(options.baseline)
        if baseline.is_file():
            environ["WHOHOLDS_LEARN"] = str(baseline)  # what earlier runs were used to
    path = str(path_of(environ["WHOHOLDS_JOURNAL"].replace("{pid}", "\0")))
    pattern = glob.escape(path).replace("\0", "[0-9]*")
    before = {file: file.stat().st_size for file in map(Path, glob.glob(pattern))}  # noqa: PTH207 - its folder may be one too
    if options.journal and "\0" not in path:
        for file in before:
            file.unlink()  # one run, one journal
            Path(f"{file}.1").unlink(missing_ok=True)
        before = {}

    def journals() -> list[Path]:
        files = [Path(file) for file in glob.glob(pattern) if not os.path.islink(file)]  # noqa: PTH207, PTH114
        return [file for file in files if file.is_file() and file.stat().st_size != before.get(file, -1)]

    return environ, journals


class Told(NamedTuple):
    """What the processes of a run wrote: the journals that can be read, and sentences on records that are lost."""

    journals: list[Path]
    lost: list[str]

    @classmethod
    def by(cls, paths: list[Path], folder: Path) -> Told:
        """What stands in these journals, and in the run's own `folder`."""
        readable = [path for path in paths if os.access(path, os.R_OK)]
        unread = [f"{path} cannot be read" for path in paths if path not in readable]
        lost = lost_in(folder) + unread
        if not (lost or readable or anybody_watched(folder)):
            lost.append("whoholds was not active in the program")
        return cls(readable, lost)


def _verdict(options: argparse.Namespace, told: Told, code: int, known: dict[str, Known]) -> int:
    contents = Contents(map(Journal, told.journals), told.lost)
    failing: list[Any] = [record for record in contents.findings if record["severity"] == ERROR]
    if options.baseline:
        failing = _against_baseline(options, contents, known, told)
    lines = lines_of(contents)
    if code < 0 and not contents.count:
        lines = [f"whoholds: nothing is known: {signal_name(-code)} ended the program before the first look"]
    say("\n".join(lines), color=options.color)
    if options.github:
        for line in github_lines(contents.above_info):
            say(line, color=NEVER)
    failed = bool(failing) or bool(told.lost)
    return FAILED if code == 0 and failed and (options.fail or options.baseline) else code


def _draw(options: argparse.Namespace, told: Told) -> None:
    """Write the pictures of the run. If that fails, a message says so; the program's exit code stays."""
    try:
        contents = Gathered(map(Journal, told.journals), told.lost)
        for option, path in asked(options).items():
            say(draw(contents, option, path), color=options.color)
    except OSError as error:
        say(str(error), color=options.color)


def _against_baseline(
    options: argparse.Namespace, contents: Contents, known: dict[str, Known], told: Told
) -> list[Any]:
    """The findings that the baseline does not know; of a baseline to be written, what cannot be written."""
    from whoholds.testing.baseline import compare, write

    path = at_home(options.baseline)
    found = [record for record in contents.findings if record["severity"] != INFO]
    if options.update_baseline:
        why = "findings may be missing" if contents.lost else ""
        try:
            if not why:
                write(path, found, _habits(path, told.journals) if _learns() else None)
        except OSError as error:
            why = error.strerror or str(error)
        if why:
            say(visible(f"whoholds: --baseline {path}: not written ({why})"), color=options.color)
        return [why] if why else []
    compared = compare(known, found)
    lines = compared.lines()
    if found and not compared.failing:
        lines.append(f"all findings are in the baseline {path}")
    for line in lines:
        say(visible(f"whoholds: {line}"), color=options.color)
    return compared.failing


def _learns() -> bool:
    """Whether this run learns what lines are used to."""
    said = os.environ.get("WHOHOLDS_LEARN") or str(in_settings_file().get("learn", ""))
    return said.strip().lower() not in OFF


def _habits(path: Path, journals: list[Path]) -> list[dict[str, Any]]:
    """The habits of this run and of those that the baseline knew, as its entries."""
    from whoholds.reporting import habits

    try:
        kept = habits.read(path)
    except (OSError, ValueError):  # there is no baseline yet
        kept = {}
    for place, habit in habits.of_journals(map(Journal, journals)).items():
        kept[place] = kept[place].with_(habit) if place in kept else habit
    return habits.as_entries(kept)
