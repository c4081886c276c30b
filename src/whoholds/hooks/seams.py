"""How a name of another library's module or class is replaced and given back.

It must not restore a name that is no longer ours: if other code has replaced it since, that stays.
"""

from __future__ import annotations

from whoholds.ledger.faults import is_the_programs, stays_ours

__all__ = ["is_the_programs", "replace", "stands_for", "stays_ours"]

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MISSING = object()


def replace(target: Any, name: str, new: Any) -> Callable[[], None]:
    """Set `name` in the module or class `target` to `new`; the returned call puts the old value back."""
    old = vars(target).get(name, _MISSING)
    setattr(target, name, new)

    def restore() -> None:
        if vars(target).get(name) is not new:
            return
        if old is _MISSING:
            delattr(target, name)
        else:
            setattr(target, name, old)

    return restore


def stands_for(new: Any, old: Any) -> Any:
    """`new` with the name, module, docstring and signature of `old`, so that reprs and help do not show whoholds.

    A method of a C type has no module and no annotations: its module is then that of its type, where pickle looks for
    it.
    """
    kind = getattr(old, "__objclass__", None)
    if kind is not None:
        new.__module__, new.__annotations__ = kind.__module__, {}
    # from 3.14 on `__annotations__` runs code of the library, which may name what only type checkers import
    deferred = "__annotate__" in vars(type(replace)) and getattr(old, "__annotate__", None) is not None
    annotations = "__annotate__" if deferred else "__annotations__"
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__text_signature__", annotations):
        try:
            value = getattr(old, attribute)
        except AttributeError:
            continue
        try:
            setattr(new, attribute, value)
        except (AttributeError, TypeError):
            continue
    new.__wrapped__ = old  # for inspect.signature, and for annotations, which are resolved in the module of `old`
    return new
