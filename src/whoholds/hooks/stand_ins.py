"""Stand-ins for C functions of `os` and `signal`, in every module that has one of those by name.

A stand-in must answer every question as the function would: its type, name, signature, repr, copy and pickle.
"""

from __future__ import annotations

import sys

from whoholds.hooks.seams import stays_ours

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_dict_of_module: Any = vars(type(sys))["__dict__"].__get__  # past a module's own `__getattribute__`


class StandIn:
    """Stands in for the C function `original`: whoever calls it calls `called`.

    C finds `called` in the slot `__call__`, and runs no code of ours for it; when Python reads `os.kill.__call__`, it
    gets the function's own.
    """

    __slots__ = ("__call__", "__weakref__", "_original")

    def __init__(self, original: Any, called: Callable[..., Any]) -> None:
        object.__setattr__(self, "_original", original)
        object.__setattr__(self, "__call__", called)

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_original"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_original"), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(object.__getattribute__(self, "_original"), name)

    def __repr__(self) -> str:
        return repr(object.__getattribute__(self, "_original"))

    def __hash__(self) -> int:
        return hash(object.__getattribute__(self, "_original"))

    def __eq__(self, other: object) -> bool:
        if issubclass(type(other), StandIn):
            other = object.__getattribute__(other, "_original")
        equal: bool = object.__getattribute__(self, "_original") == other
        return equal


class ChoosingStandIn(StandIn):
    """One of which each call calls what `choose()` returns at that moment.

    `choose` runs before the call: where it returns the function itself, no frame of ours is on the stack during the
    call.
    """

    __slots__ = ("_choose",)

    def __init__(self, original: Any, choose: Callable[[], Any]) -> None:
        object.__setattr__(self, "_original", original)
        object.__setattr__(self, "_choose", choose)

    @property
    def __call__(self) -> Any:
        """The callable that C calls."""
        try:
            return object.__getattribute__(self, "_choose")()
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, object.__getattribute__(self, "_original"))
            return object.__getattribute__(self, "_original")


for _kind in (StandIn, ChoosingStandIn):
    _kind.__name__ = _kind.__qualname__ = type(len).__name__  # what `type(stand_in)` is called
    _kind.__module__ = type(len).__module__
# for `help`, which asks past `__getattribute__`
StandIn.__doc__ = property(lambda stand_in: stand_in.__getattribute__("__doc__"))  # type: ignore[assignment]
ChoosingStandIn.__doc__ = StandIn.__doc__


def stand(places: Mapping[Any, Any]) -> Callable[[], None]:
    """Replace each key of `places`, a C function, by its value in every module that has the function as a global.

    The returned call puts the functions back wherever our replacements still stand.
    """
    wanted = {id(original): (original, new) for original, new in places.items()}
    changed: list[tuple[dict[str, Any], str, Any, Any]] = []
    for module in list(sys.modules.values()):
        if not issubclass(type(module), type(sys)):
            continue
        names: dict[str, Any] = _dict_of_module(module)
        if str(names.get("__name__")).startswith("whoholds"):
            continue
        for name, value in names.copy().items():
            if id(value) in wanted:
                original, new = wanted[id(value)]
                names[name] = new
                changed.append((names, name, original, new))

    def give_back() -> None:
        for names, name, original, new in changed:
            if names.get(name) is new:
                names[name] = original

    return give_back
