"""Scopes, and the one that runs here: a stretch of work at whose end its handles should be closed.

A scope travels with the context of its task or thread and, for what those start, along their ancestry.
"""

from __future__ import annotations

import _thread
from _contextvars import ContextVar  # contextvars is one more file at interpreter start

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from whoholds.ledger.owner import Owner


JUDGED = ("test", "fixture", "block")  # these are ended by a test's tools, and cover the scopes entered in them

WATCH = "watch"  # the kind of the scope of a block of `whoholds.watch`

any_yet = False  # whether there was any Scope: until then nobody needs to look for one

# anyio runs the coroutines of all tests in one task that the first of them started: that task belongs to nobody.
_SERVES_ALL_TESTS = "_call_in_runner_task"


class Scope:
    """One stretch of work, named for people: `GET /users/{id}`, `tests/test_cars.py::test_load`."""

    __slots__ = ("__weakref__", "around", "kind", "name")

    def __init__(self, name: str, kind: str = "scope", outer: Scope | None = None) -> None:
        global any_yet  # noqa: PLW0603 - one flag, which is never taken back
        any_yet = True
        self.name = name
        self.kind = kind
        # Only judged ones, which nest shallowly: a chain of requests that start requests must not grow.
        self.around: tuple[Scope, ...] = ()
        if outer is not None:
            self.around = (outer, *outer.around) if outer.kind in JUDGED else outer.around

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def naming(scope: Scope | None) -> Scope | None:
    """The scope whose name says what work is done: a block of `whoholds.watch` stands for no work of its own."""
    if scope is not None and scope.kind == WATCH:
        return scope.around[0] if scope.around else None
    return scope


entered_scope: ContextVar[Scope | None] = ContextVar("whoholds_scope", default=None)

# The tests and fixtures that run now, innermost last, and the thread they run in. Not in a ContextVar: event loops
# that serve many tests keep the context of the first. Changed by the thread that runs the tests, one C call each.
_running: list[tuple[Scope, int]] = []


def current(owner: Owner | None = None) -> Scope | None:
    """The scope that `owner` runs in here, or None. Called in the user's thread at each opening and spawning."""
    entered = entered_scope.get()
    if entered is not None:
        return entered
    spawn = owner.spawn if owner is not None else None
    innermost = _running[-1:]  # one C call: another thread may take the last away
    if not innermost:
        found: Scope | None = spawn.scope if spawn is not None else None
        return found
    running, ident = innermost[0]
    if spawn is None:
        return running if owner is None or owner.kind != "thread" or owner.ident == ident else None
    if owner is not None and owner.kind == "thread" and owner.ident == ident:
        return running  # the process was started by somebody's call, and runs tests
    if spawn.origin and spawn.origin[0].co_name == _SERVES_ALL_TESTS:  # type: ignore[union-attr]  # codes at even places
        return running
    return spawn.scope  # type: ignore[no-any-return]  # a Scope or None


def begin(scope: Scope) -> None:
    """From now on this thread runs the test or fixture `scope`."""
    _running.append((scope, _thread.get_ident()))


def over(scope: Scope) -> None:
    """It runs no more; one that does not run is none of our business."""
    for entry in [entry for entry in _running if entry[0] is scope]:
        _running.remove(entry)
