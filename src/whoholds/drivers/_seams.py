"""What drivers share: calls that are noticed, subclasses that look like what they stand for, refusals by wording.

Everything here runs in the user's thread: no lock, no foreign code, and no frame that keeps the user's objects.
"""

from __future__ import annotations

import _thread
import sys
import types
from typing import TYPE_CHECKING, Any

from whoholds.seams import replace, stands_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.handle import Handle
    from whoholds.ledger import Ledger

__all__ = ["Bound", "called", "is_refusal", "layered", "like", "noticed", "rebind", "replace", "stands_for"]

RING = 5  # statements remembered of each connection
LONGEST_SQL = 4096  # characters remembered of each

# What servers and poolers say when there are too many connections; libpq gives no SQLSTATE at connect.
_REFUSALS = (
    "too many clients already",
    "remaining connection slots are reserved",
    "too many connections",
    "sorry, too many",
    "no more connections allowed",
    "max_client_conn",
    "max client connections reached",
    "query_wait_timeout",
    "has exceeded the 'max_user_connections'",
    "already has more than 'max_user_connections'",
)
_REFUSAL_CODES = frozenset(("53300", "1040", "1203", "1226"))


def is_refusal(exc: BaseException) -> bool:
    """Whether a server or its pooler says with `exc` that there are too many connections."""
    code = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None) or (exc.args[0] if exc.args else None)
    if isinstance(code, int | str) and str(code) in _REFUSAL_CODES:
        return True
    text = str(exc).lower()
    return any(words in text for words in _REFUSALS)


def remember(handle: Handle, sql: Any, began: float, seconds: float) -> None:
    """Keep the statement in the handle's ring: its text only, never parameters, never a long one whole."""
    kind = type(sql)
    if kind is not str and kind is not bytes:
        sql = None
    elif len(sql) > LONGEST_SQL:
        sql = sql[:LONGEST_SQL]
    ring = handle.ring
    if ring is None:
        ring = handle.ring = [None] * RING
    ring[handle.uses % RING] = (sql, began, seconds)


def noticed(
    original: Callable[..., Any],
    ledger: Ledger,
    handle_of: Callable[[Any], Handle],
    transaction: Callable[[Any], Any],
    *,
    sql: bool = False,
    failed: Callable[[Any, Handle, BaseException], None] | None = None,
) -> Any:
    """`original`, a method, noticed as a use of the handle that `handle_of(self)` gives or raises AttributeError for.

    `transaction(self)` tells, without I/O, whether a transaction is open; `sql` says that the first argument is a
    statement; `failed` is told of an exception before it goes on.
    """
    clock = ledger.clock
    get_ident = _thread  # asked through the module: gevent may patch it later

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            handle = handle_of(self)
        except AttributeError:  # not opened yet, or not one of ours
            return original(self, *args, **kwargs)
        me = get_ident.get_ident()
        before = handle.caller
        if before and before != me:
            ledger.shared_at_once(handle, me)
            before = 0
        if handle.inherited:
            ledger.used_in_child(handle, sys._getframe(1))
        handle.caller = me
        handle.started_at = began = clock()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            now = clock()
            handle.uses += 1
            handle.used_at = now
            handle.caller = before
            try:
                handle.in_transaction = transaction(self)
                if sql:
                    remember(handle, args[0] if args else None, began, now - began)
                if failed is not None:
                    failed(self, handle, exc)
            except Exception:  # noqa: BLE001, S110 - our fault must stay ours
                pass
            del self, args, kwargs, exc
            raise
        now = clock()
        handle.busy_s += now - began
        handle.used_at = now
        handle.used_by = me
        handle.caller = before
        handle.in_transaction = transaction(self)
        if sql and args:
            text = args[0]
            if type(text) is not str or len(text) > LONGEST_SQL:
                remember(handle, text, began, now - began)
            elif handle.ring is None:
                remember(handle, text, began, now - began)
            else:
                handle.ring[handle.uses % RING] = (text, began, now - began)
        handle.uses += 1
        return result

    return stands_for(call, original)


def called(original: Callable[..., Any], ledger: Ledger, handle_of: Callable[[Any], Handle]) -> Any:
    """`original`, a `close`: once it has returned, its handle is closed. A close that raises closes nothing."""

    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except BaseException:
            del self, args, kwargs
            raise
        try:
            handle = handle_of(self)
        except AttributeError:
            return result
        ledger.closed(handle)
        return result

    return stands_for(close, original)


def like(base: type, name_space: dict[str, Any], bases: tuple[type, ...] | None = None) -> Any:
    """A subclass of `base` that carries its name, module and docstring, so that reprs name nobody of ours."""
    shown = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return types.new_class(base.__name__, bases or (base,), exec_body=lambda ns: ns.update({**shown, **name_space}))


def layered(wanted: type, ours: type, name_space: dict[str, Any], known: dict[type, type]) -> type:
    """`wanted` with our layer between it and the C class, made once; `wanted` itself where it has the layer."""
    if issubclass(wanted, ours):
        return wanted
    made = known.get(wanted)
    if made is None:
        try:
            slots = {"__slots__": ()} if "__dict__" not in dir(wanted) else {}
            made = like(wanted, slots, (wanted, ours))
        except TypeError:  # slots of its own: no room for a layer below, so it goes on top
            made = like(wanted, name_space)
        known[wanted] = made
    return made


def rebind(old: Any, new: Any) -> Callable[[], None]:
    """Where a module's global is `old`, imported by name before the start, let it be `new`; the call undoes it."""
    changed: list[tuple[dict[str, Any], str]] = []
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if type(names) is not dict or str(names.get("__name__", "")).startswith("whoholds"):
            continue
        for name, value in list(names.items()):
            if value is old and name != "_connect":
                names[name] = new
                changed.append((names, name))

    def restore() -> None:
        for names, name in changed:
            if names.get(name) is new:
                names[name] = old

    return restore


class Bound:
    """What a function that stands for a module's C function is bound to: then it is no method where a class has it.

    Pickled, it is the module, so that a pickled `sqlite3.connect` is found again in another process.
    """

    def __init__(self, module: str) -> None:
        self.module = module

    def __reduce__(self) -> tuple[Any, ...]:
        from importlib import import_module

        return import_module, (self.module,)
