"""refused, on worlds written by hand: who held what at that instant, and what is said of the others."""

from __future__ import annotations

import pytest

from tests.needs import foreign_stacks
from tests.worlds import CARS, REPORT, SHOP, USERS, Program, World, at, crowd, thread
from whoholds.detectors.refused import refused
from whoholds.ledger.database import Database
from whoholds.ledger.handle import FREED, Request
from whoholds.reporting.first_line import message


def test_refused_lists_who_held_what_at_that_instant() -> None:
    """Also what was closed a moment later and what was just being connected, and not what was opened after."""
    world = World()
    first = [world.opens(by=thread(f"Thread-{number}", REPORT)) for number in range(3)]
    other = world.opens(USERS)
    world.opens(to=Database("postgresql", "app", "10.0.0.9", 5432, "shop"))
    world.refuses()
    world.clock.advance(0.1)
    world.closes(*first)
    connecting = world.opens(USERS, connect_s=0.2)
    world.opens(USERS, connect_s=0.05)
    (found,) = world.found(refused)
    assert (found.severity, found.count, set(found.handles)) == ("error", 5, {*first, other, connecting})
    assert [part.count for part in found.parts] == [3, 2]
    assert (found.opened.function, found.spawned.frame.function) == ("load_cars", "build")
    assert found.also.site.frame.function == "main"
    assert found.error == "OperationalError: too many clients"


def test_refused_where_this_process_holds_few_says_that_others_hold_the_rest() -> None:
    """With the query that asks the server, of the kind that the server is."""
    world = World(server_limit=100)
    world.opens()
    world.refuses()
    (found,) = world.found(refused)
    assert any("holds 1 of the 100 that the server allows; others hold the rest" in one for one in found.why)
    assert any("pg_stat_activity" in one for one in found.why)


def test_refused_by_a_server_whose_limit_is_unknown_does_not_claim_to_know_it() -> None:
    """Whether one is few, only the server can say."""
    world = World()
    world.opens()
    world.refuses()
    (found,) = world.found(refused)
    assert found.why[0].startswith(
        "This process holds 1; if the server allows more than that, others hold the rest. "
        "Ask the server who they are, with this command or this query:\n"
        f"whoholds server {found.database}\nSELECT pid"
    )


@pytest.mark.parametrize("error", ["no more connections allowed (max_client_conn)", "query_wait_timeout"])
def test_refused_by_pgbouncer_names_the_command_for_its_console(error: str) -> None:
    """However many this process holds: the server's own limit says nothing of PgBouncer's."""
    world = World(server_limit=1)
    world.opens()
    world.refuses(f"OperationalError: {error}")
    (found,) = world.found(refused)
    (why,) = found.why
    assert why.startswith("PgBouncer has refused it")
    assert why.endswith(f"\nwhoholds server {str(found.database).rpartition('/')[0]}/pgbouncer")


def test_refused_where_this_process_holds_most_does_not_blame_others() -> None:
    """Half of what the server allows, or more."""
    world = crowd(10, server_limit=20)
    world.refuses()
    (found,) = world.found(refused)
    assert not any("others" in one for one in found.why)


def test_a_burst_of_refusals_is_one_finding_with_their_number() -> None:
    """Forty requests, one cause."""
    world = crowd(3)
    world.refuses().count = 40
    (found,) = world.found(refused)
    assert (found.count, found.times) == (3, 40)


def test_a_pool_that_ran_out_names_its_own_borrowers() -> None:
    """Not what another pool lent, nor the stock."""
    world = World()
    pool, other = world.pool(most=2), world.pool(most=2)
    lent = [world.opens(CARS, kind="checkout", pool=pool) for _ in range(2)]
    world.opens(USERS, kind="checkout", pool=other)
    world.refuses("PoolError: connection pool exhausted", pool)
    (found,) = world.found(refused)
    assert (set(found.handles), found.kind) == (set(lent), "checkout")
    assert "The pool lends at most 2." in found.why
    assert "the pool ran out" in found.phrase


def test_refused_with_nothing_held_names_who_asked() -> None:
    """Then others hold them all."""
    world = World()
    world.refuses()
    (found,) = world.found(refused)
    assert (found.count, found.opened.function, found.parts) == (0, "main", ())


@pytest.mark.parametrize("by_pool", [False, True])
def test_refused_by_one_server_or_pool_says_nothing_of_what_another_lent(by_pool: object) -> None:
    """Its first line has a number for each place, whoever else holds what at that instant."""
    world = World()
    world.opens(CARS, kind="checkout", pool=world.pool(most=2))
    world.opens(to=Database("postgresql", "app", "10.0.0.9", 5432, "shop"))
    world.refuses(pool=world.pool(most=2) if by_pool else None)
    (found,) = world.found(refused)
    assert found.handles == ()
    assert "was refused a connection: " in message(found)


def test_refused_by_a_server_to_which_one_is_just_being_connected_counts_it() -> None:
    """It was not open at that instant, but had its slot."""
    world = World()
    world.refuses()
    world.clock.advance(0.1)
    world.opens(USERS, connect_s=0.2)
    (found,) = world.found(refused)
    assert "had opened 1 connection when the server refused more" in message(found)


@foreign_stacks
def test_the_holders_live_stack_stands_beside_the_opening_one() -> None:
    """What the oldest holders do now, added by the watch; none for those that have ended."""
    program = Program()
    program.opens(by=thread("MainThread"))
    gone = thread("Thread-1", REPORT)
    gone.ident = -1
    program.opens(by=gone)
    program.ledger.refused(OSError("too many clients"), SHOP, None)
    (found,) = [finding for finding in program.looks() if finding.rule == "refused"]
    ((handle, origin),) = found.doing
    assert handle.owner is not None
    assert handle.owner.name == "MainThread"
    assert any(code.co_name == "test_the_holders_live_stack_stands_beside_the_opening_one" for code in origin[::2])


def test_places_that_a_pool_has_lost_are_named_when_it_runs_out() -> None:
    """The line that dropped its loans, not that of the innocent who asked."""
    world = World()
    pool = world.pool(most=3)
    lost = [world.opens(USERS, kind="checkout", pool=pool) for _ in range(2)]
    world.closes(*lost, how=FREED)
    pool.lost += lost
    world.opens(CARS, kind="checkout", pool=pool)
    world.refuses(pool=pool)
    (found,) = world.found(refused)
    assert (found.count, found.opened.function, [part.count for part in found.parts]) == (3, "load_users", [2, 1])
    assert "The pool lends at most 3." in found.why
    assert any("2 were borrowed at" in sentence and "never given back" in sentence for sentence in found.why)
    assert found.advice[0].startswith("Give ")


@pytest.mark.parametrize("holder", ["works", "was refused", "waits for another pool"])
def test_a_refusal_by_a_pool_says_how_many_were_wanted_unless_a_holder_itself_asks_a_pool(holder: str) -> None:
    """A holder that asks for a second holds the first for as long as it waits: giving back sooner is no advice."""
    world = World()
    pool = world.pool(most=2)
    owners = [thread(f"Thread-{number}", REPORT) for number in range(2)]
    for owner in owners:
        world.opens(CARS, by=owner, kind="checkout", pool=pool, parent=world.opens(pool=pool))
    world.clock.advance(3)
    asker = owners[0] if holder == "was refused" else thread("Thread-9", REPORT)
    world.refuses(pool=pool).requests.append(Request(None, asker, at(USERS), world.clock()))
    if holder == "waits for another pool":
        world.requests.append(Request(world.pool(most=2), owners[0], at(USERS), world.clock()))
    (found,) = world.found(refused)
    sentence = "3 connections were wanted at once. They are held without being used: give them back sooner before you enlarge the pool."
    assert (sentence in found.why) == (holder == "works")
