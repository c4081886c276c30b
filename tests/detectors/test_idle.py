"""held-too-long, idle-in-transaction and cursor-left-open on worlds written by hand: both sides of each row."""

from __future__ import annotations

import pytest

from tests.worlds import CARS, FILE, SHOP, USERS, World, said, thread
from whoholds.analysis.snapshot import Ending
from whoholds.detectors.idle import cursor_left_open, held_too_long, idle_in_transaction
from whoholds.drivers.sqlite import where
from whoholds.ledger.handle import CURSOR, RING, Handle
from whoholds.reporting.first_line import message
from whoholds.scopes import Scope


def idle_for(seconds: float, *, handles: int = 2, line: str = CARS, limits: dict[str, object] | None = None) -> World:
    """Give a world in which `handles` of one line are open and unused for so long."""
    world = World(**(limits or {}))
    for _ in range(handles):
        world.opens(line)
    world.look()
    return world.after(seconds)


# --- held-too-long ----------------------------------------------------------------------------------------------


def test_held_and_idle_for_longer_than_the_limit() -> None:
    """Beyond 60 seconds, not at 60."""
    assert idle_for(60).found(held_too_long) == []
    assert said(idle_for(61).found(held_too_long)) == [("warning", 2)]


def test_a_running_statement_is_never_idle() -> None:
    """However long it takes."""
    world = idle_for(0)
    for handle in world.open:
        handle.caller = 4711
    assert world.after(200).found(held_too_long) == []


def test_regular_use_is_no_leak() -> None:
    """Held for minutes, idle for seconds."""
    world = idle_for(50)
    for handle in world.open:
        handle.used_at = world.clock()
    assert world.after(50).found(held_too_long) == []


def test_a_loan_is_used_when_its_connection_is() -> None:
    """The statements run on the pool's connection; the loan is not idle then."""
    world = World()
    pool = world.pool()
    for _ in range(2):
        world.opens(kind="checkout", pool=pool, parent=world.opens("/srv/shop/db.py:3 make", pool=pool))
    world.after(61)
    assert said(world.found(held_too_long)) == [("warning", 2)]
    for handle in world.open:
        if handle.parent is not None:
            handle.parent.used_at = world.clock()
    assert world.after(50).found(held_too_long) == []


def test_what_a_pool_has_at_home_is_not_held() -> None:
    """Nor what a thread keeps for its next request."""
    world = idle_for(0)
    for handle in world.open:
        handle.at_home = True
    assert world.after(200).found(held_too_long) == []


def test_a_listener_waits_on_purpose() -> None:
    """LISTEN among its last statements."""
    world = idle_for(0)
    for handle in world.open:
        handle.ring = [("LISTEN cars", world.clock(), 0.001)]
    assert world.after(200).found(held_too_long) == []


def test_the_only_one_of_its_line_is_no_leak() -> None:
    """A process's singleton, and one in each thread that lives."""
    assert idle_for(200, handles=1).found(held_too_long) == []
    world = World()
    for number in range(3):
        world.opens(by=thread(f"Thread-{number}"))
    assert world.after(200).found(held_too_long) == []


def test_thresholds_differ_by_opening_line() -> None:
    """`60,300@shop/users.py` leaves load_users 300 seconds."""
    limits = {"held_too_long": "60,300@shop/users.py"}
    assert said(idle_for(61, line=CARS, limits=limits).found(held_too_long)) == [("warning", 2)]
    assert idle_for(299, line=USERS, limits=limits).found(held_too_long) == []
    assert said(idle_for(301, line=USERS, limits=limits).found(held_too_long)) == [("warning", 2)]


def test_a_stricter_line_than_the_default_is_found_by_its_own_limit() -> None:
    """An exception may be lower than the rest."""
    limits = {"held_too_long": "60,5@shop/users.py:load_users"}
    assert said(idle_for(6, line=USERS, limits=limits).found(held_too_long)) == [("warning", 2)]
    assert idle_for(6, line=CARS, limits=limits).found(held_too_long) == []


@pytest.mark.parametrize(
    ("allowed", "severity"), [(0, "warning"), (2, "error"), (5, "warning"), (10, "warning"), (11, "info")]
)
def test_severity_follows_the_pressure(allowed: int, severity: str) -> None:
    """Two open: an error from 80 % of what the server allows, info below 20 %, a warning where nobody knows."""
    limits = {"server_limit": allowed} if allowed else {}
    assert said(idle_for(61, limits=limits).found(held_too_long)) == [(severity, 2)]


def test_pressure_counts_what_the_server_has_and_not_only_what_leaks() -> None:
    """Eight of ten are open; the two that idle are an error."""
    world = idle_for(61, limits={"server_limit": 10})
    for _ in range(6):
        world.opens(USERS)
    assert said(world.found(held_too_long)) == [("error", 2)]


def test_the_limit_of_a_server_that_was_asked_counts() -> None:
    """WHOHOLDS_ASK_SERVER puts it into the history, by server."""
    world = idle_for(61)
    world.history.server_limits[SHOP.server] = 2
    assert said(world.found(held_too_long)) == [("error", 2)]


def test_a_machine_that_slept_held_nothing() -> None:
    """A tick that comes an hour late counts that hour neither as held nor as idle."""
    world = idle_for(30)
    world.clock.advance(3600)
    assert world.found(held_too_long) == []
    assert world.open[0].held_s(world.clock()) == pytest.approx(31)
    assert said(world.after(31).found(held_too_long)) == [("warning", 2)]


def test_a_tick_that_is_a_little_late_counts_as_time() -> None:
    """Ten seconds of a busy machine are no sleep."""
    world = idle_for(55)
    world.clock.advance(9)
    assert said(world.found(held_too_long)) == [("warning", 2)]


def runs(world: World, handle: Handle, *statements: str) -> None:
    """Let these statements run on a connection now."""
    ring = list(handle.ring) or [None] * RING
    for sql in statements:
        ring[handle.calls % RING] = (sql, world.clock(), 0.0)
        handle.calls += 1
    handle.ring, handle.used_at = ring, world.clock()


def test_a_connection_that_listens_waits_for_notifications_whatever_else_it_ran() -> None:
    """Until it ends that by UNLISTEN."""
    world = World()
    for _ in range(2):
        runs(world, world.opens(), "LISTEN orders")
    world.look()
    for handle in world.open:
        runs(world, handle, *[f"SELECT {number}" for number in range(9)])
    assert world.after(61).found(held_too_long) == []
    for handle in world.open:
        runs(world, handle, "UNLISTEN *")
    assert said(world.after(61).found(held_too_long)) == [("warning", 2)]


def test_a_loan_listens_if_its_borrower_does() -> None:
    """Not if an earlier borrower of the same connection did."""
    world = World()
    pool = world.pool()
    connections = [world.opens("/srv/shop/db.py:3 make", pool=pool) for _ in range(2)]
    for connection in connections:
        runs(world, connection, "LISTEN orders")
    world.after(1)
    for connection in connections:
        world.opens(kind="checkout", pool=pool, parent=connection)
    assert said(world.after(61).found(held_too_long)) == [("warning", 2)]
    for connection in connections:
        runs(world, connection, "LISTEN orders")
    assert world.after(61).found(held_too_long) == []


# --- idle-in-transaction ----------------------------------------------------------------------------------------


def test_idle_in_transaction_beyond_the_limit() -> None:
    """Beyond 10 seconds, not at 10; a single one too: it keeps its locks whoever it is."""
    world = World()
    world.opens(in_transaction=True)
    assert world.after(10).found(idle_in_transaction) == []
    assert said(world.after(1).found(idle_in_transaction)) == [("warning", 1)]


def test_without_a_transaction_nothing_is_locked() -> None:
    """Autocommit, committed, rolled back."""
    assert idle_for(60).found(idle_in_transaction) == []


def test_a_statement_that_runs_in_a_transaction_is_not_idle() -> None:
    """Nor one that ended just now."""
    world = World()
    running = world.opens(in_transaction=True, caller=4711)
    assert world.after(60).found(idle_in_transaction) == []
    running.caller, running.used_at = 0, world.clock()
    assert world.after(9).found(idle_in_transaction) == []


def test_a_loan_is_in_transaction_when_its_connection_is() -> None:
    """The borrower is told, at the line that borrowed."""
    world = World()
    pool = world.pool()
    connection = world.opens("/srv/shop/db.py:3 make", pool=pool, in_transaction=True)
    world.opens(CARS, kind="checkout", pool=pool, parent=connection)
    (found,) = world.after(11).found(idle_in_transaction)
    assert (found.kind, found.opened.function) == ("checkout", "load_cars")


def test_idle_in_transaction_has_thresholds_by_line() -> None:
    """`10,100@shop/cars.py`."""
    world = World(idle_in_transaction="10,100@shop/cars.py")
    world.opens(CARS, in_transaction=True)
    world.opens(USERS, in_transaction=True)
    assert [one.opened.function for one in world.after(50).found(idle_in_transaction)] == ["load_users"]


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (("INSERT INTO car VALUES (1)",), "others who write wait"),
        (("BEGIN IMMEDIATE",), "others who write wait"),
        (("BEGIN", "SELECT * FROM car"), "without WAL nobody else can commit"),
        (("BEGIN",), "It has only begun"),
        ((), "others who write wait"),
    ],
)
def test_what_an_idle_transaction_keeps(statements: tuple[str, ...], words: str) -> None:
    """A lock of a writer only where it may have written, and none where BEGIN was all that ran."""
    world = World()
    handle = world.opens(to=FILE, in_transaction=True)
    handle.ring = [(sql, world.clock() + place, 0.0) for place, sql in enumerate(statements)] + [None] * 3
    handle.calls = len(statements)
    (found,) = world.after(11).found(idle_in_transaction)
    assert words in found.why[0]


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (("UPDATE car SET price = 1", "SELECT 1"), "vacuum cannot clean up"),
        (("SELECT * FROM car",), "keeps the locks of its queries"),
        (("SELECT * FROM car",) * 6, "other transactions may wait"),
        ((), "other transactions may wait"),
    ],
    ids=["wrote", "read", "more than is remembered", "not known"],
)
def test_only_of_a_transaction_that_wrote_is_said_that_others_wait(statements: tuple[str, ...], words: str) -> None:
    """Where it is not known, as after a fetch, COPY or more statements than are remembered, others may wait."""
    world = World()
    handle = world.opens(in_transaction=True)
    handle.ring = [None] * RING
    for place, sql in enumerate(statements):
        handle.ring[place % RING] = (sql, world.clock() + place, 0.0)
    handle.calls = len(statements)
    (found,) = world.after(11).found(idle_in_transaction)
    assert words in found.why[0]


PRIVATE = [(":memory:", False), ("", False), ("file:x?mode=memory", True), ("file::memory:", True)]


@pytest.mark.parametrize(("path", "uri"), PRIVATE)
def test_a_database_that_nobody_else_can_see_keeps_nobody_waiting(path: str, uri: bool) -> None:  # noqa: FBT001 - a table
    """Neither its transaction nor a statement that is not read to its end, also where it is borrowed."""
    world = World()
    pool, private = world.pool(), where(path, uri=uri)
    half_read = {"probe": lambda _: [()], "uses": 1}
    connection = world.opens(to=private, in_transaction=True, pool=pool, **half_read)
    world.opens(to=private, kind="checkout", pool=pool, parent=connection)
    world.opens(to=private, in_transaction=True, **half_read)
    world.look()
    world.after(61)
    assert world.found(idle_in_transaction) == world.found(cursor_left_open) == []


def test_a_database_in_memory_that_is_shared_keeps_others_waiting() -> None:
    """There `cache=shared` gives two connections one database."""
    world = World()
    shared = where("file:x?mode=memory&cache=shared", uri=True)
    world.opens(to=shared, in_transaction=True, probe=lambda _: [()], uses=1)
    world.look()
    world.after(61)
    assert said(world.found(idle_in_transaction)) == said(world.found(cursor_left_open)) == [("warning", 1)]


# --- cursor-left-open -------------------------------------------------------------------------------------------


def test_a_named_cursor_past_the_limit() -> None:
    """It holds a portal on the server."""
    world = World()
    world.opens(kind=CURSOR, server_side=True)
    assert world.after(60).found(cursor_left_open) == []
    assert said(world.after(1).found(cursor_left_open)) == [("warning", 1)]


def test_a_named_cursor_that_is_read_is_in_use() -> None:
    """Its row at each look says so; the limit counts from the last look at which the row was another."""
    world = World()
    row = 0
    world.opens(kind=CURSOR, server_side=True, probe=lambda _: (row, True))
    for _ in range(100):
        row += 1
        world.after(1)
        assert world.found(cursor_left_open) == []
    assert world.after(59).found(cursor_left_open) == []
    assert said(world.after(3).found(cursor_left_open)) == [("warning", 1)]


def test_a_named_cursor_whose_transaction_is_over() -> None:
    """The server has closed it, at the next look and ever after; run again and read, the cursor is open again."""
    world = World()
    row, in_time = 10, True
    mine = Scope("test_a", "test")
    world.opens(kind=CURSOR, server_side=True, probe=lambda _: (row, in_time), scope=mine)
    world.look()
    in_time = False
    assert world.found(cursor_left_open, Ending("test", "test_a", mine)) == []
    in_time = True  # of the next transaction
    assert world.after(120).found(cursor_left_open) == []
    row = 20
    assert world.found(cursor_left_open) == []
    assert said(world.after(61).found(cursor_left_open)) == [("warning", 1)]


def test_a_client_side_cursor_holds_nothing() -> None:
    """However long it is kept."""
    world = World()
    world.opens(kind=CURSOR)
    assert world.after(600).found(cursor_left_open) == []


def test_a_statement_not_read_to_its_end_holds_a_lock() -> None:
    """The probe says so while it is unread, and the day it is read the finding's reason is gone."""
    world = World()
    unread = [True]
    world.opens(probe=lambda _: [()] if unread[0] else [], uses=1)
    world.look()
    found = world.after(61).found(cursor_left_open)
    assert said(found) == [("warning", 1)]
    assert "left a statement half read" in found[0].phrase
    unread[0] = False
    assert world.found(cursor_left_open) == []


def test_a_named_cursor_at_the_end_of_its_scope() -> None:
    """At once; but not at the end of another's."""
    world = World()
    mine, other = Scope("test_a", "test"), Scope("test_b", "test")
    world.opens(kind=CURSOR, server_side=True, scope=mine)
    assert world.found(cursor_left_open, Ending("test", "test_b", other)) == []
    found = world.found(cursor_left_open, Ending("test", "test_a", mine))
    assert said(found) == [("warning", 1)]
    assert message(found[0]).endswith("left 1 cursor open at the end of test test_a, to app@127.0.0.1/shop")


def test_a_statement_half_read_at_the_end_of_its_scope() -> None:
    """The scope's end is named, not the moment since the last call."""
    world = World()
    job = Scope("cars", "job")
    world.opens(probe=lambda _: [()], uses=1, scope=job)
    world.look()
    (finding,) = world.found(cursor_left_open, Ending("job", "cars", job))
    assert "left a statement half read on 1 connection at the end of job cars, which keeps a lock" in message(finding)
