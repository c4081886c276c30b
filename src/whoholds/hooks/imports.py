"""An import hook of ours: calls back once a module that we know has been imported by the program itself.

It imports nothing, leaves no trace on the modules that pass through it, and never fails an import.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Callback = Callable[[ModuleType], None]

# Module name → callbacks, in order. Changed by one C call at a time; an import may come from any thread.
_waiting: dict[str, list[Callback]] = {}
_executed: set[str] = set()  # modules whose code has run although their import has not returned


def when_imported(name: str, callback: Callback) -> None:
    """Call `callback(module)` now if the module `name` is imported and complete, else right after it is."""
    module = sys.modules.get(name)
    importing = getattr(getattr(module, "__spec__", None), "_initializing", False)
    if module is not None and (name in _executed or not importing):
        callback(module)
        return
    _waiting.setdefault(name, []).append(callback)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget(callback: Callback) -> None:
    """Wait no longer with this callback; the hook leaves `sys.meta_path` with the last one."""
    for name, callbacks in list(_waiting.items()):
        if callback in callbacks:
            callbacks.remove(callback)
            if not callbacks:
                _waiting.pop(name, None)
    if not _waiting and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _Finder:
    """Finds nothing itself: asks the others, and stands in the loader of a module that is waited for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _waiting:
            return None
        for finder in list(sys.meta_path):
            if finder is self:
                continue
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # it has what the import needs
                return spec
        return None


class _Loader:
    """Stands in for one import of one module, puts the true loader back before the module's code runs."""

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
        self._loader.exec_module(module)
        name = module.__name__
        _executed.add(name)
        for callback in _waiting.pop(name, []):
            try:
                callback(module)
            except Exception as error:  # noqa: BLE001 - our fault must not become the program's import error
                sys.stderr.write(f"whoholds: {name} is not watched: {type(error).__name__}: {error}\n")
        _executed.discard(name)
        if not _waiting and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)


_finder = _Finder()
