"""Scopes: a stretch of work at whose end its handles should be closed: a test, a request, a job.

A scope travels with the context of its task or thread and, for what those start, along their ancestry.
"""

from __future__ import annotations

import _thread
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from whoholds.analysis.snapshot import Ending
from whoholds.hooks import spawning as spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.handle import Owner
    from whoholds.watching.watch import Watch

JUDGED = ("test", "fixture", "block")  # these are ended by a test's tools, and cover the scopes entered in them

# anyio runs the coroutines of all tests in one task that the first of them started: that task belongs to nobody.
_SERVES_ALL_TESTS = "_call_in_runner_task"


class Scope:
    """One stretch of work, named for people: `GET /users/{id}`, `tests/test_cars.py::test_load`."""

    __slots__ = ("__weakref__", "around", "kind", "name")

    def __init__(self, name: str, kind: str = "scope", outer: Scope | None = None) -> None:
        self.name = name
        self.kind = kind
        # Only judged ones, which nest shallowly: a chain of requests that start requests must not grow.
        self.around: tuple[Scope, ...] = ()
        if outer is not None:
            self.around = (outer, *outer.around) if outer.kind in JUDGED else outer.around

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


_scope: ContextVar[Scope | None] = ContextVar("whoholds_scope", default=None)

# The tests and fixtures that run now, innermost last, and the thread they run in. Not in a ContextVar: event loops
# that serve many tests keep the context of the first. Changed by the thread that runs the tests, one C call each.
_running: list[tuple[Scope, int]] = []


def current(owner: Owner | None = None) -> Scope | None:
    """The scope that `owner` runs in here, or None. Called in the user's thread at each opening and spawning."""
    entered = _scope.get()
    if entered is not None:
        return entered
    spawn = owner.spawn if owner is not None else None
    if not _running:
        found: Scope | None = spawn.scope if spawn is not None else None
        return found
    running, ident = _running[-1]
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


@contextmanager
def entered(scope: Scope) -> Iterator[Scope]:
    """Let what this task or thread opens belong to `scope` while the block lasts."""
    before = _scope.get()
    _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.set(before)  # not by its token: a fixture may go on in another context


@contextmanager
def scope(name: str) -> Iterator[Scope]:
    """Name a unit of work: what is opened in the block and still open at its end is `left-open`, with this name.

    What is found is a Python warning in the calling thread. Costs a microsecond where nothing watches.
    """
    ended = Scope(name, outer=current(spawn.current_owner()))
    try:
        with entered(ended):
            yield ended
    finally:
        _over(ended)


def _over(ended: Scope) -> None:
    startup = sys.modules.get("whoholds.startup")
    watch: Watch | None = startup.current() if startup is not None else None
    if startup is not None and watch is not None and any(handle.scope is ended for handle in watch.handles):
        startup.warn_caller(
            finding for finding in watch.end(Ending("scope", ended.name, ended)) if finding.scope == ended.name
        )
