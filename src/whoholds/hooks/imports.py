"""An import hook: it calls back once the program itself has imported a module that is waited for.

It must import nothing, leave no trace on the modules that pass through it, and never make an import fail.
"""

from __future__ import annotations

import sys

from whoholds.ledger.faults import is_the_programs, stays_ours

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Callback = Callable[[ModuleType], None]

# Module name → callbacks, in order. Each change is one C call, for any thread may import.
_waiting: dict[str, list[Callback]] = {}
_executed: set[str] = set()  # modules whose code has run although their import has not returned


def when_imported(name: str, callback: Callback) -> None:
    """Call `callback(module)` now if the module `name` is imported and complete, otherwise right after it is."""
    module = sys.modules.get(name)
    if module is not None and (name in _executed or not (_is_lazy(module) or _under_way(module))):
        callback(module)
        return
    _waiting.setdefault(name, []).append(callback)
    if module is not None:
        _call_back_at_its_end(module)
    if not any(one is _finder for one in sys.meta_path):
        sys.meta_path.insert(0, _finder)


def forget(callback: Callback) -> None:
    """Remove this callback; with the last callback the hook leaves `sys.meta_path`."""
    for name, callbacks in list(_waiting.items()):
        if callback in callbacks:
            callbacks.remove(callback)
            if not callbacks:
                _waiting.pop(name, None)
    _leave()


def _leave() -> None:
    """Remove the hook from `sys.meta_path` if no module is waited for; by identity, for `==` could run user code."""
    if not _waiting:
        for number, one in enumerate(sys.meta_path):
            if one is _finder:
                del sys.meta_path[number]
                return


def names_of(module: Any) -> dict[str, Any]:
    """The namespace of a module, read without asking the module; {} for an object that is no module.

    An object in `sys.modules` may answer the reading of an attribute with an exception, or by loading the rest of
    itself.
    """
    if issubclass(type(module), _Module):
        names: dict[str, Any] = _module_names.__get__(module)
        return names
    return {}


_Module = type(sys)
_module_names: Any = vars(_Module)["__dict__"]


def _under_way(module: Any) -> bool:
    """Whether the import of the module is under way: its code has not run to its end."""
    spec = names_of(module).get("__spec__")
    return issubclass(type(spec), _Spec) and bool(spec.__dict__.get("_initializing"))


_Spec: Any = type(sys.__spec__)


class _Watched(_Spec):  # type: ignore[misc]  # the type of a spec is known only at run time
    """The spec of a module whose import was under way when a callback was registered for it.

    Its loader is at work already and cannot be replaced. The import's last act is `spec._initializing = False`.
    """

    @property
    def _initializing(self) -> bool:
        return bool(self.__dict__["_initializing"])

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        self.__dict__["_initializing"] = value
        if not value:
            self.__class__ = _Spec
            module = sys.modules.get(self.name)
            try:
                if module is not None and names_of(module).get("__spec__") is self:  # otherwise its code raised
                    _call_back(self.name, module)
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, "importlib.exec_module")


def _is_lazy(module: Any) -> bool:
    """Whether the module's code runs only when one of its names is first read (`importlib.util.LazyLoader`)."""
    util = sys.modules.get("importlib.util")
    if util is None or type(module) is not names_of(util).get("_LazyModule"):
        return False
    state = names_of(module)["__spec__"].loader_state
    return not state.get("is_loading")  # 3.12 and later set it when a name has been read


def _call_back_at_its_end(module: Any) -> None:
    spec = names_of(module)["__spec__"]
    if _is_lazy(module):
        spec.loader = _Loader(spec.loader)
    elif type(spec) is _Spec:
        spec.__class__ = _Watched


def _call_back(name: str, module: ModuleType) -> None:
    _executed.add(name)
    for callback in _waiting.pop(name, []):
        try:
            callback(module)
        except Exception as error:
            if is_the_programs(error):
                raise
            from whoholds.text.streams import say  # here, for hardly any program has need of it

            say(f"whoholds: {name} is not watched: {type(error).__name__}: {error} [driver-failed]")
    if hasattr(sys, "get_lazy_imports"):  # 3.15
        from whoholds.hooks import lazily

        lazily.import_ours()
    _executed.discard(name)
    _leave()


_before_foreign: list[Callable[[], None]] = []


def before_first_foreign(callback: Callable[[], None] | None) -> None:
    """Call `callback()` once, before the first import of a module that does not come with Python.

    None cancels the callback. It is called in the thread that imports.
    """
    _before_foreign[:] = [] if callback is None else [callback]


def _foreign_comes() -> None:
    try:
        _before_foreign.pop()()
    except Exception as error:
        if is_the_programs(error):
            raise
        from whoholds.text.streams import say

        say(f"whoholds: drivers of other distributions are not waited for: {type(error).__name__}: {error}")


_TRIED_AT_EVERY_START = ("sitecustomize", "usercustomize")  # by site, whether or not there is such a module


class _Finder:
    """Finds no module itself: it asks the other finders, and wraps the loader of a module that is waited for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if _before_foreign and top not in sys.stdlib_module_names and top not in _TRIED_AT_EVERY_START:
            try:
                _foreign_comes()
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, "importlib.find_spec")
        if name not in _waiting:
            return None
        for finder in list(sys.meta_path):
            if finder is self:
                continue
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else _found_by_legacy(finder, name, path)
            if spec is not None:
                try:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # it has the methods that the import needs
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, "importlib.find_spec")
                return spec
        return None


def _found_by_legacy(finder: Any, name: str, path: Any) -> Any:
    """The spec from a finder that has only `find_module`, which 3.10 and 3.11 still ask; None on later versions."""
    asking = names_of(sys.modules.get("_frozen_importlib")).get("_find_spec_legacy")
    return asking(finder, name, path) if asking is not None else None


class _Loader:
    """Wraps the loader of one module for one import, and puts that loader back before the module's code runs."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        name = module.__name__
        self._loader.exec_module(module)
        try:
            if _is_lazy(module):
                _call_back_at_its_end(module)
            else:
                _call_back(name, module)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, "importlib.exec_module")


_finder = _Finder()
