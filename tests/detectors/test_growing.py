"""growing on worlds written by hand."""

from __future__ import annotations

import pytest

from tests.worlds import World
from whoholds.analysis.rules import BITS
from whoholds.detectors.growing import growing


def climbing(counts: list[int], every: float = 1.0) -> World:
    """Give a world in which one line holds so many at each look; the first to be opened is the first to close."""
    world = World()
    for count in counts:
        while len(world.open) > count:
            world.closes(world.open[0])
        while len(world.open) < count:
            world.opens()
        world.clock.advance(every)
        world.look()
    return world


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 2, 3, 4, 5, 6], True),
        ([1, 2, 3, 4, 5], False),  # four rises
        ([1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6], True),
        ([1, 2, 3, 4, 3, 4, 5, 6], False),  # it fell, and rose three times since
        ([5, 5, 5, 5, 5, 5, 5, 5], False),
        ([0, 1, 2, 3, 2, 1, 2, 3, 2, 1], False),
    ],
)
def test_growing_is_five_rises_without_a_fall(counts: list[int], expected: bool) -> None:
    """A leak climbs and never falls back; a plateau and a wave do not."""
    assert bool(climbing(counts).found(growing)) is expected


def test_a_burst_that_many_looks_see_is_no_growth() -> None:
    """Where looks come every tenth of a second it takes twenty of them."""
    counts = list(range(1, 21))
    assert climbing(counts, every=0.1).found(growing) == []
    assert climbing([*counts, 21, 22], every=0.1).found(growing) != []


def test_growing_names_the_line_and_how_many_it_holds() -> None:
    """And since when it grows."""
    (found,) = climbing([1, 2, 3, 4, 5, 6]).found(growing)
    assert (found.severity, found.count, found.opened.function, found.numbers) == (
        "warning",
        6,
        "load_cars",
        (5.0,),
    )


def test_a_worker_pool_that_grows_to_its_size_uses_what_it_has() -> None:
    """A leak leaves the old ones behind; these are all used."""
    world = climbing([1, 2, 3, 4, 5, 6])
    for handle in world.open:
        handle.used_at = world.clock()
    assert world.found(growing) == []


def test_growing_is_said_for_the_new_ones_only() -> None:
    """What has been named is not named again."""
    world = climbing([1, 2, 3, 4, 5, 6])
    for handle in world.open:
        handle.told |= BITS["growing"]
    assert world.found(growing) == []


def test_pools_made_one_after_the_other_at_one_line_grow() -> None:
    """An engine per request; five that nobody gave up."""
    world = World()
    for _ in range(4):
        world.pool()
        world.look()
    assert world.found(growing) == []
    pool = world.pool()
    world.opens("/srv/shop/db.py:3 make", pool=pool)
    (found,) = world.found(growing)
    assert (found.severity, found.count, found.opened.function) == ("warning", 5, "make")
    assert found.why == ("They hold 1 connections.",)


def test_pools_that_are_given_up_do_not_grow() -> None:
    """Ten were made, one at a time."""
    world = World()
    for _ in range(10):
        world.pool()
        world.look()
        world.pools.clear()
        world.look()
    assert world.found(growing) == []
