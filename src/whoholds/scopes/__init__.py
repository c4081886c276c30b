"""Units of work that a program or framework names; what is open at the end of one is `left-open`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from whoholds.analysis.snapshot import Ending
from whoholds.ledger import faults, here
from whoholds.ledger.scope import Scope, current, entered_scope
from whoholds.watching import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.finding import Finding


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
    """Judge the scope; it raises nothing but the warning that a filter of the program's turns into an exception."""
    try:
        found = _left_in(ended)
    except Exception as error:  # noqa: BLE001 - our fault must not replace what the block gives or raises
        faults.note(error, "whoholds.scope")
        return
    if found:
        from whoholds.outputs.warn import warn_caller

        warn_caller(found)


def _left_in(ended: Scope) -> list[Finding]:
    watch = running.current()
    if watch is None or not any(handle.scope is ended for handle in watch.handles):
        return []
    return [finding for finding in watch.end(Ending("scope", ended.name, ended)) if finding.scope == ended.name]
