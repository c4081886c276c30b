"""What `whoholds attach` does inside a process: describe once, start a watch, or take it out. Each gives an object."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from whoholds.assembling import adopt
from whoholds.ledger.handle import CONNECTION
from whoholds.ledger.ledger import Ledger
from whoholds.settings.limits import Limits
from whoholds.settings.matching import WrongSetting
from whoholds.startup import limits_for, start, take_out
from whoholds.watching.holders import described
from whoholds.watching.running import watches
from whoholds.watching.watch import Watch


def once() -> dict[str, Any]:
    """The description of what the process holds; nothing of whoholds stays, and no class or object is changed.

    If the process is watched already, its watch describes.
    """
    running = watches()
    if running:
        return {**described(running[-1]), "watched": True, "stays": True}
    try:
        limits = limits_for()
    except WrongSetting:  # for a watch, which this is none
        limits = Limits()
    ledger = Ledger(frames=limits.frames)
    try:
        adopt(ledger)
        return {**described(Watch(limits, ledger=ledger, detectors={})), "watched": False}
    finally:
        ledger.active = False
        for handle in ledger.peek():
            handle.ref = None  # no weak reference stays on an object of the program's


def watch() -> dict[str, Any]:
    """Start a watch with the settings of the process's environment; how much was adopted."""
    if watches():
        return {"type": "watched", "stays": True}
    has_wrapt = find_spec("wrapt") is not None
    if has_wrapt:
        import wrapt  # noqa: F401 - later it might not be found any more
    running = start()
    adopted = sum(handle.kind == CONNECTION for handle in running.handles)
    return {"type": "started", "adopted": adopted, "wrapt": has_wrapt, "stays": True}


def stop() -> dict[str, Any]:
    """Take the process's watch out; how many findings its last look brought, or that there is no watch."""
    if not watches():
        return {"type": "unwatched"}
    return {"type": "stopped", "findings": len(take_out()), "stays": True}
