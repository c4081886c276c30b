"""Who refers to an object: a global, an attribute, a local variable of a frame. Asked of the garbage collector.

An object is climbed from step by step: its referrers, theirs, and so on, until something has a name in the program.
"""

from __future__ import annotations

import gc
import re
import sys
import time
from collections import deque
from types import (
    AsyncGeneratorType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any, NamedTuple

from whoholds.adopting.stacks import Local, is_ours, locals_of_threads, names_in
from whoholds.analysis.blame import WATCHED, code_of, kind_of
from whoholds.ledger.cpython import has_gil, own
from whoholds.ledger.referrer import Referrer

DEEPEST = 6  # steps climbed
MOST = 200  # objects climbed from at once
LONGEST_S = 1.0  # after which no further step begins
_CONTAINERS = (list, tuple, set, frozenset, deque)
_KEY = "\0"  # around a dict's key in a path, until the dict is known for a container or for an object's attributes
_ANY_KEY = re.compile(f"{_KEY}.*?{_KEY}", re.DOTALL)
_SUSPENDED = {CoroutineType: "cr", GeneratorType: "gi", AsyncGeneratorType: "ag"}
# which of several referrers to name: the first of these; a library's globals and variables come after the program's
_GLOBAL, _LOCAL, _LIBRARYS, _LIBRARYS_LOCAL, _ATTRIBUTE = range(5)


class Held(NamedTuple):
    """Who refers to an object, and the owner of the stack on which its variable is: a thread's ident, or an object."""

    referrer: Referrer
    ident: int = 0
    coroutine: int = 0  # the id of the suspended coroutine or generator


class _Step(NamedTuple):
    """An object on the way up, and by each target that it leads to the rest of the path: `._conn`, `[…]`."""

    thing: Any
    paths: dict[int, str]


class Climb:
    """One search for the referrers of some objects."""

    def __init__(self) -> None:
        self._modules = {
            id(vars(module)): module for module in list(sys.modules.values()) if issubclass(type(module), ModuleType)
        }
        self._stacks: dict[int, Local] = locals_of_threads()
        self._found: dict[int, dict[int, Held]] = {}  # target → rank → who refers to it
        self._referrers: dict[tuple[str, str, int, str], Referrer] = {}
        self._mine: set[int] = set()  # objects of this search, which refer to everything that they look at

    def referrers_of(self, targets: list[Any], *, borrowed: set[int]) -> dict[int, Held]:
        """By id of each target: who refers to it. For those in `borrowed`, a local variable is named first."""
        level = {id(one): _Step(one, {id(one): ""}) for one in targets[:MOST]}
        seen = set(level)
        until = time.monotonic() + LONGEST_S
        for _ in range(DEEPEST):
            for step in level.values():
                self._on_stack(step)
            level = self._above(level, seen)
            if not level or time.monotonic() > until:
                break
        chosen: dict[int, Held] = {}
        for target, ranks in self._found.items():
            order = sorted(ranks, key=lambda rank: (rank != _LOCAL, rank) if target in borrowed else (False, rank))
            chosen[target] = ranks[order[0]]
        return chosen

    def _on_stack(self, step: _Step) -> None:
        local = self._stacks.get(id(step.thing))
        if local is not None:
            for target, path in step.paths.items():
                rank = _LIBRARYS_LOCAL if kind_of(local.file) else _LOCAL
                self._end(target, rank, f"variable {local.name}{path}", local.file, local.line, local.function, local)

    def _above(self, level: dict[int, _Step], seen: set[int]) -> dict[int, _Step]:
        """The next level: what refers to the objects of this one and has no name itself."""
        things = [step.thing for step in level.values()]
        holders = gc.get_referrers(*things)
        self._mine |= {id(level), id(things), id(holders), id(self.__dict__), *map(id, level.values())}
        frame: FrameType | None = sys._getframe()
        while frame is not None and is_ours(frame):
            self._mine.add(id(frame))
            frame = frame.f_back
        del frame
        above: dict[int, _Step] = {}
        for holder in holders:
            if id(holder) in self._mine or id(holder) in seen or _is_ours(holder) or type(holder) is ModuleType:
                continue  # a module's dict is a holder, too, and no module may be asked: `search` says why
            paths: dict[int, str] = {}
            for thing in gc.get_referents(holder):
                step = level.get(id(thing))
                if step is not None:
                    self._climb(holder, step, paths)
            if paths and len(above) < MOST:
                seen.add(id(holder))
                above[id(holder)] = _Step(holder, paths)
        return above

    def _climb(self, holder: Any, step: _Step, paths: dict[int, str]) -> None:
        """One step from `step` to its `holder`: an end, where that has a name in the program, or `paths` gains one."""
        kind = type(holder)
        module = self._modules.get(id(holder))
        for target, path in step.paths.items():
            if module is not None:
                self._in_module(module, holder, step.thing, target, path)
            elif kind in _SUSPENDED or kind is FrameType:
                self._in_frame(holder, step.thing, target, path)
            elif issubclass(kind, type):
                self._in_class(holder, target, path)
            elif kind is FunctionType:
                code: CodeType = holder.__code__
                what = f"function {code.co_name}, which refers to a variable{path}"
                self._end(target, _ATTRIBUTE, what, code.co_filename, code.co_firstlineno, code.co_name)
            elif kind is CellType:
                paths.setdefault(target, path)
            elif kind is dict:
                paths.setdefault(target, f"{_KEY}{_key(holder, step.thing)}{_KEY}{path}")
            elif kind in _CONTAINERS:
                paths.setdefault(target, f"[…]{path}")
            else:
                self._in_object(holder, step.thing, target, path, paths)

    def _in_module(self, module: Any, names: dict[str, Any], thing: Any, target: int, path: str) -> None:
        name = _key(names, thing)
        file = str(names.get("__file__") or "")
        rank = kind_of(file) if file else WATCHED
        if rank != WATCHED and not module.__name__.startswith("whoholds"):  # else a watched library's own cache
            self._end(target, _LIBRARYS if rank else _GLOBAL, f"global {name}{path}", file)

    def _in_object(self, holder: Any, thing: Any, target: int, path: str, paths: dict[int, str]) -> None:
        """An attribute of an object, which the search also climbs from: whoever refers to that object says more."""
        if own(holder) is thing:
            path = _as_attribute(path)
        else:
            name = _attribute(holder, thing)
            path = f".{name}{path}" if name else path
        paths.setdefault(target, path)
        if path.startswith("."):
            kind = type(holder)
            file = _file_of(kind)
            what = f"attribute {path[1:]} of {_a(kind.__name__)}"
            self._end(target, _ATTRIBUTE, what, "" if kind_of(file or "<") else file)

    def _in_class(self, kind: Any, target: int, path: str) -> None:
        path = _as_attribute(path)
        file = _file_of(kind)
        rank = kind_of(file) if file else WATCHED
        if rank != WATCHED:
            self._end(target, _LIBRARYS if rank else _GLOBAL, f"class attribute {kind.__name__}{path}", file)

    def _in_frame(self, holder: Any, thing: Any, target: int, path: str) -> None:
        if not has_gil():  # another thread may run it at this moment
            return
        prefix = _SUSPENDED.get(type(holder))
        frame = getattr(holder, f"{prefix}_frame") if prefix else holder
        if frame is None:
            return
        name = names_in(frame).get(id(thing), "")
        code = code_of(frame)
        what = f"variable {name}{path}" if name else "a value that is in use"
        held = Held(self._referrer(what, code.co_filename, frame.f_lineno, code.co_name), 0, id(holder))
        rank = _LIBRARYS_LOCAL if kind_of(code.co_filename) else _LOCAL
        self._found.setdefault(target, {}).setdefault(rank, held)

    def _end(
        self, target: int, rank: int, what: str, file: str, line: int = 0, function: str = "", local: Any = None
    ) -> None:
        held = Held(self._referrer(what, file, line, function), local.ident if local is not None else 0)
        self._found.setdefault(target, {}).setdefault(rank, held)

    def _referrer(self, what: str, file: str, line: int, function: str) -> Referrer:
        key = (_ANY_KEY.sub("[…]", what), file, line, function)
        return self._referrers.setdefault(key, Referrer(*key))


def _is_ours(holder: Any) -> bool:
    return str(getattr(type(holder), "__module__", "")).partition(".")[0] == "whoholds"


def _key(names: dict[Any, Any], thing: Any) -> str:
    return next((str(key) for key, value in list(dict.items(names)) if value is thing and type(key) is str), "?")


def _as_attribute(path: str) -> str:
    """The path that leads through the dict of an object's attributes: its first key is an attribute's name."""
    if not path.startswith(_KEY):
        return path
    _, name, rest = path.split(_KEY, 2)
    return f".{name}{rest}"


def _file_of(kind: type) -> str:
    module = sys.modules.get(str(kind.__module__))
    return str(own(module).get("__file__") or "") if module is not None else ""


def _a(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _attribute(holder: Any, thing: Any) -> str:
    """The name of the attribute or slot of `holder` that is `thing`; "" where there is none: a C object has no names.

    No code of the holder's class runs.
    """
    for name, value in list(own(holder).items()):
        if value is thing:
            return str(name)
    for kind in type(holder).__mro__:
        for name, slot in list(vars(kind).items()):
            if type(slot) is MemberDescriptorType:
                try:
                    if slot.__get__(holder) is thing:
                        return name
                except AttributeError:  # an empty slot
                    pass
    return ""
