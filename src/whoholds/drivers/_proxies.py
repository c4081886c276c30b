"""Proxies for objects whose types can be watched in no other way; each has its object's type name and repr."""

from __future__ import annotations

import copy
import types
from typing import Any


def proxy_class(kind: type, names: dict[str, Any]) -> Any:
    """A proxy class for objects of the type `kind`, with the methods `names` and the name and module of `kind`."""
    import wrapt

    shown = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return types.new_class(
        kind.__name__, (wrapt.ObjectProxy,), exec_body=lambda ns: ns.update({**shown, **_AS, **names})
    )


def behind(thing: Any) -> Any:
    """What `thing` stands for if it is a proxy of ours, or a proxy of a proxy; otherwise `thing`."""
    while vars(type(thing)).get("__reduce_ex__") is _reduce:
        thing = thing.__wrapped__
    return thing


def as_itself(self: Any, result: Any) -> Any:
    """`self` where `result` is the object that the proxy `self` wraps, otherwise `result`."""
    return self if result is self.__wrapped__ else result


def _repr(self: Any) -> str:
    return repr(self.__wrapped__)


def _reduce(self: Any, protocol: Any) -> Any:
    return self.__wrapped__.__reduce_ex__(protocol)


def _copy(self: Any) -> Any:
    return copy.copy(self.__wrapped__)


def _deepcopy(self: Any, memo: Any) -> Any:
    return copy.deepcopy(self.__wrapped__, memo)


# wrapt leaves these to its subclasses: its own repr names the proxy, and its own copy raises.
_AS = {"__repr__": _repr, "__reduce_ex__": _reduce, "__copy__": _copy, "__deepcopy__": _deepcopy}
