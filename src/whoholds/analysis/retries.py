"""Lockouts that wait for their judgement: a statement that succeeds when it is run again was no problem.

Brought up to date once a tick by `placing.snapshot_of`. Its memory is bounded: beyond `MOST`, the oldest are judged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.lockout import Lockout
    from whoholds.ledger.scope import Scope

PATIENCE_S = 5.0  # after its last failure a statement counts as given up, unless it runs again just then
LONGEST_S = 60.0  # after its first failure it counts as given up in any case
MOST = 1000


class Retries:
    """The lockouts of earlier looks that may still succeed."""

    def __init__(self) -> None:
        self.waiting: list[Lockout] = []

    def take(self, taken: Entries, over: set[Scope], *, at_end: bool) -> list[Lockout]:
        """The lockouts to report at this look: those whose statement was given up, or all if it is `at_end`.

        `over` are the scopes that have ended: nobody tries again in one of these.
        """
        if not taken.lockouts and not self.waiting:
            return []
        waiting = [*self.waiting, *taken.lockouts]
        handles = [*taken.open, *taken.ended]
        for lockout in taken.lockouts:
            seen = lockout.elsewhere
            for pid in (*seen.writers, *seen.readers)[:1] if seen is not None else ():
                lockout.command = command_of(pid) or lockout.command
        due = []
        self.waiting = []
        for place, lockout in enumerate(waiting):
            if lockout.succeeded or _has_succeeded(lockout, handles):
                lockout.succeeded = lockout.over = True
            elif (
                at_end
                or len(waiting) - place > MOST
                or (lockout.scope is not None and not over.isdisjoint((lockout.scope, *lockout.scope.around)))
                or _is_given_up(lockout, taken)
            ):
                lockout.over = True
                due.append(lockout)
            else:
                self.waiting.append(lockout)
        return due


def _is_given_up(lockout: Lockout, taken: Entries) -> bool:
    if taken.now - lockout.at >= LONGEST_S:
        return True
    return taken.now - lockout.last_at >= PATIENCE_S and not any(
        handle.caller > 0 and _is_of_the_same(handle, lockout) for handle in taken.open
    )


def _is_of_the_same(handle: Handle, lockout: Lockout) -> bool:
    """Whether whoever was locked out uses this handle, of the same database."""
    if handle.database is not lockout.handle.database:
        return False
    owner = lockout.owner
    mine = owner is not None and handle.owner is not None and handle.owner.whole is owner.whole
    return handle.caller == lockout.caller or (mine and handle.scope is lockout.scope)


def _has_succeeded(lockout: Lockout, handles: Iterable[Handle]) -> bool:
    """Whether the same statement was run again by the same caller since the last failure; or its commit was."""
    failed = lockout.handle
    commits_again = not lockout.again and failed.database.system == "sqlite"  # elsewhere its transaction is lost
    if commits_again and failed.in_transaction is False and failed.calls > lockout.calls:
        return True
    return any(
        sql == lockout.sql and began >= lockout.last_at
        for handle in handles
        if _is_of_the_same(handle, lockout)
        for sql, began, _ in handle.statements
    )


def command_of(pid: int) -> list[str]:
    """The command line of another process, on Linux; [] where it cannot be read. Called by the thread that ticks."""
    try:
        with open(os.path.join("/proc", str(pid), "cmdline"), "rb") as file:  # noqa: PTH123 - a path that is text
            return file.read(4096).decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []
