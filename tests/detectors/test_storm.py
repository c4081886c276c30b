"""connect-storm on worlds written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.worlds import CARS, FILE, SHOP, USERS, World, said
from whoholds.analysis.rules import BITS
from whoholds.detectors.storm import connect_storm
from whoholds.ledger.handle import OVER

if TYPE_CHECKING:
    from whoholds.ledger.database import Database


def storm(rate: int, seconds: int, to: Database = SHOP, *, start: float = 2000.0, **limits: object) -> World:
    """Give a world in which so many connections were opened and closed in each of so many seconds."""
    world = World(**limits)
    world.clock.now = start
    for _ in range(seconds):
        for _ in range(rate):
            world.closes(world.opens(to=to))
        world.clock.advance(1.0)
        world.look()
    world.clock.advance(1.5)
    return world


@pytest.mark.parametrize(
    ("rate", "seconds", "expected"),
    [(20, 5, [("warning", 100)]), (19, 30, []), (100, 4, []), (20, 6, [("warning", 120)])],
)
def test_a_storm_is_so_many_a_second_for_so_many_seconds_on_end(
    rate: int, seconds: int, expected: list[tuple[str, int]]
) -> None:
    """Twenty a second for five seconds; a bounded batch is over sooner."""
    assert said(storm(rate, seconds).found(connect_storm)) == expected


def test_a_storm_that_is_interrupted_begins_again() -> None:
    """Four seconds, a quiet one, four seconds."""
    world = storm(25, 4)
    world.clock.now = float(int(world.clock.now) + 1)
    for _ in range(4):
        for _ in range(25):
            world.closes(world.opens())
        world.clock.advance(1.0)
        world.look()
    world.clock.advance(1.5)
    assert world.found(connect_storm) == []


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 0.999])
def test_a_storm_is_seen_wherever_the_second_begins(offset: float) -> None:
    """Six seconds of it have five whole ones in them, at any offset."""
    world = World()
    world.clock.now = 2000.0 + offset
    for _ in range(6 * 40):
        world.closes(world.opens())
        world.clock.advance(1 / 40)
    world.look()
    world.clock.advance(2)
    assert [one.severity for one in world.found(connect_storm)] == ["warning"]


def test_the_second_that_runs_is_not_counted_yet() -> None:
    """It may be four seconds and a bit."""
    world = World()
    world.clock.now = 2000.0
    for _ in range(4):
        world.closes(*[world.opens() for _ in range(30)])
        world.clock.advance(1.0)
    world.closes(*[world.opens() for _ in range(30)])
    assert world.found(connect_storm) == []
    world.clock.advance(2.5)
    assert said(world.found(connect_storm)) == [("warning", 150)]


def test_storm_for_0_is_any_one_second() -> None:
    """A single second is enough where that is asked."""
    assert said(storm(20, 1, storm_for=0).found(connect_storm)) == [("warning", 20)]


def test_a_storm_on_a_file_is_info() -> None:
    """Opening a file is cheap."""
    assert said(storm(20, 5, FILE).found(connect_storm)) == [("info", 100)]


def test_a_pool_that_starts_is_no_storm() -> None:
    """What is opened and kept, by the program or a pool, is not churned; nor what goes with its pool."""
    world = World()
    pool = world.pool(most=200)
    for _ in range(6):
        for _ in range(25):
            world.opens(USERS)
            world.opens("/srv/shop/db.py:3 make", pool=pool, at_home=True)
            world.closes(world.opens("/srv/shop/db.py:3 make", pool=pool), how=OVER)
        world.clock.advance(1.0)
        world.look()
    world.clock.advance(1.5)
    assert world.found(connect_storm) == []


def test_a_pool_that_keeps_fewer_than_it_lends_is_a_storm() -> None:
    """It opens one for a loan, and closes it when that comes back."""
    world = World()
    pool = world.pool(most=200)
    for _ in range(6):
        for _ in range(25):
            world.closes(world.opens("/srv/shop/db.py:3 make", pool=pool))
        world.clock.advance(1.0)
        world.look()
    world.clock.advance(1.5)
    (found,) = world.found(connect_storm)
    assert said([found]) == [("warning", 150)]
    assert "The pool keeps fewer" in found.advice[0]


def test_a_storm_that_was_said_is_said_again_only_for_what_is_new() -> None:
    """Its handles bear the mark."""
    world = storm(20, 5)
    (found,) = world.found(connect_storm)
    for handle in found.handles:
        handle.told |= BITS["connect-storm"]
    assert world.found(connect_storm) == []


def test_the_parts_of_a_storm_add_up_to_its_count() -> None:
    """Each line with how many it opened, of which only some are kept."""
    world = World()
    for _ in range(600):
        for line in (CARS, CARS, USERS):
            world.closes(world.opens(line))
        world.clock.advance(0.01)
    (found,) = world.found(connect_storm)
    assert found.count == sum(part.count for part in found.parts) >= 1500
    assert [part.site.frame.function for part in found.parts if part.site] == ["load_cars", "load_users"]
    assert found.parts[0].count == 2 * found.parts[1].count
