"""How a name of somebody else's module or class is replaced and given back.

It never restores what is no longer ours: if someone patched over us, theirs stays and ours goes quiet.
"""

from __future__ import annotations

import sys

from whoholds.ledger.faults import note

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MISSING = object()
_HERE = __file__.removesuffix("seams.py").removesuffix("hooks/").removesuffix("hooks\\")  # the package's folder


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


def stays_ours(error: Exception, original: Any = None) -> None:
    """Note `error`, a fault of a hook's own; raise it again where it is the program's, which must not lose it.

    The program's is what a signal's handler raises, which may run in the middle of a hook, and what another thread has
    set by `PyThreadState_SetAsyncExc`. `original` is what the hook stands for; a look names it. Every hook's one guard:

        try:
            … what is ours
        except Exception as error:
            stays_ours(error, original)
    """
    if is_the_programs(error):
        raise error
    try:
        note(error, original)
    except Exception as again:
        if is_the_programs(again):
            raise


_OUR_BARE = (StopIteration, StopAsyncIteration, MemoryError, AssertionError)  # C raises these without a word


def is_the_programs(error: Exception) -> bool:
    """Whether a frame of its traceback is a signal handler's, or nobody but the interpreter can have raised it."""
    signals: Any = sys.modules.get("_signal")
    # where the module is not imported nobody can have set a handler
    handlers = {_code_of(signals.getsignal(number)) for number in signals.valid_signals()} if signals else set()
    handlers.discard(None)
    at = error.__traceback__
    innermost = None
    while at is not None:
        innermost = at.tb_frame.f_code
        if innermost in handlers:
            return True
        at = at.tb_next
    # an asynchronous exception is a class, raised without arguments between two instructions of ours
    bare = not error.args and not isinstance(error, _OUR_BARE)
    return bare and innermost is not None and innermost.co_filename.startswith(_HERE)


def _code_of(handler: Any) -> Any:
    """The code of a function, of a method, of an object that can be called; None of anything else."""
    handler = getattr(handler, "func", handler)  # a partial's
    handler = getattr(handler, "__func__", handler)
    called = handler if hasattr(handler, "__code__") else vars(type(handler)).get("__call__")
    return getattr(called, "__code__", None)


def stands_for(new: Any, old: Any) -> Any:
    """`new` with the name, module, docstring and signature of `old`, so that reprs and help show nobody of ours.

    A method of a C type has no module and no annotations: then the module is its type's, where pickle looks for it.
    """
    kind = getattr(old, "__objclass__", None)
    if kind is not None:
        new.__module__, new.__annotations__ = kind.__module__, {}
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
