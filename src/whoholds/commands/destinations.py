"""The files that `whoholds run` is to write; those that it may not or cannot write are refused beforehand."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds.commands.pictures import DRAWN, asked
from whoholds.commands.program import script_of
from whoholds.reporting.files import expanded, try_to_write
from whoholds.reporting.journal import path_of
from whoholds.reporting.reading import JOURNAL
from whoholds.settings.config import settings_file
from whoholds.settings.matching import WrongSetting
from whoholds.testing.baseline import BASELINE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from whoholds.reporting.files import Kind


def refuse_wrong_files(options: argparse.Namespace, wrong: Callable[[str], Any]) -> None:
    """Call `wrong` with a message if an output cannot be written, is another file already, or is an input.

    The verdict at the end is read from the journal. Without a journal a run would look clean, and pass `--fail`.
    """
    taken = {} if options.module or options.code else {_real(script_of(options.target)): "the program itself"}
    if options.baseline and not options.update_baseline:
        taken[_real(options.baseline)] = "the baseline"
    for name, given, kind in _outputs(options):
        if _real(given) in taken:
            wrong(f"{name} {given}: that is {taken[_real(given)]}; it takes a file of its own")
        taken[_real(given)] = f"what {name} names"
        try:
            try_to_write(expanded(given), kind)
            if kind is JOURNAL:
                try_to_write(path_of(f"{expanded(given)}.1"), kind)
        except OSError as error:
            wrong(f"{name} {given}: it takes the path of a file that can be written ({error.strerror or error})")


def _outputs(options: argparse.Namespace) -> list[tuple[str, str, Kind]]:
    """Each file that the run is to write: the name of its option or setting, the path as given, and its kind."""
    outputs = []
    journal = options.journal or os.environ.get("WHOHOLDS_JOURNAL") or in_settings_file().get("journal")
    if journal:
        name = "WHOHOLDS_JOURNAL" if os.environ.get("WHOHOLDS_JOURNAL") else "journal in the settings file"
        outputs.append(("--journal" if options.journal else name, str(journal), JOURNAL))
    outputs += [(f"--{option}", path, DRAWN) for option, path in asked(options).items()]
    if options.update_baseline:
        outputs.append(("--baseline", options.baseline, BASELINE))
    return outputs


def _real(path: str | None) -> str:
    return os.path.realpath(path_of(expanded(path or "")))


def in_settings_file() -> Mapping[str, Any]:
    """The settings in the file that the program will read; none if the file is wrong, which the program says itself."""
    try:
        return settings_file(os.environ.get("WHOHOLDS_CONFIG", "")).values
    except WrongSetting:
        return {}


def private_folder(wrong: Callable[[str], Any]) -> tuple[Path, Path]:
    """A new folder, which the caller removes, and the folder in it for the journals of the run.

    A process that root starts may give up its rights before it writes its journal: the inner folder takes files of any
    user. Only root can list the outer one, so that nobody but the program knows the name of the inner. Calls `wrong`
    with a message if no folder can be made.
    """
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    try:
        outer = Path(tempfile.mkdtemp(prefix="whoholds-", dir=_passable() if is_root else None))
        if not is_root:
            return outer, outer
        inner = outer / secrets.token_hex(16)
        inner.mkdir()
        inner.chmod(0o1733)
        outer.chmod(0o711)
    except OSError as error:
        wrong(f"TMPDIR: it takes a folder that can be written ({error.strerror or error})")
        raise
    return outer, inner


def _passable() -> str | None:
    """A folder for temporary files that any user can enter: the usual one or else /tmp; None if neither is."""
    for folder in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - a folder is made in it as mkdtemp makes it
        if all(parent.stat().st_mode & 0o001 for parent in (Path(folder), *Path(folder).parents)):
            return folder
    return None
