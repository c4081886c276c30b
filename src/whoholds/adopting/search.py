"""Finds the living objects of some classes, through what the garbage collector knows."""

from __future__ import annotations

import gc
from functools import partial
from itertools import chain, compress
from operator import is_not
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HAS_GC = 1 << 14  # Py_TPFLAGS_HAVE_GC: the collector knows the objects of such a type


def living(types: Iterable[type]) -> list[Any]:
    """The living objects of `types` and their subclasses, each once. The list keeps them alive while it lives.

    Objects that the collector does not know are found where an object that it knows refers to them. The scan runs in
    C: it takes about 10 ms for 100,000 objects.
    """
    wanted = with_subclasses(types)
    if not wanted:
        return []
    untracked = any(not kind.__flags__ & _HAS_GC for kind in wanted.values())
    found = _of(wanted, gc.get_objects())
    if untracked:
        near = list(chain.from_iterable(map(gc.get_referents, _without_modules(gc.get_objects()))))
        containers = [one for one in near if type(one) in (dict, tuple) and not gc.is_tracked(one)]
        found += _of(wanted, near) + _of(wanted, list(chain.from_iterable(map(gc.get_referents, containers))))
    return list({id(one): one for one in found}.values())


def with_subclasses(types: Iterable[type]) -> dict[int, type]:
    """The classes and all their subclasses, by id."""
    wanted: dict[int, type] = {}
    waiting = list(types)
    while waiting:
        kind = waiting.pop()
        if id(kind) not in wanted:
            wanted[id(kind)] = kind
            waiting += type.__subclasses__(kind)
    return wanted


def _without_modules(objects: list[Any]) -> Iterator[Any]:
    """Those of `objects` that may be asked what they refer to.

    A module may not: Python 3.12's `_asyncio` names objects that it has freed and keeps for the next use. Whoever takes
    a reference to one of them frees it a second time, and every later collection loops for ever.
    """
    return compress(objects, map(partial(is_not, ModuleType), map(type, objects)))


def _of(wanted: dict[int, type], objects: list[Any]) -> list[Any]:
    """Those of `objects` whose class is wanted. All in C, where no code of the program's runs in between."""
    return list(compress(objects, map(wanted.__contains__, map(id, map(type, objects)))))
