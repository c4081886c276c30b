"""Marks of the processes of `whoholds run`: who is watched, and whose records are lost. Else a run would look clean.

A mark is an empty file, named by the process, in the folder that `whoholds run` has made for it. It needs no room on a
disk that is full. Nothing else of ours may be imported here, for autostart imports it.
"""

import os

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from pathlib import Path

RUN = "_WHOHOLDS_RUN"  # set by `whoholds run` for the program: the folder of the marks
WATCHED = ".watched"
LOST = ".lost"


def mark(suffix: str) -> None:
    """Note that this process is `WATCHED`, or that records of it are `LOST`, if it belongs to a run. Never raises."""
    folder = os.environ.get(RUN)
    if folder:
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            os.close(os.open(os.path.join(folder, f"{os.getpid()}{suffix}"), flags, 0o600))
        except OSError:
            pass


def lost_in(folder: "Path") -> list[str]:
    """Sentences on the records that are lost: one for each mark in the folder, or one if the folder was removed."""
    if not folder.is_dir():
        return ["the folder of the journals was removed"]
    return [f"the journal of process {path.stem} could not be written" for path in sorted(folder.glob(f"*{LOST}"))]


def anybody_watched(folder: "Path") -> bool:
    """Whether any process of the run was watched."""
    return any(folder.glob(f"*{WATCHED}"))
