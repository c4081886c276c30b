"""Lazy imports (PEP 810, from Python 3.15 on): in whoholds's own modules nothing stays put off.

Under `-X lazy_imports=all` a module of ours would import another at the first use of its name: in the middle of a hook,
in the user's thread. The program's own imports stay as lazy as they are.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it

OURS = "whoholds"


def import_ours() -> None:
    """Import now what the modules of ours have put off, and what those that come by it have.

    Without `-X lazy_imports=all` there is nothing to do. For the moments at which a hook was set. What cannot be
    imported now, for its import is under way further up, stays put off.
    """
    if getattr(sys, "get_lazy_imports", _eager)() != "all":
        return
    tried: set[tuple[str, str]] = set()
    while found := put_off() - tried:
        for module, name in found:
            try:
                getattr(sys.modules[module], name)  # whoever reads the name imports it
            except ImportError:
                pass
        tried |= found


def put_off() -> set[tuple[str, str]]:
    """The modules of ours, each with a name in it whose import is put off."""
    from types import LazyImportType  # type: ignore[attr-defined]  # 3.15

    ours = [(place, module) for place, module in list(sys.modules.items()) if place.partition(".")[0] == OURS]
    return {
        (place, name)
        for place, module in ours
        for name, value in list(vars(module).items())
        if type(value) is LazyImportType
    }


def _eager() -> str:
    return "normal"
