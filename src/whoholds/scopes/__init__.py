"""Units of work that a program or framework names; what is open at the end of one is `left-open`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from whoholds.analysis.snapshot import Ending
from whoholds.ledger import here
from whoholds.ledger.scope import Scope, current, entered_scope
from whoholds.watching import running

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def entered(scope: Scope) -> Iterator[Scope]:
    """Let what this task or thread opens belong to `scope` while the block lasts."""
    before = entered_scope.get()
    entered_scope.set(scope)
    try:
        yield scope
    finally:
        entered_scope.set(before)  # not by its token: a fixture may go on in another context


@contextmanager
def scope(name: str) -> Iterator[Scope]:
    """Name a unit of work: what is opened in the block and still open at its end is `left-open`, with this name.

    What is found is a Python warning in the calling thread. Costs a microsecond where nothing watches.
    """
    ended = Scope(name, outer=current(here.current_owner()))
    try:
        with entered(ended):
            yield ended
    finally:
        _over(ended)


def _over(ended: Scope) -> None:
    watch = running.current()
    if watch is not None and any(handle.scope is ended for handle in watch.handles):
        from whoholds.outputs.warn import warn_caller

        findings = watch.end(Ending("scope", ended.name, ended))
        warn_caller(finding for finding in findings if finding.scope == ended.name)
