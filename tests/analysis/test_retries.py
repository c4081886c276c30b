"""A statement that was locked out: silent where it succeeds soon after, and reported once it was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.worlds import AT_EXIT, FILE, SHOP, World, task, thread
from whoholds.analysis.retries import LONGEST_S, PATIENCE_S
from whoholds.analysis.snapshot import Ending
from whoholds.ledger.lockout import WAITED, Lockout
from whoholds.ledger.lockouts import Awaiting, plain
from whoholds.ledger.scope import Scope

if TYPE_CHECKING:
    from whoholds.ledger.handle import Handle

SQL = "UPDATE cars SET price = 1"


class Locked(World):
    """A world in which a statement on `handle` was locked out just now."""

    def __init__(self) -> None:
        super().__init__()
        self.handle = self.opens(to=FILE)
        self.lockout = self.locks(self.handle)

    def locks(self, handle: Handle, sql: str | None = SQL) -> Lockout:
        """Give a lockout of a statement on `handle` at this instant."""
        lockout = Lockout(WAITED, self.clock(), handle, "OperationalError: database is locked", sql, 1)
        lockout.owner, lockout.origin, lockout.again = handle.owner, handle.origin, True
        self.lockouts.append(lockout)
        return lockout

    def due(self, ending: Ending | None = None) -> list[Lockout]:
        """Give what a look now reports."""
        return self.look(ending).lockouts


def runs(handle: Handle, sql: str, at: float) -> None:
    """Let a statement have begun on `handle` at that time, and end well."""
    if not handle.ring:
        handle.ring = [None] * 5
    handle.ring[handle.calls % 5] = (sql, at, 0.01)
    handle.calls += 1


def test_it_is_reported_when_nobody_has_tried_again_for_a_while() -> None:
    """It is reported once only."""
    world = Locked()
    assert world.due() == []
    world.clock.advance(PATIENCE_S)
    assert world.due() == [world.lockout]
    assert world.lockout.over
    assert world.due() == []


@pytest.mark.parametrize("kind", ["process", "watch", "test"])
def test_the_end_waits_for_nobody(kind: str) -> None:
    """At the end of a process, a watch or a test it is reported at once: nobody tries again after that."""
    world = Locked()
    assert world.due(Ending(kind)) == [world.lockout]


def test_the_end_of_its_request_waits_for_nobody() -> None:
    """The next request of the same thread is another."""
    world = Locked()
    world.lockout.scope = Scope("GET /cars")
    assert world.due(Ending("scope", scope=Scope("GET /users"))) == []
    assert world.due(Ending("scope", scope=world.lockout.scope)) == [world.lockout]


def test_another_failure_begins_the_wait_anew() -> None:
    """A retry that fails, too."""
    world = Locked()
    world.clock.advance(PATIENCE_S - 1)
    world.lockout.last_at = world.clock()
    world.clock.advance(PATIENCE_S - 1)
    assert world.due() == []
    world.clock.advance(1)
    assert world.due() == [world.lockout]


def test_a_retry_that_runs_just_now_is_waited_for() -> None:
    """It may run on its own connection or a new one; the look does not wait for ever."""
    world = Locked()
    again = world.opens(to=FILE, caller=1)
    world.clock.advance(PATIENCE_S + 1)
    assert world.due() == []
    again.caller = 0
    assert world.due() == [world.lockout]
    world = Locked()
    world.handle.caller = 1
    world.clock.advance(LONGEST_S)
    assert world.due() == [world.lockout]


def test_a_statement_that_succeeds_on_a_new_connection_is_no_problem() -> None:
    """The connection has the same owner and the same file; it may have been closed since."""
    world = Locked()
    world.clock.advance(1)
    again = world.opens(to=FILE)
    runs(again, SQL, world.clock())
    world.closes(again)
    assert world.due() == []
    assert world.due(AT_EXIT) == []


def test_somebody_elses_success_is_not_its_own() -> None:
    """Nor does an earlier statement count, or a different one."""
    world = Locked()
    runs(world.handle, SQL, world.clock() - 1)
    runs(world.handle, "SELECT 1", world.clock())
    runs(world.opens(to=FILE, by=task("other")), SQL, world.clock() + 1)
    runs(world.opens(to=FILE, by=thread("other")), SQL, world.clock() + 1)
    assert world.due(AT_EXIT) == [world.lockout]


def test_its_ring_notices_the_success() -> None:
    """Even if no look comes before the statement has left the ring; afterwards the ring is a plain list again."""
    world = Locked()
    world.handle.ring = Awaiting([None] * 5, world.handle, world.lockout)
    world.lockout.owner = None  # whoever runs this test
    runs(world.handle, "SELECT 1", 1.0)
    assert not world.lockout.succeeded
    assert isinstance(world.handle.ring, Awaiting)
    world.lockout.owner = _me()
    runs(world.handle, SQL, 2.0)
    assert world.lockout.succeeded
    assert type(world.handle.ring) is list
    assert world.handle.ring[1] == (SQL, 2.0, 0.01)
    assert world.due(AT_EXIT) == []


def test_each_ring_is_its_own_handles() -> None:
    """Also where the statement was tried again on another connection, and failed there, too."""
    world = Locked()
    first, second = world.handle, world.opens(to=FILE)
    first.ring = Awaiting([None] * 5, first, world.lockout)
    world.lockout.handle = second
    second.ring = Awaiting([None] * 5, second, world.lockout)
    world.lockout.owner = _me()
    runs(second, SQL, 2.0)
    runs(first, "SELECT 1", 3.0)
    assert [(type(handle.ring), handle.ring[0]) for handle in (first, second)] == [
        (list, ("SELECT 1", 3.0, 0.01)),
        (list, (SQL, 2.0, 0.01)),
    ]


def test_its_ring_is_plain_again_once_it_was_judged() -> None:
    """The next statement gives the plain list back, whatever it is; a failure gives it back at once."""
    world = Locked()
    world.handle.ring = Awaiting([None] * 5, world.handle, world.lockout)
    assert world.due(AT_EXIT) == [world.lockout]
    runs(world.handle, "SELECT 1", 1.0)
    assert type(world.handle.ring) is list
    world.handle.ring = Awaiting([None] * 5, world.handle, world.lockout)
    assert plain(world.handle) is world.lockout
    assert plain(world.handle) is None


def test_a_commit_of_sqlite_has_succeeded_when_nothing_is_open_any_more() -> None:
    """Unless a rollback ended it: then the work is lost."""
    for left, due in ((False, False), (None, True), (True, True)):
        world = Locked()
        world.lockout.again = False
        world.handle.calls += 1
        world.handle.in_transaction = left
        assert bool(world.due(AT_EXIT)) is due, left


def test_a_commit_that_failed_elsewhere_succeeds_with_its_whole_transaction() -> None:
    """The last statement before it must run again; that no transaction is open proves nothing on a server."""
    for again, due in ((False, True), (True, False)):
        world = World()
        handle = world.opens(to=SHOP)
        lockout = Lockout(WAITED, world.clock(), handle, "SerializationFailure", SQL, 1)
        lockout.owner, lockout.origin = handle.owner, handle.origin
        world.lockouts.append(lockout)
        runs(handle, SQL if again else "SELECT 1", world.clock() + 1)
        assert bool(world.look(AT_EXIT).lockouts) is due


def _me() -> object:
    from whoholds.ledger.here import current_owner

    return current_owner()
