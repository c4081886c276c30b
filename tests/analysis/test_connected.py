"""Connected: the most connections at once, from the stamps of a world, with those of pools."""

from __future__ import annotations

from tests.worlds import SHOP, STOCK, World
from whoholds.analysis.connected import MANY
from whoholds.ledger.database import database


def test_the_connections_of_a_bounded_pool_count_and_its_loans_do_not() -> None:
    """Opened and closed between two looks, too."""
    world = World()
    pool = world.pool(most=5)
    for _ in range(3):
        connection = world.opens(pool=pool)
        world.opens(kind="checkout", pool=pool, parent=connection)
    first, second = world.opens(), world.opens()
    world.opens(to=STOCK)
    world.closes(first, second)
    world.look()
    world.opens()
    world.look()
    assert {to: (each.now, each.most) for to, each in world.history.connected.to.items()} == {
        SHOP: (4, 5),
        STOCK: (1, 1),
    }
    assert {to: peak.count for to, peak in world.history.highest().items()} == {SHOP: 5, STOCK: 1}


def test_of_many_databases_those_that_are_open_and_the_busiest_are_remembered() -> None:
    """A file for each customer, opened and closed."""
    world, busy = World(), database("sqlite", name="/srv/busy.db")
    kept = world.opens(to=SHOP)
    world.closes(*(world.opens(to=busy) for _ in range(2)))
    for number in range(2 * MANY):
        world.closes(world.opens(to=database("sqlite", name=f"/srv/{number}.db")))
    world.look()
    remembered = world.history.connected.to
    assert kept.database in remembered
    assert remembered[busy].most == 2
    assert len(remembered) < MANY
