"""Scopes: a stretch of work at whose end its handles should be closed: a test, a request, a job.

A scope travels with the context of its task or thread and, for what those start, along their ancestry.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from whoholds.snapshot import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.running import Watch


class Scope:
    """One stretch of work, named for people: `GET /users/{id}`, `tests/test_cars.py::test_load`."""

    __slots__ = ("__weakref__", "kind", "name")

    def __init__(self, name: str, kind: str = "scope") -> None:
        self.name = name
        self.kind = kind

    def __repr__(self) -> str:
        return f"<scope {self.name}>"


_scope: ContextVar[Scope | None] = ContextVar("whoholds_scope", default=None)


def current() -> Scope | None:
    """The scope that runs here, or None. Called in the user's thread at each opening."""
    return _scope.get()


@contextmanager
def scope(name: str) -> Iterator[Scope]:
    """Name a unit of work: what is opened in the block and still open at its end is `left-open`, with this name.

    What is found is a Python warning in the calling thread. Costs a microsecond where nothing watches.
    """
    entered = Scope(name)
    token = _scope.set(entered)
    try:
        yield entered
    finally:
        _scope.reset(token)
        _over(entered)


def _over(ended: Scope) -> None:
    startup = sys.modules.get("whoholds.startup")
    watch: Watch | None = startup.current() if startup is not None else None
    if watch is not None and any(handle.scope is ended for handle in watch.handles):
        from whoholds.outputs.warn import warn_caller

        warn_caller(finding for finding in watch.end(Ending("scope", ended.name, ended)) if finding.scope == ended.name)
