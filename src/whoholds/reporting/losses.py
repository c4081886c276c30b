"""Marks of processes whose journals could not be written, for `whoholds run`: without them a run would look clean.

A mark is an empty file, named by the process, in the folder that `whoholds run` has made for it. It needs no room on a
disk that is full.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RUN: Final = "_WHOHOLDS_RUN"  # set by `whoholds run` for the program: the folder of the marks
_SUFFIX: Final = ".lost"


def mark_lost() -> None:
    """Note that records of this process are lost, if it was started by `whoholds run`. Never raises."""
    folder = os.environ.get(RUN)
    if folder:
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            os.close(os.open(os.path.join(folder, f"{os.getpid()}{_SUFFIX}"), flags, 0o600))


def lost_in(folder: Path) -> list[str]:
    """Sentences on the records that are lost: one for each mark in the folder, or one if the folder was removed."""
    if not folder.is_dir():
        return ["the folder of the journals was removed"]
    return [f"the journal of process {mark.stem} could not be written" for mark in sorted(folder.glob(f"*{_SUFFIX}"))]
