"""The plug-ins that third parties registered by entry point. Installed distributions are read once per process.

Few environments have any, and to import `importlib.metadata` and to let it read takes a third of the start of a watch:
it is asked only where a file names a group of ours, or where there may be distributions that are no files.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing is not imported: autostart reads this module, too
if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

DRIVERS = "whoholds.drivers"  # the entry's name is the module to wait for; its value a `plugins.Driver`
OUTPUTS = "whoholds.outputs"  # the entry's name is what WHOHOLDS=… takes; its value a `plugins.OutputMaker`
RULES = "whoholds.rules"  # the entry's name is the rule's name; its value a `plugins.OwnRule`

_found: dict[str, tuple[EntryPoint, ...]] = {}


def registered(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of one of the groups above, in the order in which their distributions are found."""
    if not _found:
        _found.update(_read())
    return _found[group]


def names(group: str) -> tuple[str, ...]:
    """The names of the entry points of one of the groups above; nothing is imported."""
    return tuple(point.name for point in registered(group))


def modules_to_wait_for() -> list[str]:
    """The names of the drivers' entry points, read from files alone: before the first import of anything foreign."""
    sections = [text.partition(f"[{DRIVERS}]")[2].partition("\n[")[0] for text in _texts()[0]]
    lines = [line for section in sections for line in section.splitlines() if "=" in line]
    return [line.partition("=")[0].strip() for line in lines]


def _read() -> dict[str, tuple[EntryPoint, ...]]:
    groups = (DRIVERS, OUTPUTS, RULES)
    texts, archives = _texts()
    if not (texts or archives or _other_finders()):
        return dict.fromkeys(groups, ())
    from importlib.metadata import entry_points

    points = entry_points()
    return {group: tuple(points.select(group=group)) for group in groups}


def _texts() -> tuple[list[str], bool]:
    """Each `entry_points.txt` that names a group of ours, and whether there are archives, which may have more."""
    texts, archives = [], False
    for folder in sys.path:
        try:
            found = [one.path for one in os.scandir(folder or ".") if _is_metadata(folder, one.name.lower())]
        except NotADirectoryError:
            archives = True
            continue
        except OSError:  # it does not exist
            continue
        for path in found:
            try:
                with open(f"{path}/entry_points.txt", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not imported
                    text = file.read()
            except (OSError, ValueError):
                continue
            if "[whoholds." in text:
                texts.append(text)
    return texts, archives


def _other_finders() -> bool:
    """Whether another finder than Python's own finds distributions."""
    standard = sys.modules["_frozen_importlib_external"].PathFinder
    return any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not standard)


def _is_metadata(folder: str, name: str) -> bool:
    return name.endswith((".dist-info", ".egg-info")) or (name == "egg-info" and folder.endswith(".egg"))
