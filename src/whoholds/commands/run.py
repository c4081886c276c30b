"""`whoholds run`: runs a program in its own process, watched from its first line; exit code, output and signals stay.

The program's journals are read when it has ended. No code of the program may run in this process.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import ERROR, INFO
from whoholds.commands.doctor import reads_pth
from whoholds.commands.pictures import asked, draw
from whoholds.commands.program import command_of, die_of, exit_code_of, script_of, signal_name
from whoholds.picture.gathering import Gathered
from whoholds.reporting.ci import github_lines
from whoholds.reporting.files import at_home, expanded, try_to_write
from whoholds.reporting.reading import Journal
from whoholds.reporting.summary import Contents, lines_of
from whoholds.settings.config import settings_file
from whoholds.settings.matching import WrongSetting
from whoholds.startup import limits_for
from whoholds.switch import OFF, ON, stands_aside
from whoholds.text.streams import COLOR_OF_RUN, print_on

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from whoholds.testing.baseline import Known

FAILED = 3  # the exit code where a finding is an error


def run(options: argparse.Namespace, wrong: Callable[[str], Any]) -> int:
    """Run the target. Returns the program's own exit code, 128 + n if signal n ended it, or `FAILED`.

    `wrong` is called with a message if the command line is wrong.
    """
    if options.update_baseline and not options.baseline:
        wrong("--update-baseline needs --baseline FILE")
    if not (options.module or options.code or script_of(options.target)):
        wrong(
            f"{options.target}: no such script, and no Python console script of that name on the PATH; "
            f"for a module, write: whoholds run -m {options.target}"
        )
    if stands_aside():
        return _unwatched(options)
    known = _known(options, wrong)
    _settings_are_right(options, wrong)
    _files_can_be_written(options, wrong)
    if not reads_pth():
        sys.stderr.write(f"whoholds: not active in the program: {_NO_PTH}\n")
    folder = Path(tempfile.mkdtemp(prefix="whoholds-"))
    try:
        environ, journals = _environment(options, folder)
        code = exit_code_of(command_of(options), environ)
        paths = sorted(journals())
        contents = Contents([Journal(path) for path in paths])
        code = _verdict(options, contents, code, known, paths)
        if asked(options):
            _draw(options, paths)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else die_of(-code)


def _unwatched(options: argparse.Namespace) -> int:
    """Runs the program on a Python that cannot be watched, and returns its own exit code.

    The program gets no WHOHOLDS, for this command has already said that nothing is watched.
    """
    environ = {name: value for name, value in os.environ.items() if name != "WHOHOLDS"}
    code = exit_code_of(command_of(options), environ)
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


def _files_can_be_written(options: argparse.Namespace, wrong: Callable[[str], Any]) -> None:
    """Refuse a journal or a picture that cannot be written, for the verdict at the end is read from the journal.

    Without a journal a run would look clean, and pass `--fail`.
    """
    given = options.journal or os.environ.get("WHOHOLDS_JOURNAL") or _settings_file().get("journal")
    if given:
        name = "WHOHOLDS_JOURNAL" if os.environ.get("WHOHOLDS_JOURNAL") else "journal in the settings file"
        _can_be_written(given, "--journal" if options.journal else name, wrong)
    for option, path in asked(options).items():
        _can_be_written(path, f"--{option}", wrong)


def _can_be_written(given: str, name: str, wrong: Callable[[str], Any]) -> None:
    try:
        try_to_write(expanded(given))
    except OSError as error:
        wrong(f"{name} {given}: it takes the path of a file that can be written ({error.strerror or error})")


def _settings_are_right(options: argparse.Namespace, wrong: Callable[[str], Any]) -> None:
    """Refuse settings with which the program would run unwatched: it would look clean, and pass `--fail`.

    Another Python may have other plug-ins, whose outputs and rules are right there.
    """
    if command_of(options)[0] == sys.executable:
        try:
            limits_for()
        except WrongSetting as error:
            wrong(str(error))


def _settings_file() -> Mapping[str, Any]:
    """The settings in the file that the program will read; none if the file is wrong, which the program says itself."""
    try:
        return settings_file(os.environ.get("WHOHOLDS_CONFIG", "")).values
    except WrongSetting:
        return {}


_NO_PTH = (
    "whoholds.pth is in no site-packages that this Python reads; install whoholds with pip, or import whoholds.auto"
)


def _environment(options: argparse.Namespace, folder: Path) -> tuple[dict[str, str], Callable[[], list[Path]]]:
    environ = dict(os.environ)
    if environ.get("WHOHOLDS", "").strip().lower() in OFF:
        environ["WHOHOLDS"] = "1"
    in_file = _settings_file()
    path = options.journal or environ.get("WHOHOLDS_JOURNAL") or in_file.get("journal") or str(folder / "{pid}.jsonl")
    environ["WHOHOLDS_JOURNAL"] = str(expanded(path))
    if not environ.get("WHOHOLDS_SIGTERM", "").strip() and "sigterm" not in in_file:
        environ["WHOHOLDS_SIGTERM"] = "1"  # whoever stops this run stops the program by SIGTERM
    environ["_WHOHOLDS_RUN"] = "1"  # this command prints the last line of a run, not the program
    environ[COLOR_OF_RUN] = options.color
    if options.verbose:
        environ["WHOHOLDS_VERBOSE"] = "1"
    if options.baseline and _learns() and environ.get("WHOHOLDS_LEARN", "1").strip().lower() in ON:
        baseline = at_home(options.baseline)
        if baseline.is_file():
            environ["WHOHOLDS_LEARN"] = str(baseline)  # what earlier runs were used to
    pattern = glob.escape(environ["WHOHOLDS_JOURNAL"]).replace("{pid}", "*").replace("{host}", "*")
    before = {file: file.stat().st_size for file in map(Path, glob.glob(pattern))}  # noqa: PTH207 - its folder may be one too
    if options.journal and "{pid}" not in path:
        for file in before:
            file.unlink()  # one run, one journal
            Path(f"{file}.1").unlink(missing_ok=True)
        before = {}

    def journals() -> list[Path]:
        files = map(Path, glob.glob(pattern))  # noqa: PTH207
        return [file for file in files if file.stat().st_size != before.get(file, -1)]

    return environ, journals


def _verdict(
    options: argparse.Namespace, contents: Contents, code: int, known: dict[str, Known], journals: list[Path]
) -> int:
    failing: list[Any] = [record for record in contents.findings if record["severity"] == ERROR]
    if options.baseline:
        failing = _against_baseline(options, contents, known, journals)
    sys.stdout.flush()
    lines = lines_of(contents)
    if code < 0 and not contents.count:
        lines = [f"whoholds: nothing is known: {signal_name(-code)} ended the program before the first look"]
    print_on(sys.stderr, "\n".join(lines), options.color)
    if options.github:
        for line in github_lines(contents.above_info):
            sys.stderr.write(f"{line}\n")
    if code == 0 and failing and (options.fail or options.baseline) and not options.update_baseline:
        return FAILED
    return code


def _draw(options: argparse.Namespace, journals: list[Path]) -> None:
    """Write the pictures of the run. If that fails, a message says so; the program's exit code stays."""
    try:
        contents = Gathered(map(Journal, journals))
        for option, path in asked(options).items():
            print_on(sys.stderr, draw(contents, option, path), options.color)
    except OSError as error:
        print_on(sys.stderr, str(error), options.color)


def _against_baseline(
    options: argparse.Namespace, contents: Contents, known: dict[str, Known], journals: list[Path]
) -> list[Any]:
    from whoholds.testing.baseline import compare, write

    path = at_home(options.baseline)
    found = [record for record in contents.findings if record["severity"] != INFO]
    if options.update_baseline:
        write(path, found, _habits(path, journals) if _learns() else None)
        return []
    compared = compare(known, found)
    for line in compared.lines():
        print_on(sys.stderr, f"whoholds: {line}", options.color)
    return compared.failing


def _learns() -> bool:
    """Whether this run learns what lines are used to."""
    said = os.environ.get("WHOHOLDS_LEARN") or str(_settings_file().get("learn", ""))
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
