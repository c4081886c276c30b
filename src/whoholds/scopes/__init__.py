"""Scopes: stretches of work that the program or a framework names. Handles that are open at the end are `left-open`.

The user's thread runs this code. Only the end of `scope` takes a look in that thread; the end of a request or job must
not.
"""

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
    from whoholds.watching.watch import Watch


@contextmanager
def entered(scope: Scope) -> Iterator[Scope]:
    """While the block lasts, handles that this task or thread opens belong to `scope`."""
    before = entered_scope.get()
    entered_scope.set(scope)
    try:
        yield scope
    finally:
        entered_scope.set(before)  # not reset with its token: a fixture may go on in another context


@contextmanager
def scope(name: str) -> Iterator[Scope]:
    """Name a stretch of work: handles opened in the block and open at its end are `left-open`, with this name.

    Each finding becomes a Python warning in the calling thread. If no watch runs, the block costs a microsecond.
    """
    ended = Scope(name, outer=current(here.current_owner()))
    try:
        with entered(ended):
            yield ended
    finally:
        _over(ended)


def _over(ended: Scope) -> None:
    """Take the last look of the scope, and warn of its findings.

    Raises nothing except a warning that a filter of the program turns into an exception.
    """
    try:
        findings = left_in(ended, running.current())
    except Exception as error:  # noqa: BLE001 - our fault must not replace what the block gives or raises
        faults.note(error, "whoholds.scope")
        return
    if findings:
        from whoholds.outputs.warn import warn_caller

        warn_caller(findings)


def left_in(ended: Scope, watch: Watch | None) -> list[Finding]:
    """The findings of `watch` about what was opened in the scope and is open at its end."""
    if watch is None or not any(handle.scope is ended for handle in watch.handles):
        return []
    said = watch.end(Ending("scope", ended.name, ended))
    return [one for one in said if one.scope == ended.name and any(handle.scope is ended for handle in one.handles)]


class Block(Scope):
    """The scope of one `with whoholds.watch()`, entered while it lasts.

    Blocks may end in another order than they began in, and in another context: what a block leaves behind is the
    innermost one that still lasts.
    """

    __slots__ = ("before", "over")

    def enter(self) -> None:
        """What this task or thread opens from now on belongs to the block."""
        self.over = False
        self.before = entered_scope.get()
        entered_scope.set(self)

    def leave(self) -> None:
        """The block ends. A block that was not entered may be left, too."""
        self.over = True
        innermost = entered_scope.get()
        while isinstance(innermost, Block) and innermost.over:
            innermost = innermost.before
        entered_scope.set(innermost)
