"""How a name of somebody else's module or class is replaced and given back.

It never restores what is no longer ours: if someone patched over us, theirs stays and ours goes quiet.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MISSING = object()


def replace(target: Any, name: str, new: Any) -> Callable[[], None]:
    """Set `name` in the module or class `target` to `new`; the call returned puts back what was there."""
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


def stays_ours(error: Exception) -> None:
    """Nothing, where `error` is a hook's own fault; raises it again where it is the program's.

    A signal's handler that raises may run in the middle of a hook: a timeout must not be lost there.
    """
    signals: Any = sys.modules.get("_signal")
    if signals is None:  # nobody can have set a handler
        return
    handlers = {_code_of(signals.getsignal(number)) for number in signals.valid_signals()} - {None}
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code in handlers:
            raise error
        at = at.tb_next


def _code_of(handler: Any) -> Any:
    """The code of a function, of a method, of an object that can be called; None of anything else."""
    handler = getattr(handler, "func", handler)  # a partial's
    handler = getattr(handler, "__func__", handler)
    called = handler if hasattr(handler, "__code__") else vars(type(handler)).get("__call__")
    return getattr(called, "__code__", None)


def stands_for(new: Any, old: Any) -> Any:
    """`new` with the name, module, docstring and signature of `old`, so that reprs and help show nobody of ours."""
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__text_signature__", "__annotations__"):
        try:
            value = getattr(old, attribute)
        except AttributeError:
            continue
        try:
            setattr(new, attribute, value)
        except (AttributeError, TypeError):
            continue
    new.__wrapped__ = old  # for inspect.signature, and for annotations, which are read where `old` was written
    return new
