"""Proxies before objects whose types allow nothing better; each has the name and the repr of what it stands before."""

from __future__ import annotations

import copy
import types
from typing import Any


def proxy_class(kind: type, names: dict[str, Any]) -> Any:
    """A proxy class for objects of the type `kind`, with these methods, that goes by the name of `kind`."""
    import wrapt

    shown = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return types.new_class(
        kind.__name__, (wrapt.ObjectProxy,), exec_body=lambda ns: ns.update({**shown, **_AS, **names})
    )


def as_itself(self: Any, result: Any) -> Any:
    """`result`, and `self` where that is what `self` stands before."""
    return self if result is self.__wrapped__ else result


def _repr(self: Any) -> str:
    return repr(self.__wrapped__)


def _reduce(self: Any, protocol: Any) -> Any:
    return self.__wrapped__.__reduce_ex__(protocol)


def _copy(self: Any) -> Any:
    return copy.copy(self.__wrapped__)


def _deepcopy(self: Any, memo: Any) -> Any:
    return copy.deepcopy(self.__wrapped__, memo)


# What wrapt leaves to its subclasses: repr names the proxy there, and a copy is refused.
_AS = {"__repr__": _repr, "__reduce_ex__": _reduce, "__copy__": _copy, "__deepcopy__": _deepcopy}
