"""The plug-ins that third parties registered by entry point. Installed distributions are read once per process."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

DRIVERS = "whoholds.drivers"  # the entry's name is the module to wait for; its value a `plugins.Driver`
OUTPUTS = "whoholds.outputs"  # the entry's name is what WHOHOLDS=… takes; its value a `plugins.OutputMaker`
RULES = "whoholds.rules"  # the entry's name is the rule's name; its value a `plugins.OwnRule`


@lru_cache(maxsize=1)
def _all() -> dict[str, tuple[EntryPoint, ...]]:
    points = entry_points()
    return {group: tuple(points.select(group=group)) for group in (DRIVERS, OUTPUTS, RULES)}


def registered(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of one of the groups above, in the order in which their distributions are found."""
    return _all()[group]


def names(group: str) -> tuple[str, ...]:
    """The names of the entry points of one of the groups above; nothing is imported."""
    return tuple(point.name for point in registered(group))
